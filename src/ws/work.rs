//! What a consumer is doing: connecting, serving a frame, disconnecting, or nothing. Its futures are
//! boxed while they run, so that a connection at rest is small; a panic in one is caught, logged, and
//! ends this connection alone.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tracing::{error, info};
use tungstenite::Utf8Bytes;

use super::{
    Sockets, close,
    consumer::{Connection, Consumer},
    registry::Entry,
    signin::Handshake,
};
use crate::{
    chat::ConnectionId,
    hub::Close,
    metrics::{self, Held},
};

pub(super) enum Work<C: Consumer> {
    /// The next frame may come.
    Idle(Box<Served<C>>),
    Busy(Pin<Box<dyn Future<Output = Outcome<C>> + Send>>),
    /// There is no consumer: never was, or not any more.
    Done,
}

/// A consumer and its connection.
pub(super) struct Served<C: Consumer> {
    consumer: C,
    cx: Connection<C::World>,
    /// It counts as open.
    open: Held,
}

impl<C: Consumer> Served<C> {
    fn begin(consumer: C, cx: Connection<C::World>) -> Self {
        metrics::CONNECTIONS_OPENED.of(C::NAME).one();
        let open = metrics::CONNECTIONS.of(C::NAME).hold();
        Self { consumer, cx, open }
    }
}

/// How a piece of work ended.
pub(super) struct Outcome<C: Consumer> {
    served: Option<Box<Served<C>>>,
    result: Result<(), Close>,
}

impl<C: Consumer> Work<C> {
    /// Begins with letting the client in, or not.
    pub(super) fn connect(
        sockets: Arc<Sockets<C::World>>,
        entry: Arc<Entry>,
        handshake: Handshake,
    ) -> Self {
        Self::Busy(Box::pin(async move {
            let mut cx = Connection::new(sockets, entry);
            let connected = guard::<C, _>(cx.id(), C::connect(&mut cx, &handshake)).await;
            match connected.and_then(|connected| connected) {
                Ok(consumer) => {
                    log_connected::<C>(&cx, &handshake);
                    Outcome {
                        served: Some(Box::new(Served::begin(consumer, cx))),
                        result: Ok(()),
                    }
                }
                Err(close) => {
                    metrics::CONNECTIONS_REFUSED.of(close.code).one();
                    log_refused::<C>(&cx, &handshake, close);
                    Outcome {
                        served: None,
                        result: Err(close),
                    }
                }
            }
        }))
    }

    /// Goes on with what runs. An error is why the connection must end.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let Self::Busy(running) = self else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(outcome) = running.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        *self = outcome.served.map_or(Self::Done, Self::Idle);
        Poll::Ready(outcome.result)
    }

    /// Whether frames wait for an answer that comes later.
    pub(super) fn owes_later(&self) -> bool {
        matches!(self, Self::Idle(served) if served.cx.owes_later())
    }

    /// Whether the next frame may come although others are answered later.
    pub(super) fn takes_later(&self) -> bool {
        matches!(self, Self::Idle(served) if served.cx.takes_later())
    }

    /// Answers what can be answered by now.
    pub(super) fn poll_later(&mut self, context: &mut Context<'_>) -> Result<(), Close> {
        let Self::Idle(served) = self else {
            return Ok(());
        };
        let cx = &mut served.cx;
        match catch_unwind(AssertUnwindSafe(|| cx.poll_later(context))) {
            Ok(Poll::Ready(answered)) => answered,
            Ok(Poll::Pending) => Ok(()),
            Err(_) => Err(panicked::<C>(cx.id())),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle(_))
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Serves a frame, if nothing else runs. What has changed of whoever sends it is known before.
    pub(super) fn receive(&mut self, frame: Utf8Bytes) {
        self.begin(|mut served| {
            Box::pin(async move {
                let Served { consumer, cx, .. } = &mut *served;
                let outdated = consumer.actor().filter(|_| cx.takes_change());
                let mut result = match outdated {
                    Some(actor) => {
                        let renewed = guard::<C, _>(cx.id(), Box::pin(cx.renew(actor)));
                        renewed.await.flatten()
                    }
                    None => Ok(()),
                };
                if result.is_ok() {
                    let received = guard::<C, _>(cx.id(), consumer.receive(cx, &frame)).await;
                    result = received.flatten();
                }
                Outcome {
                    result,
                    served: Some(served),
                }
            })
        });
    }

    /// Asks whether the session lives on by which somebody is signed in, if nothing else runs.
    pub(super) fn ask_for_session(&mut self) {
        self.begin(|served| {
            Box::pin(async move {
                let cx = &served.cx;
                let asked = guard::<C, _>(cx.id(), cx.ask_for_session()).await;
                Outcome {
                    result: asked.flatten(),
                    served: Some(served),
                }
            })
        });
    }

    /// Counts a control frame against the connection's pace.
    pub(super) fn receive_control(&mut self) -> Result<(), Close> {
        if let Self::Idle(served) = self
            && !served.cx.takes_frame()
        {
            return served.cx.violates();
        }
        Ok(())
    }

    /// Takes leave of the consumer, if nothing else runs.
    pub(super) fn disconnect(&mut self, close: Close) {
        self.begin(|served| {
            Box::pin(async move {
                let Served {
                    consumer,
                    mut cx,
                    open,
                } = *served;
                let left = guard::<C, _>(cx.id(), consumer.disconnect(&mut cx, &close)).await;
                drop(open);
                Outcome {
                    served: None,
                    result: left,
                }
            })
        });
    }

    fn begin(
        &mut self,
        work: impl FnOnce(Box<Served<C>>) -> Pin<Box<dyn Future<Output = Outcome<C>> + Send>>,
    ) {
        *self = match std::mem::replace(self, Self::Done) {
            Self::Idle(served) => Self::Busy(work(served)),
            other => other,
        };
    }
}

/// A panic becomes the close that tells of a fault.
async fn guard<C: Consumer, T>(
    id: ConnectionId,
    future: impl Future<Output = T>,
) -> Result<T, Close> {
    let guarded = AssertUnwindSafe(future).catch_unwind().await;
    guarded.map_err(|_| panicked::<C>(id))
}

fn panicked<C: Consumer>(id: ConnectionId) -> Close {
    let (id, dialect) = (id.0, C::NAME);
    error!(
        connection = id,
        dialect, "connection {id}: its {dialect} consumer panicked"
    );
    close::FAULT
}

fn log_connected<C: Consumer>(cx: &Connection<C::World>, handshake: &Handshake) {
    let (id, dialect, user) = (cx.id().0, C::NAME, cx.user().map(|user| user.0));
    let client = handshake.approach.client.map(tracing::field::display);
    let user_agent = &handshake.user_agent;
    info!(
        connection = id,
        dialect, user, client, user_agent, "connection {id}: connected to {dialect}"
    );
}

fn log_refused<C: Consumer>(cx: &Connection<C::World>, handshake: &Handshake, close: Close) {
    let (id, dialect, user) = (cx.id().0, C::NAME, cx.user().map(|user| user.0));
    let client = handshake.approach.client.map(tracing::field::display);
    let (code, reason) = (close.code, close.reason);
    info!(
        connection = id,
        dialect, user, client, code, "connection {id}: refused by {dialect}, {code} {reason}"
    );
}
