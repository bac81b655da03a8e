//! How a request's connection is handed to whoever speaks the next protocol on it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::stream::Stream;

type Takeover = Box<dyn FnOnce(Stream, Bytes) + Send>;

/// In the extensions of every request. An endpoint that answers 101 leaves here who takes the
/// socket; it gets the bare socket once the answer is written, and with it the bytes that the
/// client sent already. Nothing of the HTTP machinery outlives that.
///
/// With any other answer the takeover is dropped uncalled; so it is when the connection breaks
/// before the answer is written.
#[derive(Clone, Default)]
pub struct UpgradeSlot(Arc<Mutex<Option<Takeover>>>);

impl UpgradeSlot {
    /// Leaves who takes the socket over.
    pub fn fill(&self, takeover: impl FnOnce(Stream, Bytes) + Send + 'static) {
        *self.0.lock() = Some(Box::new(takeover));
    }

    pub(super) fn take(&self) -> Option<Takeover> {
        self.0.lock().take()
    }
}
