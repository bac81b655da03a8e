//! Connections, each with a task of its own, and the one who waits for them.

use std::{cell::Cell, convert::Infallible, future::Future, rc::Rc};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{
    error::LoadError, journal::Journal, people::Seat, progress::Progress, socket::Socket,
    target::Target,
};

/// Connections that are being made at a time.
const JOINING_AT_A_TIME: usize = 64;

/// Tasks that end only when something went wrong, and with the crowd.
#[derive(Default)]
pub(super) struct Crowd {
    tasks: JoinSet<Result<Infallible, LoadError>>,
}

/// Lets a few in at a time, and knows when all are.
pub(super) struct Door {
    places: Semaphore,
    outside: Cell<usize>,
    has_emptied: Notify,
    progress: Progress,
}

impl Crowd {
    pub(super) fn add(
        &mut self,
        life: impl Future<Output = Result<Infallible, LoadError>> + 'static,
    ) {
        self.tasks.spawn_local(life);
    }

    /// Waits for `event`; who ends meanwhile ends the load.
    pub(super) async fn until<T>(
        &mut self,
        event: impl Future<Output = T>,
    ) -> Result<T, LoadError> {
        tokio::select! {
            happened = event => Ok(happened),
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(Err(error)) => Err(error),
                Err(_) => Err(LoadError::Protocol("a receiver gave up at what it heard")),
            },
        }
    }
}

impl Door {
    /// So many are outside.
    pub(super) fn new(outside: usize) -> Rc<Self> {
        Rc::new(Self {
            places: Semaphore::new(JOINING_AT_A_TIME),
            outside: Cell::new(outside),
            has_emptied: Notify::new(),
            progress: Progress::start("connecting", outside),
        })
    }

    pub(super) async fn enter(
        &self,
        target: &Target,
        number: usize,
        seat: &Seat,
        senders: usize,
    ) -> Result<(Socket, Journal), LoadError> {
        let _place = self.places.acquire().await;
        let joined = join(target, number, seat, senders).await?;
        self.progress.step();
        self.outside.set(self.outside.get() - 1);
        if self.outside.get() == 0 {
            self.has_emptied.notify_one();
        }
        Ok(joined)
    }

    pub(super) async fn all_are_in(&self) {
        if self.outside.get() > 0 {
            self.has_emptied.notified().await;
        }
    }
}

/// Takes a seat: done when the server says that the connection stands (the limit says nothing).
pub(super) async fn join(
    target: &Target,
    number: usize,
    seat: &Seat,
    senders: usize,
) -> Result<(Socket, Journal), LoadError> {
    let mut socket = Socket::open(target, number, &seat.path, seat.token.as_deref()).await?;
    for words in &seat.first_words {
        socket.queue(words.as_bytes());
    }
    let mut journal = Journal::new(seat.dialect, senders);
    while !target.is_limit && !journal.is_established() {
        socket.turn(|frame| journal.hear(frame).map(drop)).await?;
    }
    Ok((socket, journal))
}
