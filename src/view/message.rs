//! The REST message object, the same everywhere.

use entity::ContentType;
use serde::Serialize;

use crate::{
    chat::{Attachment, Message},
    view::{ProfileView, Timestamp},
};

/// A message in its latest state. Borrowed: a page of them is written without a copy of its texts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MessageView<'a> {
    /// Names it.
    pub id: i64,
    /// Where it was said.
    pub chat: i64,
    /// Its number in the chat.
    pub seq: i64,
    /// Empty once deleted.
    pub text: &'a str,
    /// Who said it.
    pub sender: ProfileView<'a>,
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
    pub attachment: Option<AttachmentView<'a>>,
}

/// A file as its message shows it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AttachmentView<'a> {
    /// Names it.
    pub id: i64,
    /// As its sender called it, made safe.
    pub name: &'a str,
    /// By its content.
    pub content_type: &'a str,
    /// Its size.
    pub bytes: i64,
    /// Where it is fetched, for an hour, by whoever has the address.
    pub url: &'a str,
}

impl<'a> From<&'a Attachment> for AttachmentView<'a> {
    fn from(attachment: &'a Attachment) -> Self {
        Self {
            id: attachment.id,
            name: &attachment.name,
            content_type: &attachment.content_type,
            bytes: attachment.bytes,
            url: &attachment.url,
        }
    }
}

impl<'a> From<&'a Message> for MessageView<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            id: message.id.0,
            chat: message.chat.0,
            seq: message.seq.0,
            text: &message.text,
            sender: message.sender.as_ref().into(),
            timestamp: Timestamp(message.timestamp),
            is_edited: message.edited_at.is_some(),
            edited_at: message.edited_at.map(Timestamp),
            is_deleted: message.is_deleted,
            reply_to: message.reply_to.map(|id| id.0),
            content_type: message.content_type,
            attachment: message.attachment.as_deref().map(AttachmentView::from),
        }
    }
}
