//! Who shares a path: a room has seats, and a seat has a queue.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;

/// Frames that may wait for one connection. A client so far behind is cut off.
const QUEUE_FRAMES_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Rooms {
    by_path: Mutex<HashMap<String, Arc<Room>>>,
}

impl Rooms {
    pub(crate) fn room(&self, path: &str) -> Arc<Room> {
        let mut rooms = lock(&self.by_path);
        if let Some(room) = rooms.get(path) {
            return Arc::clone(room);
        }
        Arc::clone(rooms.entry(path.to_owned()).or_default())
    }
}

#[derive(Default)]
pub(crate) struct Room {
    seats: Mutex<Vec<Arc<Seat>>>,
}

impl Room {
    pub(crate) fn enter(&self) -> Arc<Seat> {
        let seat = Arc::default();
        lock(&self.seats).push(Arc::clone(&seat));
        seat
    }

    pub(crate) fn leave(&self, seat: &Arc<Seat>) {
        let mut seats = lock(&self.seats);
        if let Some(place) = seats.iter().position(|other| Arc::ptr_eq(other, seat)) {
            seats.swap_remove(place);
        }
    }

    /// Puts `frames`, all that one read brought, into every seat's queue.
    pub(crate) fn send(&self, frames: &[Bytes]) {
        for seat in lock(&self.seats).iter() {
            seat.push(frames);
        }
    }
}

/// A connection's place in a room.
#[derive(Default)]
pub(crate) struct Seat {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    frames: Vec<Bytes>,
    overflowed: bool,
    waker: Option<Waker>,
}

impl Seat {
    /// Wakes the connection for the first frame only: until it takes them, it has been told.
    fn push(&self, frames: &[Bytes]) {
        let mut queue = lock(&self.queue);
        let first = queue.frames.is_empty();
        if queue.frames.len() + frames.len() > QUEUE_FRAMES_MAX {
            queue.overflowed = true;
        } else {
            queue.frames.extend_from_slice(frames);
        }
        if first && let Some(waker) = &queue.waker {
            waker.wake_by_ref();
        }
    }

    /// Swaps all that waits into `frames`, which is empty, or arranges for a wake. False: too slow.
    pub(crate) fn take(&self, cx: &Context<'_>, frames: &mut Vec<Bytes>) -> bool {
        let mut queue = lock(&self.queue);
        if !queue
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            queue.waker = Some(cx.waker().clone());
        }
        mem::swap(&mut queue.frames, frames);
        !queue.overflowed
    }
}

/// No lock here is held across anything that could panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
