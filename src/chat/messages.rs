//! Sending, editing, deleting messages and reacting to them.

use std::sync::Arc;

use entity::{ChangeKind, ChatId, ContentType, MessageId, Role, UserId, message};
use tracing::debug;

use crate::{
    chat::{
        Actor, ChatError, Message, Text, Thing, What,
        attachments::NewFile,
        core::Core,
        writer::{By, Change, NewMessage, Operation, OverLimit, Turn},
    },
    lease::Slot,
    metrics,
};

/// Characters of a `client_id`.
const CLIENT_ID_CHARS: usize = 64;
/// Bytes of a reaction: the longest emoji sequences have about 40.
const EMOJI_BYTES: usize = 64;
/// Messages that one operation deletes at most; the rest is deleted by the next.
const DELETE_AT_ONCE: u64 = 500;

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
pub struct Messages {
    pub(super) core: Arc<Core>,
}

impl Messages {
    /// Sends a message. What comes back is committed; a repeated `client_id` gives the first one again.
    pub async fn send(&self, actor: &Actor, send: SendMessage) -> Result<Sent, ChatError> {
        self.post(actor, send)?.await
    }

    /// Hands a message to the writer, after those handed to it before. What comes back waits until it is committed;
    /// dropped, the message is sent all the same.
    pub fn post(
        &self,
        actor: &Actor,
        send: SendMessage,
    ) -> Result<impl Future<Output = Result<Sent, ChatError>> + use<>, ChatError> {
        self.post_with(actor, send, None)
    }

    /// The same with a file, whose name is the text.
    pub(super) fn post_file(
        &self,
        actor: &Actor,
        send: SendMessage,
        file: Arc<NewFile>,
    ) -> Result<impl Future<Output = Result<Sent, ChatError>> + use<>, ChatError> {
        self.post_with(actor, send, Some(file))
    }

    fn post_with(
        &self,
        actor: &Actor,
        send: SendMessage,
        file: Option<Arc<NewFile>>,
    ) -> Result<impl Future<Output = Result<Sent, ChatError>> + use<>, ChatError> {
        let chars_max = match file {
            Some(_) => 0, // bounded already
            None => self.core.limits.message_chars,
        };
        let text = Text::parse(&send.text, chars_max)?;
        let client_id = send.client_id.map(checked_client_id).transpose()?;
        let slot = self.core.send_slot(actor);
        if let (Err(over), None, false) = (&slot, &client_id, actor.is_staff) {
            metrics::THROTTLED.of("message").one();
            return Err(over.clone().into());
        }
        let message = NewMessage {
            chat: send.chat,
            text,
            content_type: send.content_type,
            client_id,
            reply_to: send.reply_to,
            sender: actor.user.clone(),
            is_staff: actor.is_staff,
            by: By::from(actor),
            file,
        };
        // Membership, blocks, repeats and whether it is staff in a support chat, who have no limit: in the transaction.
        let answer = self.core.writer.append(message, slot)?;
        let (user, core) = (actor.id(), self.core.clone());
        Ok(async move {
            let mut sent = answer.await?;
            if sent.repeat {
                sent.message = Box::pin(core.repeated(sent.message)).await?;
            } else {
                let (chat, message_id) = (sent.message.chat, sent.message.id);
                debug!(%chat, %message_id, %user, "chat {chat}: message {message_id}");
            }
            Ok(sent)
        })
    }

    /// The same for somebody in whose name another service asks: they haven't signed in here.
    pub async fn post_as(
        &self,
        sender: UserId,
        send: SendMessage,
    ) -> Result<impl Future<Output = Result<Sent, ChatError>> + use<>, ChatError> {
        let person = self.core.people.find(sender).await?;
        let person = person.filter(|person| person.is_active && !person.is_deleted);
        let person = person.ok_or(ChatError::NotFound(Thing::User))?;
        let actor = Actor {
            user: person.profile,
            is_staff: person.is_staff,
            session: None,
            token_expires_at: chrono::Utc::now(),
            token_issued_at: None,
            connection: None,
        };
        self.post(&actor, send)
    }

    /// Changes the text of one's own message.
    pub async fn edit(&self, actor: &Actor, edit: EditMessage) -> Result<Arc<Message>, ChatError> {
        let text = Text::parse(&edit.text, self.core.limits.message_chars)?;
        let slot = self.core.change_slot(actor).await?;
        let edit = Edit {
            by: actor.clone(),
            chat: edit.chat,
            message: edit.message,
            text,
        };
        let message = self.core.writer.carry_out(edit).await?;
        slot.keep();
        Ok(message)
    }

    /// Deletes a message: one's own, or as owner, admin or staff.
    pub async fn delete(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
    ) -> Result<Arc<Message>, ChatError> {
        let slot = self.core.change_slot(actor).await?;
        let message = self
            .core
            .writer
            .carry_out(Delete {
                by: actor.clone(),
                chat,
                message,
            })
            .await?;
        slot.keep();
        Ok(message)
    }

    /// Deletes all of a user's messages in a chat, as owner, admin or staff. Returns how many.
    pub async fn delete_all_of(
        &self,
        actor: &Actor,
        chat: ChatId,
        sender: UserId,
    ) -> Result<u64, ChatError> {
        let slot = self.core.change_slot(actor).await?;
        let mut deleted = 0;
        loop {
            let some = self
                .core
                .writer
                .carry_out(DeleteAllOf {
                    by: actor.clone(),
                    chat,
                    sender,
                })
                .await?;
            deleted += some;
            if some < DELETE_AT_ONCE {
                slot.keep();
                return Ok(deleted);
            }
        }
    }

    /// Puts a reaction on a message. Returns whether it is new.
    pub async fn react(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
        emoji: &str,
    ) -> Result<bool, ChatError> {
        self.set_reaction(actor, chat, message, emoji, true).await
    }

    /// Takes a reaction back. Returns whether it was there.
    pub async fn unreact(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
        emoji: &str,
    ) -> Result<bool, ChatError> {
        self.set_reaction(actor, chat, message, emoji, false).await
    }

    async fn set_reaction(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
        emoji: &str,
        present: bool,
    ) -> Result<bool, ChatError> {
        let emoji = checked_emoji(emoji)?;
        let slot = self.core.change_slot(actor).await?;
        let moved = self
            .core
            .writer
            .carry_out(React {
                by: actor.clone(),
                chat,
                message,
                emoji,
                present,
            })
            .await?;
        slot.keep();
        Ok(moved)
    }
}

impl From<&Actor> for By {
    fn from(actor: &Actor) -> Self {
        By {
            user: actor.id(),
            connection: actor.connection,
        }
    }
}

impl Core {
    /// Whether one more message would be taken from somebody now. Its place isn't.
    pub(super) fn may_send(&self, actor: &Actor) -> Result<(), ChatError> {
        match self.send_slot(actor) {
            Err(over) if !actor.is_staff => {
                metrics::THROTTLED.of("message").one();
                Err(over.into())
            }
            _ => Ok(()),
        }
    }

    /// A place in the sender's window of sends on this node; the writer takes those of a batch over all nodes.
    fn send_slot(&self, actor: &Actor) -> Result<Slot<UserId>, OverLimit> {
        self.sends
            .take_here(&actor.id())
            .map_err(|retry_after| OverLimit {
                windows: self.sends.clone(),
                per_minute: self.limits.messages_per_minute,
                retry_after,
            })
    }

    async fn change_slot(&self, actor: &Actor) -> Result<Slot<UserId>, ChatError> {
        let slot = self.changes.take(&actor.id()).await;
        slot.inspect_err(|_| metrics::THROTTLED.of("change").one())
            .map_err(|retry_after| ChatError::TooManyRequests { retry_after })
    }
}

fn checked_client_id(client_id: String) -> Result<String, ChatError> {
    if client_id.contains('\0') {
        return Err(ChatError::NullCharacter);
    }
    if client_id.is_empty() {
        return Err(ChatError::invalid(
            "client_id",
            "This field may not be blank.",
        ));
    }
    if client_id.chars().count() > CLIENT_ID_CHARS {
        let reason = format!("Ensure this field has no more than {CLIENT_ID_CHARS} characters.");
        return Err(ChatError::invalid("client_id", reason));
    }
    Ok(client_id)
}

fn checked_emoji(emoji: &str) -> Result<String, ChatError> {
    let is_one = !emoji.is_empty()
        && emoji.len() <= EMOJI_BYTES
        && emoji.chars().all(|character| !character.is_whitespace() && !character.is_control())
        // Digits, `#` and `*` begin keycaps; on their own nothing of ASCII is an emoji.
        && !emoji.is_ascii();
    if is_one {
        Ok(emoji.to_owned())
    } else {
        Err(ChatError::invalid("emoji", "This is not an emoji."))
    }
}

/// A message that a member asks for; deleted ones can't be changed any more.
async fn find_for(
    turn: &Turn<'_>,
    by: &Actor,
    chat: ChatId,
    message: MessageId,
) -> Result<(message::Model, Option<Role>), ChatError> {
    let role = turn.role(chat, by.id(), by.is_staff).await?;
    if role.is_none() && !by.is_staff {
        return Err(ChatError::NotFound(Thing::Chat));
    }
    let row = turn.batch().find_message(chat, message).await?;
    let row = row
        .filter(|row| !row.is_deleted)
        .ok_or(ChatError::NotFound(Thing::Message))?;
    Ok((row, role))
}

fn may_delete_others(role: Option<Role>, by: &Actor) -> bool {
    by.is_staff || matches!(role, Some(Role::Owner | Role::Admin))
}

struct Edit {
    by: Actor,
    chat: ChatId,
    message: MessageId,
    text: Text,
}

impl Operation for Edit {
    type Output = Arc<Message>;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<Arc<Message>, ChatError> {
        let (mut row, role) = find_for(turn, &self.by, self.chat, self.message).await?;
        if role.is_none() {
            return Err(ChatError::NotFound(Thing::Chat));
        }
        if row.sender_id != self.by.id() {
            return Err(ChatError::Forbidden("only its sender edits a message"));
        }
        if row.content_type != ContentType::Text && turn.batch().has_attachment(row.id).await? {
            return Err(ChatError::Forbidden("a file's name isn't edited"));
        }
        row.text = self.text.as_str().to_owned();
        row.edited_at = Some(turn.now());
        let message = Arc::new(turn.message(row).await?);
        turn.batch()
            .edit_message(self.message, self.text.as_str(), turn.now())
            .await?;
        let change = Change::of_message(ChangeKind::MessageEdited, self.message);
        turn.record(
            self.chat,
            By::from(&self.by),
            change,
            What::Edited(message.clone()),
        )?;
        Ok(message)
    }
}

struct Delete {
    by: Actor,
    chat: ChatId,
    message: MessageId,
}

impl Operation for Delete {
    type Output = Arc<Message>;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<Arc<Message>, ChatError> {
        let (row, role) = find_for(turn, &self.by, self.chat, self.message).await?;
        if row.sender_id != self.by.id() && !may_delete_others(role, &self.by) {
            return Err(ChatError::Forbidden(
                "only its sender, an owner, admin or operator deletes a message",
            ));
        }
        delete(turn, &self.by, row).await
    }
}

async fn delete(
    turn: &mut Turn<'_>,
    by: &Actor,
    mut row: message::Model,
) -> Result<Arc<Message>, ChatError> {
    let (chat, id) = (row.chat_id, row.id);
    row.text.clear();
    row.is_deleted = true;
    let message = Arc::new(turn.message(row).await?);
    turn.batch().delete_message(id).await?;
    let change = Change::of_message(ChangeKind::MessageDeleted, id);
    turn.record(chat, By::from(by), change, What::Deleted(message.clone()))?;
    Ok(message)
}

struct DeleteAllOf {
    by: Actor,
    chat: ChatId,
    sender: UserId,
}

impl Operation for DeleteAllOf {
    type Output = u64;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<u64, ChatError> {
        let role = turn.role(self.chat, self.by.id(), self.by.is_staff).await?;
        if role.is_none() && !self.by.is_staff {
            return Err(ChatError::NotFound(Thing::Chat));
        }
        if !may_delete_others(role, &self.by) {
            return Err(ChatError::Forbidden(
                "only an owner, admin or operator deletes others' messages",
            ));
        }
        let rows = turn
            .batch()
            .messages_of(self.chat, self.sender, DELETE_AT_ONCE)
            .await?;
        let count = rows.len() as u64;
        for row in rows {
            delete(turn, &self.by, row).await?;
        }
        Ok(count)
    }
}

struct React {
    by: Actor,
    chat: ChatId,
    message: MessageId,
    emoji: String,
    present: bool,
}

impl Operation for React {
    type Output = bool;

    fn chats(&self) -> Vec<ChatId> {
        vec![self.chat]
    }

    async fn apply(&self, turn: &mut Turn<'_>) -> Result<bool, ChatError> {
        let (row, role) = find_for(turn, &self.by, self.chat, self.message).await?;
        if role.is_none() {
            return Err(ChatError::NotFound(Thing::Chat));
        }
        let user = self.by.id();
        if turn.batch().has_reaction(row.id, user, &self.emoji).await? == self.present {
            return Ok(false);
        }
        let (message, by, emoji) = (row.id, self.by.user.clone(), self.emoji.clone());
        let (kind, what) = if self.present {
            turn.batch().insert_reaction(message, user, &emoji).await?;
            (
                ChangeKind::ReactionAdded,
                What::ReactionAdded {
                    message,
                    user: by,
                    emoji,
                },
            )
        } else {
            turn.batch().delete_reaction(message, user, &emoji).await?;
            (
                ChangeKind::ReactionRemoved,
                What::ReactionRemoved {
                    message,
                    user: by,
                    emoji,
                },
            )
        };
        let change = Change {
            emoji: Some(self.emoji.clone()),
            ..Change::of_message(kind, message)
        };
        turn.record(
            self.chat,
            By::from(&self.by),
            Change {
                user: Some(user),
                ..change
            },
            what,
        )?;
        Ok(true)
    }
}
