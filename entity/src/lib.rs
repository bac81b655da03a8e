//! The tables of Tertulia as SeaORM entities, and the typed ids of their rows.
//!
//! Times are UTC with microseconds. Not here: what may be written (`chat`), how (`store`), the tables' making (`migration`).

mod id;
mod kind;

pub mod attachment;
pub mod block;
pub mod change;
pub mod chat;
pub mod deployment;
pub mod imported;
pub mod member;
pub mod message;
pub mod reaction;
pub mod recovery;
pub mod search_mark;
pub mod session;
pub mod ticket_use;
pub mod user;

pub use id::{ChatId, MessageId, Seq, SessionId, UserId};
pub use kind::{ChangeKind, ChatKind, ContentType, Role, SessionKind};

/// A moment, as all tables hold it.
pub type Time = chrono::DateTime<chrono::Utc>;
