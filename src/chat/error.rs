//! What can go wrong in the domain, in its own words. Each edge has one function that puts it into its own form.

use std::time::Duration;

use crate::{
    chat::account_names::{EMAIL_TAKEN, USERNAME_TAKEN},
    store::StoreError,
};

/// Why an operation was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChatError {
    /// The chat, message, member or user doesn't exist for this user: a stranger learns no more.
    #[error("no such {0} for this user")]
    NotFound(Thing),
    /// The user may see it, but not do that.
    #[error("not allowed: {0}")]
    Forbidden(&'static str),
    /// Nothing is left of the text after trimming.
    #[error("the text is empty")]
    EmptyText,
    /// The text has more Unicode scalar values than fit.
    #[error("text of {chars} characters, at most {max} fit")]
    TextTooLong {
        /// What came.
        chars: usize,
        /// What fits.
        max: usize,
    },
    /// The text holds U+0000.
    #[error("the text holds a null character")]
    NullCharacter,
    /// A value that can't be: which field, and why in DRF's words.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// A sentence for people.
        reason: String,
    },
    /// The user's window of sends is full.
    #[error("too many messages: at most {per_minute} per minute, the next in {retry_after:?}")]
    TooManyMessages {
        /// The limit.
        per_minute: u32,
        /// When one more may come.
        retry_after: Duration,
    },
    /// Every limit but that of sends.
    #[error("too many requests, the next in {retry_after:?}")]
    TooManyRequests {
        /// When one more may come.
        retry_after: Duration,
    },
    /// The database is away, or the writer's queue is full. The outcome may be unknown.
    #[error("temporarily unavailable")]
    Unavailable,
    /// Storage failed: the log gets the cause, a client never does.
    #[error("storage failed: {0}")]
    Store(#[from] StoreError),
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A chat.
    Chat,
    /// A message of a chat.
    Message,
    /// A member of a chat.
    Member,
    /// A user.
    User,
    /// A sign-in.
    Session,
    /// A file of a message.
    Attachment,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Thing::Chat => "chat",
            Thing::Message => "message",
            Thing::Member => "member",
            Thing::User => "user",
            Thing::Session => "session",
            Thing::Attachment => "attachment",
        })
    }
}

impl ChatError {
    /// Whether it says that somebody else has this name or address.
    pub fn is_taken(&self) -> bool {
        let is_told = |reason: &str| [USERNAME_TAKEN, EMAIL_TAKEN].contains(&reason);
        matches!(self, ChatError::Invalid { reason, .. } if is_told(reason))
    }

    /// A field's value that can't be, with a sentence for people.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        ChatError::Invalid {
            field,
            reason: reason.into(),
        }
    }
}
