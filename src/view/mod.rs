//! The JSON objects that several edges show: the same message, user and chat over REST and on every socket.
//!
//! Not here: rules (`chat`), which edge shows what to whom. Field order is the order on the wire.

mod chat;
mod event;
mod message;
mod page;
mod time;
mod user;

pub use chat::{ChatHeadView, ChatKindView, ChatView, MemberView};
pub use event::{ComingView, EventView, MembershipView, NamesView, PresenceView, ReactionView};
pub use message::{AttachmentView, MessageView};
pub use page::{Links, PageView};
pub use time::Timestamp;
pub use user::{AccountView, ProfileView, UserView};
