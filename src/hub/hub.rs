//! The hub: one per chat with connections on this node. It turns hints, its own node's and the channel layer's, into
//! what each connection is owed: every event, in `seq` order, once.
//!
//! Not here: frames (`ws/dialect`), rules (`chat`), the wire between nodes (`layer`).
//! Relies on: `seq` has no gap (`chat/writer`), so a gap seen here was lost on the way and is read back.
//! Bounded by: `EARLY_EVENTS_MAX` held per chat (beyond that it forgets them and reads the database),
//! `MEMORY_EVENTS_MAX` kept for those who come back.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use entity::{ChatId, Seq};
use parking_lot::Mutex;

use super::{
    Close, SharedFrame,
    delivery::{Encodings, Seat},
    typing::Typists,
};
use crate::chat::{ChatEvent, ChatHead, ConnectionId, Message, Profile, What};

/// Events held that came before one that is missing.
const EARLY_EVENTS_MAX: usize = 256;
/// Events kept for connections that resume.
const MEMORY_EVENTS_MAX: usize = 128;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is where it belongs: delivered, or known already.
    Done,
    /// Something before it is missing: to be read from the database.
    Gap,
}

/// What became of a membership between being read and being seated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// Nothing that ends it was delivered.
    Holds,
    /// It has ended.
    Ended(Close),
    /// The hub doesn't remember: to be read again.
    Unknown,
}

/// Where a connection that resumes goes on.
pub(super) enum Next {
    /// It stands where the hub stands, and has been seated.
    Live,
    /// It stands there, but its membership may have ended, or has.
    NotSeated(Membership),
    /// These come next.
    Events(Vec<Arc<ChatEvent>>),
    /// The hub doesn't remember: to be read from the database.
    Unknown,
}

/// A chat on this node.
#[derive(Debug)]
pub struct Hub {
    chat: ChatId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    head: Option<Arc<ChatHead>>,
    /// The last number that was delivered; none until the first connection has read where the chat stands.
    delivered: Option<Seq>,
    early: BTreeMap<Seq, Arc<ChatEvent>>,
    seats: Vec<Sitting>,
    memory: VecDeque<Arc<ChatEvent>>,
    typists: Typists,
    repairing: bool,
    joined: bool,
    empty_since: Option<Instant>,
}

/// A connection that hears the chat, from a number on.
#[derive(Debug)]
struct Sitting {
    seat: Seat,
    /// What it has heard already: a replay may be ahead of the hub.
    after: Seq,
}

impl Hub {
    pub(super) fn new(chat: ChatId) -> Self {
        let state = State {
            empty_since: Some(Instant::now()),
            ..State::default()
        };
        Hub {
            chat,
            state: Mutex::new(state),
        }
    }

    /// Which chat.
    pub fn chat(&self) -> ChatId {
        self.chat
    }

    /// The last number that was delivered.
    pub fn delivered(&self) -> Option<Seq> {
        self.state.lock().delivered
    }

    /// What is the same for every member, as last told.
    pub(super) fn head(&self) -> Option<Arc<ChatHead>> {
        self.state.lock().head.clone()
    }

    /// Begins at `last_seq`, unless it has begun: what came meanwhile follows.
    pub(super) fn begin(&self, head: &Arc<ChatHead>, last_seq: Seq) -> Delivery {
        let mut state = self.state.lock();
        if state.delivered.is_some() {
            return Delivery::Done;
        }
        state.head = Some(head.clone());
        state.delivered = Some(last_seq);
        state.catch_up()
    }

    /// Takes an event: numbered ones in order, once; others at once.
    pub(super) fn deliver(&self, event: &Arc<ChatEvent>) -> Delivery {
        self.state.lock().take(event)
    }

    /// Seats a connection where the hub stands, if its membership, which was read at `checked_at`, holds still.
    /// `greet` tells it the number from which on it hears everything; its frame goes before them.
    pub(super) fn seat(
        &self,
        seat: &Seat,
        checked_at: Seq,
        greet: impl FnOnce(Seq) -> Option<SharedFrame>,
    ) -> Membership {
        let mut state = self.state.lock();
        let membership = state.membership(seat, checked_at);
        if membership == Membership::Holds {
            let after = state.delivered.unwrap_or_default();
            state.add(
                Sitting {
                    seat: seat.clone(),
                    after,
                },
                greet(after),
            );
        }
        membership
    }

    /// What comes after `since` for a connection that resumes; seats it where nothing does.
    pub(super) fn resume(
        &self,
        since: Seq,
        limit: usize,
        seat: &Seat,
        checked_at: Seq,
        greet: impl FnOnce(Seq) -> Option<SharedFrame>,
    ) -> Next {
        let mut state = self.state.lock();
        let Some(delivered) = state.delivered else {
            return Next::Unknown;
        };
        if since >= delivered {
            let membership = state.membership(seat, checked_at);
            if membership != Membership::Holds {
                return Next::NotSeated(membership);
            }
            state.add(
                Sitting {
                    seat: seat.clone(),
                    after: since,
                },
                greet(since),
            );
            return Next::Live;
        }
        match state.memory.front().and_then(|event| event.seq) {
            Some(oldest) if oldest <= since.next() => {
                let after = state.memory.iter().filter(|event| event.seq > Some(since));
                Next::Events(after.take(limit).cloned().collect())
            }
            _ => Next::Unknown,
        }
    }

    /// Takes a connection's seat away. Whether it was typing.
    pub(super) fn leave(&self, connection: ConnectionId) -> Option<Arc<Profile>> {
        let mut state = self.state.lock();
        state
            .seats
            .retain(|sitting| sitting.seat.connection != connection);
        if state.seats.is_empty() {
            state.empty_since = Some(Instant::now());
            state.seats = Vec::new();
        }
        state.typists.leave(connection)
    }

    /// Whether a connection hears the chat: not while it resumes, nor once its membership has ended.
    pub(super) fn is_seated(&self, connection: ConnectionId) -> bool {
        self.state
            .lock()
            .seats
            .iter()
            .any(|sitting| sitting.seat.connection == connection)
    }

    /// Whether somebody's typing is news.
    pub(super) fn types(
        &self,
        connection: ConnectionId,
        user: &Arc<Profile>,
        is_typing: bool,
    ) -> bool {
        self.state
            .lock()
            .typists
            .types(connection, user, is_typing, Instant::now())
    }

    /// Who has typed for too long.
    pub(super) fn tired_typists(&self, now: Instant) -> Vec<Arc<Profile>> {
        self.state.lock().typists.tired(now)
    }

    /// Whether nobody repairs it yet; whoever is told so does.
    pub(super) fn begin_repair(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().repairing, true)
    }

    /// The repair is over; whether something is missing still.
    pub(super) fn end_repair(&self) -> Delivery {
        let mut state = self.state.lock();
        state.repairing = false;
        if state.early.is_empty() {
            Delivery::Done
        } else {
            Delivery::Gap
        }
    }

    /// Whether it is to join its group of the channel layer.
    pub(super) fn wants_to_join(&self) -> bool {
        !self.state.lock().joined
    }

    /// It was asked to join its group.
    pub(super) fn set_joined(&self, joined: bool) {
        self.state.lock().joined = joined;
    }

    /// Whether nobody has sat here since a moment.
    pub(super) fn is_empty_since(&self, before: Instant) -> bool {
        let state = self.state.lock();
        state.seats.is_empty() && state.empty_since.is_some_and(|since| since <= before)
    }
}

impl State {
    fn add(&mut self, sitting: Sitting, greeting: Option<SharedFrame>) {
        if let Some(frame) = greeting {
            // Where the connection is ending, its seat is taken away with it.
            let _ = sitting.seat.queue.answer(frame);
        }
        self.seats
            .retain(|other| other.seat.connection != sitting.seat.connection);
        self.seats.push(sitting);
        self.empty_since = None;
    }

    /// Whether a membership that was read at `checked_at` was ended by what was delivered since.
    fn membership(&self, seat: &Seat, checked_at: Seq) -> Membership {
        if self
            .delivered
            .is_none_or(|delivered| delivered <= checked_at)
        {
            return Membership::Holds;
        }
        if self
            .memory
            .front()
            .is_none_or(|oldest| oldest.seq > Some(checked_at.next()))
        {
            return Membership::Unknown;
        }
        let since = self
            .memory
            .iter()
            .filter(|event| event.seq > Some(checked_at));
        since
            .filter_map(|event| seat.end(event))
            .next()
            .map_or(Membership::Holds, Membership::Ended)
    }

    fn take(&mut self, event: &Arc<ChatEvent>) -> Delivery {
        let Some(seq) = event.seq else {
            self.tell(event);
            return Delivery::Done;
        };
        match self.delivered {
            Some(delivered) if seq <= delivered => Delivery::Done,
            Some(delivered) if seq == delivered.next() => {
                self.pass(event);
                if self.early.is_empty() {
                    Delivery::Done
                } else {
                    self.catch_up()
                }
            }
            _ => {
                if self.early.len() >= EARLY_EVENTS_MAX {
                    // What is kept is the newest: it tells that something is missing.
                    self.early.clear();
                }
                self.early.insert(seq, event.clone());
                if self.delivered.is_some() {
                    Delivery::Gap
                } else {
                    Delivery::Done
                }
            }
        }
    }

    /// Delivers what had come early and now follows.
    fn catch_up(&mut self) -> Delivery {
        while let Some(delivered) = self.delivered {
            let Some(entry) = self.early.first_entry() else {
                return Delivery::Done;
            };
            if *entry.key() > delivered.next() {
                return Delivery::Gap;
            }
            let event = entry.remove();
            if event.seq > Some(delivered) {
                self.pass(&event);
            }
        }
        Delivery::Done
    }

    /// Delivers the next number.
    fn pass(&mut self, event: &Arc<ChatEvent>) {
        self.delivered = event.seq;
        match &event.what {
            What::ChatUpdated(head) | What::ChatDeleted(head) => {
                self.head = Some(Arc::new(head.clone()))
            }
            What::Edited(message) | What::Deleted(message) => self.update_memory(message),
            _ => {}
        }
        self.tell(event);
        if self.memory.len() >= MEMORY_EVENTS_MAX {
            self.memory.pop_front();
        }
        self.memory.push_back(event.clone());
    }

    /// Puts an event into every seat's queue. Seats that it ends, and those whose connection is ending, are given up.
    fn tell(&mut self, event: &Arc<ChatEvent>) {
        let Some(head) = self.head.clone() else {
            return;
        };
        let mut encodings = Encodings::new(&head, event);
        let seats = self.seats.len();
        self.seats.retain(|Sitting { seat, after }| {
            if event.seq.is_some_and(|seq| seq <= *after) {
                return true;
            }
            let stays = match encodings.frame(seat) {
                Some(frame) => seat.queue.push(frame),
                None => true,
            };
            match seat.end(event) {
                Some(close) => {
                    seat.queue.close(close);
                    false
                }
                None => stays,
            }
        });
        if self.seats.len() < seats && self.seats.is_empty() {
            self.empty_since = Some(Instant::now());
        }
    }

    /// Who resumes later hears a message in its latest state.
    fn update_memory(&mut self, message: &Arc<Message>) {
        for event in &mut self.memory {
            let latest = match &event.what {
                What::Sent(old) if old.id == message.id => What::Sent(message.clone()),
                What::Edited(old) if old.id == message.id => What::Edited(message.clone()),
                _ => continue,
            };
            *event = Arc::new(ChatEvent {
                what: latest,
                ..ChatEvent::clone(event)
            });
        }
    }
}
