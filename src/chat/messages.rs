//! Sending, editing, deleting messages and reacting to them.

use std::sync::Arc;

use entity::{ChatId, ContentType, MessageId, UserId};

use crate::chat::{Actor, ChatError, Message};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct SendMessage {
    /// Where.
    pub chat: ChatId,
    /// As it came: trimmed and checked here.
    pub text: String,
    /// The sender's own key, up to 64 characters: the same again gives the first message.
    pub client_id: Option<String>,
    /// A message of the same chat.
    pub reply_to: Option<MessageId>,
    /// What the text is.
    pub content_type: ContentType,
}

/// A message that is committed.
#[derive(Clone, Debug)]
pub struct Sent {
    /// It, or the first one with its `client_id`.
    pub message: Arc<Message>,
    /// It was there before: nothing was published.
    pub repeat: bool,
}

/// A new text for a message.
#[derive(Clone, Debug)]
pub struct EditMessage {
    /// Where.
    pub chat: ChatId,
    /// Which.
    pub message: MessageId,
    /// As it came.
    pub text: String,
}

/// What is said, unsaid and reacted to.
pub struct Messages {}

impl Messages {
    /// Sends a message. What comes back is committed; a repeated `client_id` gives the first one again.
    pub async fn send(&self, actor: &Actor, send: SendMessage) -> Result<Sent, ChatError> {
        let _ = (actor, send);
        unimplemented!()
    }

    /// Changes the text of one's own message.
    pub async fn edit(&self, actor: &Actor, edit: EditMessage) -> Result<Arc<Message>, ChatError> {
        let _ = (actor, edit);
        unimplemented!()
    }

    /// Deletes a message: one's own, or as owner, admin or staff.
    pub async fn delete(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
    ) -> Result<Arc<Message>, ChatError> {
        let _ = (actor, chat, message);
        unimplemented!()
    }

    /// Deletes all of a user's messages in a chat, as owner, admin or staff. Returns how many.
    pub async fn delete_all_of(
        &self,
        actor: &Actor,
        chat: ChatId,
        sender: UserId,
    ) -> Result<u64, ChatError> {
        let _ = (actor, chat, sender);
        unimplemented!()
    }

    /// Puts a reaction on a message. Returns whether it is new.
    pub async fn react(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
        emoji: &str,
    ) -> Result<bool, ChatError> {
        let _ = (actor, chat, message, emoji);
        unimplemented!()
    }

    /// Takes a reaction back. Returns whether it was there.
    pub async fn unreact(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
        emoji: &str,
    ) -> Result<bool, ChatError> {
        let _ = (actor, chat, message, emoji);
        unimplemented!()
    }
}
