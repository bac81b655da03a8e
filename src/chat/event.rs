//! What happened in a chat, in domain terms: the one thing that travels through hubs and the channel layer.

use std::sync::Arc;

use entity::{ChatId, ChatKind, ContentType, MessageId, Role, Seq, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::chat::Attachment;

/// One connection of this process. Never reused, never sent to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What everybody may know of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The account.
    pub id: UserId,
    /// The name that it signs in with.
    pub username: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
}

/// What is the same for every member of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatHead {
    /// The chat.
    pub id: ChatId,
    /// What sort of chat.
    pub kind: ChatKind,
    /// A group's name, a room's room name; none for personal and support chats.
    pub name: Option<String>,
    /// Only members may enter.
    pub is_private: bool,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// The customer of a support chat.
    pub customer: Option<UserId>,
    /// Their user name, as it was when somebody here began to hear the chat.
    #[serde(skip)]
    pub customer_name: Option<String>,
}

/// A message in its latest state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Names it.
    pub id: MessageId,
    /// Where it was said.
    pub chat: ChatId,
    /// Its own number in the chat.
    pub seq: Seq,
    /// Empty once deleted.
    pub text: String,
    /// Who said it.
    pub sender: Arc<Profile>,
    /// When; never goes back within a chat.
    pub timestamp: Time,
    /// When its text was last changed.
    pub edited_at: Option<Time>,
    /// Soft deletion.
    pub is_deleted: bool,
    /// The message of the same chat that it answers.
    pub reply_to: Option<MessageId>,
    /// What the text is.
    pub content_type: ContentType,
    /// The sender's own key; shown to the sender alone.
    pub client_id: Option<String>,
    /// The file, where it is one: its address is signed.
    #[serde(default)]
    pub attachment: Option<Arc<Attachment>>,
}

impl Message {
    /// A row of the table with its sender and its file.
    pub(crate) fn of(
        row: entity::message::Model,
        sender: Arc<Profile>,
        attachment: Option<Arc<Attachment>>,
    ) -> Self {
        Message {
            id: row.id,
            chat: row.chat_id,
            seq: row.seq,
            text: row.text,
            sender,
            timestamp: row.timestamp,
            edited_at: row.edited_at,
            is_deleted: row.is_deleted,
            reply_to: row.reply_to,
            content_type: row.content_type,
            client_id: row.client_id,
            attachment,
        }
    }
}

/// Something that happened in a chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatEvent {
    /// Where.
    pub chat: ChatId,
    /// Its own number, where it is durable. Typing, presence and reads have none and may be lost.
    pub seq: Option<Seq>,
    /// Who did it.
    pub by: UserId,
    /// The connection that caused it, on its own node.
    #[serde(skip)]
    pub origin: Option<ConnectionId>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A new message. In a replay: in its latest state.
    Sent(Arc<Message>),
    /// A message's text was changed; the message in its latest state.
    Edited(Arc<Message>),
    /// A message was deleted.
    Deleted(Arc<Message>),
    /// A reaction was put on a message.
    ReactionAdded {
        /// The message.
        message: MessageId,
        /// By whom.
        user: Arc<Profile>,
        /// Which.
        emoji: String,
    },
    /// A reaction was taken back.
    ReactionRemoved {
        /// The message.
        message: MessageId,
        /// By whom.
        user: Arc<Profile>,
        /// Which.
        emoji: String,
    },
    /// Somebody became a member.
    MemberJoined {
        /// Who.
        user: Arc<Profile>,
        /// With which role.
        role: Role,
    },
    /// Somebody left, or was removed (`by` another).
    MemberLeft {
        /// Who.
        user: Arc<Profile>,
        /// `Banned` where removed by another.
        role: Role,
    },
    /// Somebody's role changed.
    MemberChanged {
        /// Who.
        user: Arc<Profile>,
        /// To what.
        role: Role,
    },
    /// The chat's name or privacy changed.
    ChatUpdated(ChatHead),
    /// The chat was deleted for all.
    ChatDeleted(ChatHead),
    /// Somebody types, or stopped. An absolute state: the next one repairs a lost one.
    Typing {
        /// Who.
        user: Arc<Profile>,
        /// Whether.
        is_typing: bool,
    },
    /// Somebody's first connection to the chat came.
    Entered(Arc<Profile>),
    /// Somebody's last connection to the chat went.
    Left {
        /// Who.
        user: Arc<Profile>,
        /// Why.
        how: Departure,
        /// When.
        at: Time,
    },
    /// Who is in the chat: in place of comings and goings that weren't told one by one.
    Presence(Presence),
    /// How far somebody has read.
    Read {
        /// Who.
        user: Arc<Profile>,
        /// The newest message at or before `last_read_seq`, where there is one.
        last_read_message: Option<MessageId>,
        /// Never goes back.
        last_read_seq: Seq,
    },
    /// The chat was made, with these members. Unnumbered: they begin to hear it with this.
    Opened {
        /// Who belongs to it from the start.
        members: Vec<UserId>,
        /// The customer of a support chat: all operators hear it too.
        customer: Option<UserId>,
    },
    /// What a Django project on the same channel layer tells the chat dialect's clients, as it is. Stored nowhere.
    Passed(Arc<serde_json::Map<String, serde_json::Value>>),
    /// Whoever did it hid the chat, and all that was said so far, from themselves alone. Unnumbered.
    Hidden,
}

/// Who is in a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// As many as lists name; none where only the number is told.
    pub users: Option<Vec<Arc<Profile>>>,
    /// How many there are in all.
    pub count: usize,
}

impl Presence {
    /// The number, where not everybody is named.
    pub fn count_where_cut(&self) -> Option<usize> {
        let named = self.users.as_ref().map(Vec::len);
        (named != Some(self.count)).then_some(self.count)
    }
}

/// Why somebody isn't in a chat any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Departure {
    /// They said so.
    Asked,
    /// Their last connection ended.
    Lost,
}

impl ChatEvent {
    /// Whether a full queue may do without it.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.what, What::Typing { .. }) || self.is_presence()
    }

    /// Whether the address of the file that it shows ends before `moment`, in Unix seconds: it is to be told anew.
    pub fn ends_before(&self, moment: i64) -> bool {
        match &self.what {
            What::Sent(message) | What::Edited(message) | What::Deleted(message) => {
                let attachment = message.attachment.as_ref();
                attachment.is_some_and(|attachment| attachment.expires < moment)
            }
            _ => false,
        }
    }

    /// Whether it tells who is in the chat.
    pub fn is_presence(&self) -> bool {
        matches!(
            self.what,
            What::Entered(_) | What::Left { .. } | What::Presence(_)
        )
    }
}

/// Who takes the events of a commit further: the far end of the writer, built above it.
///
/// Called by the writer after each commit, in the order of the chats' numbers, from its own task: must not block.
pub trait Publish: Send + Sync + 'static {
    /// Hands events on to the connections of this node and to the other nodes.
    fn publish(&self, events: Vec<Arc<ChatEvent>>);
}
