//! The REST message object, the same everywhere.

use entity::ContentType;
use serde::Serialize;

use crate::{
    chat::{Message, Profile},
    view::Timestamp,
};

/// Who said it.
#[derive(Clone, Debug, Serialize)]
pub struct SenderView {
    /// The account.
    pub id: i64,
    /// The name that it signs in with.
    pub username: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
}

impl From<&Profile> for SenderView {
    fn from(profile: &Profile) -> Self {
        Self {
            id: profile.id.0,
            username: profile.username.clone(),
            first_name: profile.first_name.clone(),
            last_name: profile.last_name.clone(),
        }
    }
}

/// A message in its latest state.
#[derive(Clone, Debug, Serialize)]
pub struct MessageView {
    /// Names it.
    pub id: i64,
    /// Where it was said.
    pub chat: i64,
    /// Its number in the chat.
    pub seq: i64,
    /// Empty once deleted.
    pub text: String,
    /// Who said it.
    pub sender: SenderView,
    /// When; never goes back within a chat.
    pub timestamp: Timestamp,
    /// Whether its text was changed.
    pub is_edited: bool,
    /// When.
    pub edited_at: Option<Timestamp>,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// What the text is.
    pub content_type: ContentType,
    /// A file, where it is one.
    pub attachment: Option<()>,
}

impl From<&Message> for MessageView {
    fn from(message: &Message) -> Self {
        Self {
            id: message.id.0,
            chat: message.chat.0,
            seq: message.seq.0,
            text: message.text.clone(),
            sender: message.sender.as_ref().into(),
            timestamp: Timestamp(message.timestamp),
            is_edited: message.edited_at.is_some(),
            edited_at: message.edited_at.map(Timestamp),
            is_deleted: message.is_deleted,
            reply_to: message.reply_to.map(|id| id.0),
            content_type: message.content_type,
            attachment: None,
        }
    }
}
