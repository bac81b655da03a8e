//! What waits in a channel of this process.
//!
//! Bounded by: `INBOX_MESSAGES_MAX` and `INBOX_BYTES_MAX`; beyond them what comes is dropped, and the reader told so.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::layer::{Complaints, LayerError, LayerMessage, MessageError};

const INBOX_MESSAGES_MAX: usize = 10_000;
const INBOX_BYTES_MAX: usize = 16 << 20;

const OVERFLOWED: &str = "more came than could be taken";
/// The connection that brought messages has ended, and there is a new one.
pub(super) const CUT_OFF: &str = "the connection was away";

#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    come: Notify,
    complaints: Complaints,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    lost: Option<&'static str>,
    is_ended: bool,
}

impl Inbox {
    /// Puts what came into the channel, as it came: it is read by whoever receives.
    pub(super) fn put(&self, body: Bytes) {
        let mut state = self.state.lock();
        if state.waiting.len() == INBOX_MESSAGES_MAX || state.bytes + body.len() > INBOX_BYTES_MAX {
            state.lost = Some(OVERFLOWED);
        } else {
            state.bytes += body.len();
            state.waiting.push_back(body);
        }
        drop(state);
        self.come.notify_one();
    }

    /// Tells the reader that something is missing.
    pub(super) fn lose(&self, why: &'static str) {
        self.state.lock().lost = Some(why);
        self.come.notify_one();
    }

    /// Nobody puts anything more in.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        *state = State {
            is_ended: true,
            ..State::default()
        };
        drop(state);
        self.come.notify_waiters();
        self.come.notify_one();
    }

    /// The next message that `open` makes sense of.
    pub(super) async fn receive(
        &self,
        open: impl Fn(Bytes) -> Result<LayerMessage, MessageError>,
    ) -> Result<LayerMessage, LayerError> {
        loop {
            let come = self.come.notified();
            match self.next()? {
                None => come.await,
                Some(body) => match open(body) {
                    Ok(message) => return Ok(message),
                    Err(error) => self.complaints.log(&error),
                },
            }
        }
    }

    fn next(&self) -> Result<Option<Bytes>, LayerError> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(LayerError::Away("the channel has ended".to_owned()));
        }
        let next = state.waiting.pop_front();
        state.bytes -= next.as_ref().map_or(0, Bytes::len);
        match (next, state.lost) {
            // What came before the loss comes first.
            (None, Some(_)) => Err(LayerError::Lost(state.lost.take().unwrap_or(OVERFLOWED))),
            (next, _) => Ok(next),
        }
    }
}

/// The inboxes of a process' channels.
pub(super) type Channels = std::collections::HashMap<String, Arc<Inbox>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(n: usize) -> Bytes {
        let message = LayerMessage::pack(&serde_json::json!({"type": "x", "n": n}));
        message.expect("packed").packed().clone()
    }

    #[tokio::test]
    async fn a_flood_is_dropped_the_reader_is_told_and_goes_on() {
        let inbox = Inbox::default();
        for n in 0..INBOX_MESSAGES_MAX + 500 {
            inbox.put(body(n));
        }
        for n in 0..INBOX_MESSAGES_MAX {
            let came = inbox
                .receive(LayerMessage::from_wire)
                .await
                .expect("a message");
            assert_eq!(came.packed(), &body(n));
        }
        let lost = inbox.receive(LayerMessage::from_wire).await;
        assert!(
            matches!(lost, Err(LayerError::Lost(OVERFLOWED))),
            "{lost:?}"
        );
        inbox.put(body(7));
        assert_eq!(
            inbox
                .receive(LayerMessage::from_wire)
                .await
                .expect("the next")
                .packed(),
            &body(7)
        );
        for _ in 0..20 {
            inbox.put(vec![0; 1 << 20].into());
        }
        assert_eq!(inbox.state.lock().waiting.len(), 16);
    }

    #[tokio::test]
    async fn what_is_no_message_is_passed_over() {
        let inbox = Inbox::default();
        for wrong in [
            &b""[..],
            b"\xc1",
            b"garbage",
            b"\x93\x01\x02\x03",
            b"\x81\x01\x02",
            b"{\"a\": nil}",
        ] {
            inbox.put(Bytes::from_static(wrong));
        }
        inbox.put(body(1));
        assert_eq!(
            inbox
                .receive(LayerMessage::from_wire)
                .await
                .expect("it")
                .packed(),
            &body(1)
        );
    }
}
