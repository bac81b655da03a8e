//! The domain: what a chat is and what may happen in it. Every edge asks here, and nothing decides elsewhere.
//!
//! Here: users, sessions, chats, members, messages, reading, limits, and the writer that commits them in groups.
//! Not here: frames and dialects (`ws`), status codes and JSON (`rest`, `view`), SQL (`store`), delivery (`hub`).
//! Relies on: the writer alone takes numbers of a chat, under the chat row's lock (`writer.rs`).
//! Bounded by: the writer's queue (`QUEUE_JOBS_MAX`, `QUEUE_BYTES_MAX`), the caches' sizes, `Limits`.

mod actor;
mod chats;
mod core;
mod error;
mod event;
mod history;
mod limits;
mod members;
mod messages;
mod names;
mod people;
mod reading;
mod refresh;
mod revoked;
mod sessions;
mod signin;
mod standing;
#[cfg(test)]
mod testing;
mod text;
mod throttle;
mod users;
mod writer;

pub use actor::Actor;
pub use chats::{ChatListed, ChatPatch, Chats, Created, Entered, NewChat};
pub use error::{ChatError, Thing};
pub use event::{ChatEvent, ChatHead, ConnectionId, Message, Profile, Publish, What};
pub use history::{Direction, History, KeysetPage, NumberedPage, PageNumber, Replay};
pub use limits::Limits;
pub use members::{Member, Members};
pub use messages::{EditMessage, Messages, SendMessage, Sent};
pub use reading::{Mark, ReadPosition, Reading};
pub use revoked::Revoked;
pub use sessions::{
    AuthError, Means, PasswordError, SessionListed, SessionRules, Sessions, SignIn, SignInError,
    TokenPair,
};
pub use text::Text;
pub use users::{Account, NewUser, StaffPatch, UserPage, UserPatch, Users};

/// The domain's operations, by topic. One per node.
pub struct Domain {
    /// Accounts, profiles, blocks.
    pub users: Users,
    /// Sign-ins, tokens, tickets.
    pub sessions: Sessions,
    /// Making, listing, changing and deleting chats.
    pub chats: Chats,
    /// Who belongs to a chat.
    pub members: Members,
    /// Sending, editing, deleting, reacting.
    pub messages: Messages,
    /// How far members have read.
    pub reading: Reading,
    /// Pages of messages and what happened since.
    pub history: History,
}

impl Domain {
    /// The database's clock.
    pub fn now(&self) -> entity::Time {
        crate::store::database_time()
    }
}
