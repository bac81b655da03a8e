//! What all topics of the domain share.

use std::{sync::Arc, time::Duration};

use entity::UserId;

use crate::{
    chat::{Limits, people::People, writer::Writer},
    lease::Windows,
    store::Store,
};

/// The window in which sends and changes are counted.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The store, the writer, who users are, and what is limited.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) people: Arc<People>,
    pub(crate) limits: Limits,
    /// Accepted sends.
    pub(crate) sends: Windows<UserId>,
    /// Edits, deletions and reactions.
    pub(crate) changes: Windows<UserId>,
    /// New rooms.
    pub(crate) rooms: Windows<UserId>,
}

impl Core {
    pub(crate) fn new(store: Store, writer: Writer, people: Arc<People>, limits: Limits) -> Self {
        Core {
            sends: Windows::new(limits.messages_per_minute, MINUTE),
            changes: Windows::new(limits.changes_per_minute, MINUTE),
            rooms: Windows::new(limits.rooms_per_hour, Duration::from_secs(3600)),
            store,
            writer,
            people,
            limits,
        }
    }
}
