//! How far members have read. Marks never go back and are merged: the newest per member is committed.

use std::sync::Arc;

use entity::{ChatId, MessageId, Seq, UserId};

use crate::chat::{
    Actor, ChatError, Thing,
    core::Core,
    writer::{DueMark, Operation, Turn},
};

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
pub struct Reading {
    pub(super) core: Arc<Core>,
}

impl Reading {
    /// Marks everything up to a message as read (none: all there is). Told to the others within a second, committed
    /// with the next batch.
    pub async fn mark(
        &self,
        actor: &Actor,
        chat: ChatId,
        up_to: Option<MessageId>,
    ) -> Result<Mark, ChatError> {
        let (mark, due) = self.prepare(actor, chat, up_to).await?;
        if let Some(due) = due {
            self.core.writer.mark(due);
        }
        Ok(mark)
    }

    /// As `mark`, but committed when it returns.
    pub async fn mark_committed(
        &self,
        actor: &Actor,
        chat: ChatId,
        up_to: Option<MessageId>,
    ) -> Result<Mark, ChatError> {
        let (mark, due) = self.prepare(actor, chat, up_to).await?;
        if let Some(due) = due {
            self.core.writer.carry_out(Commit(due.clone())).await?;
            // Written already; this tells the others, at the pace at which marks are told.
            self.core.writer.mark(due);
        }
        Ok(mark)
    }

    async fn prepare(
        &self,
        actor: &Actor,
        chat: ChatId,
        up_to: Option<MessageId>,
    ) -> Result<(Mark, Option<DueMark>), ChatError> {
        let core = &self.core;
        // What was marked and isn't committed yet counts. Asked first: what is committed meanwhile is in the row then.
        let pending = core.writer.pending_mark(chat, actor.id()).unwrap_or(Seq(0));
        let standing = core.standing(actor, chat).await?;
        let asked = match up_to {
            None => standing.row.chat.last_seq,
            Some(message) => {
                let found = core.store.find_message(chat, message).await?;
                found
                    .map(|row| row.seq)
                    .ok_or(ChatError::NotFound(Thing::Message))?
            }
        };
        let before = standing.last_read_seq().max(pending);
        let last_read_seq = asked.max(before);
        let moved = last_read_seq > before;
        let last_read_message = core.store.newest_message_at(chat, last_read_seq).await?;
        let unread_count = core
            .store
            .count_unread(chat, actor.id(), last_read_seq)
            .await?;
        let due = moved.then(|| DueMark {
            chat,
            user: actor.user.clone(),
            seq: last_read_seq,
            message: last_read_message,
            connection: actor.connection,
            as_operator: standing.as_operator,
        });
        Ok((
            Mark {
                last_read_seq,
                last_read_message,
                unread_count,
                moved,
            },
            due,
        ))
    }
}

/// Writes a mark at once.
struct Commit(DueMark);

impl Operation for Commit {
    type Output = ();

    fn chats(&self) -> Vec<ChatId> {
        match self.0.as_operator {
            // Theirs is the chat's own row: locked in the order of all others.
            true => vec![self.0.chat],
            false => Vec::new(),
        }
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<(), ChatError> {
        let mark = &self.0;
        if mark.as_operator {
            turn.batch()
                .write_operator_marks(&[(mark.chat, mark.seq)])
                .await?;
        } else {
            turn.batch()
                .write_marks(&[(mark.chat, mark.user.id, mark.seq)])
                .await?;
        }
        Ok(())
    }
}
