//! One transaction of the writer while it is being filled: the locked chats, the numbers taken, what will be told.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::TimeDelta;
use entity::{ChangeKind, ChatId, MessageId, Role, Seq, Time, UserId, change, chat, message};

use crate::{
    chat::{ChatError, ChatEvent, ConnectionId, Message, Thing, What, chats::head, people::People},
    store::{Batch, ChatCounters, NewMessageRow, Stored, database_time},
};

/// A number that this transaction has taken: what stands there if it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A message.
    Message(NewMessageRow),
    /// A change.
    Change(change::Model),
}

/// Who changes something, from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) user: UserId,
    pub(crate) connection: Option<ConnectionId>,
}

/// A change on its way: what its row says besides chat, number, author and time.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    pub(crate) message: Option<MessageId>,
    pub(crate) user: Option<UserId>,
    pub(crate) role: Option<Role>,
    pub(crate) emoji: Option<String>,
}

impl Change {
    pub(crate) fn of_message(kind: ChangeKind, message: MessageId) -> Self {
        Change {
            kind,
            message: Some(message),
            user: None,
            role: None,
            emoji: None,
        }
    }

    pub(crate) fn of_member(kind: ChangeKind, user: UserId, role: Role) -> Self {
        Change {
            kind,
            message: None,
            user: Some(user),
            role: Some(role),
            emoji: None,
        }
    }

    pub(crate) fn of_chat(kind: ChangeKind) -> Self {
        Change {
            kind,
            message: None,
            user: None,
            role: None,
            emoji: None,
        }
    }
}

/// A transaction that is to be committed.
pub(super) struct Filled {
    /// The numbers that it takes.
    pub(super) taken: Vec<Taken>,
    /// What is to be told then.
    pub(super) events: Vec<Arc<ChatEvent>>,
    /// Its chats as they stand then.
    pub(super) chats: HashMap<ChatId, chat::Model>,
}

/// The transaction and what is known of it so far.
pub(crate) struct Turn<'a> {
    batch: &'a Batch,
    people: &'a People,
    now: Time,
    chats: HashMap<ChatId, chat::Model>,
    touched: BTreeSet<ChatId>,
    messages: Vec<NewMessageRow>,
    changes: Vec<change::Model>,
    taken: Vec<Taken>,
    events: Vec<Arc<ChatEvent>>,
}

impl<'a> Turn<'a> {
    /// Locks the chats and begins.
    pub(super) async fn begin(
        batch: &'a Batch,
        people: &'a People,
        chats: &BTreeSet<ChatId>,
    ) -> Stored<Turn<'a>> {
        let ids: Vec<ChatId> = chats.iter().copied().collect();
        let chats = if ids.is_empty() {
            HashMap::new()
        } else {
            batch.lock_chats(&ids).await?
        };
        Ok(Turn {
            batch,
            people,
            now: database_time(),
            chats,
            touched: BTreeSet::new(),
            messages: Vec::new(),
            changes: Vec::new(),
            taken: Vec::new(),
            events: Vec::new(),
        })
    }

    /// The transaction.
    pub(crate) fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// The chats as they are locked.
    pub(super) fn locked(&self) -> impl Iterator<Item = &chat::Model> {
        self.chats.values()
    }

    /// Who users are.
    pub(crate) fn people(&self) -> &'a People {
        self.people
    }

    /// When this transaction began.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// A locked chat that isn't deleted.
    pub(crate) fn chat(&self, id: ChatId) -> Result<&chat::Model, ChatError> {
        self.chats
            .get(&id)
            .filter(|chat| !chat.is_deleted)
            .ok_or(ChatError::NotFound(Thing::Chat))
    }

    /// A locked chat, to change what its row will say; columns other than the counters the caller writes.
    pub(crate) fn chat_mut(&mut self, id: ChatId) -> Result<&mut chat::Model, ChatError> {
        self.chats
            .get_mut(&id)
            .ok_or(ChatError::NotFound(Thing::Chat))
    }

    /// Takes the next number for a message.
    pub(super) fn append(&mut self, mut row: NewMessageRow) -> Result<NewMessageRow, ChatError> {
        let chat = self
            .chats
            .get_mut(&row.chat_id)
            .ok_or(ChatError::NotFound(Thing::Chat))?;
        row = next_message(chat, row);
        self.touched.insert(row.chat_id);
        self.messages.push(row.clone());
        Ok(row)
    }

    /// Writes the messages taken so far, and their chats' counters; their ids in order.
    pub(super) async fn insert_messages(&mut self) -> Stored<Vec<MessageId>> {
        if self.messages.is_empty() {
            return Ok(Vec::new());
        }
        let rows = std::mem::take(&mut self.messages);
        let counters = self.take_counters();
        let ids = self.batch.insert_messages(&rows, &counters).await?;
        self.taken.extend(rows.into_iter().map(Taken::Message));
        Ok(ids)
    }

    /// Takes the next number for a change and tells of it.
    pub(crate) fn record(
        &mut self,
        chat: ChatId,
        by: By,
        change: Change,
        what: What,
    ) -> Result<Seq, ChatError> {
        let row = self
            .chats
            .get_mut(&chat)
            .ok_or(ChatError::NotFound(Thing::Chat))?;
        row.last_seq = row.last_seq.next();
        let seq = row.last_seq;
        self.touched.insert(chat);
        self.changes.push(change::Model {
            chat_id: chat,
            seq,
            kind: change.kind,
            message_id: change.message,
            user_id: change.user,
            by_id: by.user,
            role: change.role,
            emoji: change.emoji,
            at: self.now,
        });
        self.tell(ChatEvent {
            chat,
            seq: Some(seq),
            by: by.user,
            origin: by.connection,
            what,
        });
        Ok(seq)
    }

    /// Tells of something after the commit.
    pub(crate) fn tell(&mut self, event: ChatEvent) {
        self.events.push(Arc::new(event));
    }

    /// What is the same for every member of a locked chat.
    pub(crate) fn head(&self, id: ChatId) -> Result<crate::chat::ChatHead, ChatError> {
        self.chats
            .get(&id)
            .map(head)
            .ok_or(ChatError::NotFound(Thing::Chat))
    }

    /// A user's role in a locked chat; barred users have none. Staff have a member's in support chats.
    pub(crate) async fn role(
        &self,
        chat: ChatId,
        user: UserId,
        is_staff: bool,
    ) -> Result<Option<Role>, ChatError> {
        let row = self.chat(chat)?;
        let member = self.batch.find_member(chat, user).await?;
        let role = member
            .map(|member| member.role)
            .filter(|role| *role != Role::Banned);
        let operator = is_staff && row.support_user_id.is_some();
        Ok(role.or(operator.then_some(Role::Member)))
    }

    /// A row of the table as the domain's message, without a file: it has no text that could be changed.
    pub(crate) async fn message(&self, row: message::Model) -> Result<Message, ChatError> {
        let sender = self.people.profile(row.sender_id).await?;
        Ok(Message::of(row, sender, None))
    }

    /// The counters that are to be written: of the chats in which something happened since.
    fn take_counters(&mut self) -> Vec<ChatCounters> {
        let touched = std::mem::take(&mut self.touched);
        let chats = touched.iter().filter_map(|id| self.chats.get(id));
        chats.map(counters).collect()
    }

    /// Writes what is left: changes and counters.
    pub(super) async fn finish(mut self) -> Stored<Filled> {
        if !self.changes.is_empty() {
            self.batch.insert_changes(&self.changes).await?;
        }
        let counters = self.take_counters();
        if !counters.is_empty() {
            self.batch.write_counters(&counters).await?;
        }
        self.taken
            .extend(self.changes.into_iter().map(Taken::Change));
        Ok(Filled {
            taken: self.taken,
            events: self.events,
            chats: self.chats,
        })
    }
}

/// The next message of a chat: its number and its time, which is after the one before it.
pub(super) fn next_message(chat: &mut chat::Model, mut row: NewMessageRow) -> NewMessageRow {
    chat.last_seq = chat.last_seq.next();
    chat.message_count += 1;
    let after = |last| row.timestamp.max(last + TimeDelta::microseconds(1));
    let timestamp = chat.last_message_at.map_or(row.timestamp, after);
    chat.last_message_at = Some(timestamp);
    if let Some(customer) = chat.support_user_id {
        if row.sender_id != customer {
            (chat.waiting_seq, chat.waiting_since) = (None, None);
        } else if chat.waiting_seq.is_none() {
            (chat.waiting_seq, chat.waiting_since) = (Some(chat.last_seq), Some(timestamp));
        }
    }
    row.seq = chat.last_seq;
    row.timestamp = timestamp;
    row
}

/// What is written of a chat's row.
pub(super) fn counters(chat: &chat::Model) -> ChatCounters {
    ChatCounters {
        id: chat.id,
        last_seq: chat.last_seq,
        message_count: chat.message_count,
        last_message_at: chat.last_message_at,
        waiting_seq: chat.waiting_seq,
        waiting_since: chat.waiting_since,
    }
}
