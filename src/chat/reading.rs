//! How far members have read. Marks never go back and are merged: the newest per member is committed.

use entity::{ChatId, MessageId, Seq, UserId};

use crate::chat::{Actor, ChatError};

/// How far a member has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPosition {
    /// Who.
    pub user: UserId,
    /// Up to which number.
    pub last_read_seq: Seq,
}

/// The answer to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the member stands now.
    pub last_read_seq: Seq,
    /// The newest message at or before it, where there is one.
    pub last_read_message: Option<MessageId>,
    /// Others' messages after it that aren't deleted, counted to 1000.
    pub unread_count: u64,
    /// It moved: the others are told. Else it is answered on its own connection only.
    pub moved: bool,
}

/// Marks of reading.
pub struct Reading {}

impl Reading {
    /// Marks everything up to a message as read (none: all there is). Told to the others within a second, committed
    /// with the next batch.
    pub async fn mark(
        &self,
        actor: &Actor,
        chat: ChatId,
        up_to: Option<MessageId>,
    ) -> Result<Mark, ChatError> {
        let _ = (actor, chat, up_to);
        unimplemented!()
    }

    /// As `mark`, but committed when it returns.
    pub async fn mark_committed(
        &self,
        actor: &Actor,
        chat: ChatId,
        up_to: Option<MessageId>,
    ) -> Result<Mark, ChatError> {
        let _ = (actor, chat, up_to);
        unimplemented!()
    }
}
