//! What can be asked of the writer besides sending: each operation is a rule that runs in its transaction.

use std::{future::Future, pin::Pin};

use entity::ChatId;
use tokio::sync::oneshot;

use super::turn::Turn;
use crate::chat::ChatError;

/// Something durable that isn't a new message.
///
/// The writer calls `apply` inside a transaction that has locked `chats()`. It may be called again after a rollback,
/// so it changes nothing but the turn. It checks first and writes then: an error other than `Store` must leave no
/// row behind, since the rest of the batch goes on. Its output is handed to the caller after the commit.
pub(crate) trait Operation: Send + Sync + 'static {
    /// What the caller learns.
    type Output: Send + 'static;

    /// The chats that it touches.
    fn chats(&self) -> Vec<ChatId>;

    /// Checks its rules and writes.
    fn apply(
        &self,
        turn: &mut Turn<'_>,
    ) -> impl Future<Output = Result<Self::Output, ChatError>> + Send;
}

type Applying<'a> = Pin<Box<dyn Future<Output = Result<(), ChatError>> + Send + 'a>>;

/// An operation with its caller, whatever its output.
pub(crate) trait Asked: Send {
    fn chats(&self) -> Vec<ChatId>;
    /// Applies it and keeps its output. Only `Store` errors come back: they end the batch.
    fn apply<'a>(&'a mut self, turn: &'a mut Turn<'_>) -> Applying<'a>;
    /// Answers the caller: with what was kept, or why not.
    fn answer(self: Box<Self>, failed: Option<ChatError>);
}

/// One operation and who waits for it.
pub(super) struct Pending<O: Operation> {
    pub(super) operation: O,
    pub(super) output: Option<Result<O::Output, ChatError>>,
    pub(super) caller: oneshot::Sender<Result<O::Output, ChatError>>,
}

impl<O: Operation> Asked for Pending<O> {
    fn chats(&self) -> Vec<ChatId> {
        self.operation.chats()
    }

    fn apply<'a>(&'a mut self, turn: &'a mut Turn<'_>) -> Applying<'a> {
        Box::pin(async move {
            match self.operation.apply(turn).await {
                Err(ChatError::Store(error)) => Err(ChatError::Store(error)),
                output => {
                    self.output = Some(output);
                    Ok(())
                }
            }
        })
    }

    fn answer(self: Box<Self>, failed: Option<ChatError>) {
        let output = match failed {
            Some(error) => Err(error),
            None => self.output.unwrap_or(Err(ChatError::Unavailable)),
        };
        // Nobody listens where the caller's task died with its socket.
        let _ = self.caller.send(output);
    }
}
