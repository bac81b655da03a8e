//! The JSON objects that several edges show: the same message, user and chat over REST and on every socket.
//!
//! Not here: rules (`chat`), which edge shows what to whom. Field order is the order on the wire.

mod message;
mod time;

pub use message::{MessageView, SenderView};
pub use time::Timestamp;
