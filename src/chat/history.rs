//! Pages of messages, and what happened since.

use std::{collections::HashMap, sync::Arc};

use entity::{ChangeKind, ChatId, MessageId, Seq, change, message};

use crate::{
    chat::{
        Actor, ChatError, ChatEvent, ChatHead, Message, ReadPosition, Thing, What, chats::head,
        core::Core, standing::Page,
    },
    store::{PageAsked, Place},
};

/// Readers that are named with a message.
const READERS_MAX: u64 = 100;

/// A page by its number, newest messages first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNumber {
    /// From 1.
    pub page: u64,
    /// 1 to 100.
    pub page_size: u64,
}

/// Where a keyset page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The messages before one; without: the newest.
    Before(Option<MessageId>),
    /// The messages that follow one.
    After(MessageId),
}

/// Which of what was said is asked for as one stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// The newest messages, or the newest of those before one.
    Before(Option<MessageId>),
    /// The first ones from an id on, whether or not the chat has a message of that id.
    From(MessageId),
}

/// A page of messages with the count of all; newest first.
#[derive(Clone, Debug)]
pub struct NumberedPage {
    /// All of the chat's messages that the caller may see.
    pub count: u64,
    /// Newest first.
    pub results: Vec<Arc<Message>>,
    /// Whether an older page (a higher number) follows.
    pub has_next: bool,
}

/// A page of messages at any depth without a count; newest first.
#[derive(Clone, Debug)]
pub struct KeysetPage {
    /// Newest first.
    pub results: Vec<Arc<Message>>,
    /// Older ones exist (before the last of `results`).
    pub has_older: bool,
    /// Newer ones exist (after the first of `results`).
    pub has_newer: bool,
}

/// What happened after a number, oldest first.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Each with its own `seq`; messages in their latest state.
    pub events: Vec<Arc<ChatEvent>>,
    /// The number reached: the last event's, or the asked one; after `reset` the chat's last.
    pub seq: Seq,
    /// More happened after `seq`.
    pub has_more: bool,
    /// `since` is above the chat's last number: all must be loaded anew.
    pub reset: bool,
}

/// Reading what was said.
pub struct History {
    pub(super) core: Arc<Core>,
}

impl History {
    /// A page by its number. A page past the end is `Invalid { field: "page" }`.
    pub async fn page(
        &self,
        actor: &Actor,
        chat: ChatId,
        page: PageNumber,
    ) -> Result<NumberedPage, ChatError> {
        let skipped = page.page.saturating_sub(1).saturating_mul(page.page_size);
        let asked = PageAsked {
            place: None,
            // More than SQLite counts to is past the end as well.
            skipped: skipped.min(i64::MAX.unsigned_abs()),
            limit: page.page_size,
        };
        let Page { standing, messages } = self.core.page(actor, chat, asked).await?;
        let hidden = if standing.as_operator {
            0
        } else {
            standing.row.cleared_count
        };
        let count = (standing.row.chat.message_count - hidden)
            .max(0)
            .unsigned_abs();
        if page.page == 0 || (page.page > 1 && skipped >= count) {
            return Err(ChatError::invalid("page", "Invalid page."));
        }
        Ok(NumberedPage {
            count,
            results: self.messages(messages).await?,
            has_next: skipped.saturating_add(page.page_size) < count,
        })
    }

    /// A page by its place.
    pub async fn keyset(
        &self,
        actor: &Actor,
        chat: ChatId,
        direction: Direction,
        page_size: u64,
    ) -> Result<KeysetPage, ChatError> {
        let place = match direction {
            Direction::Before(place) => place.map(Place::Before),
            Direction::After(place) => Some(Place::After(place)),
        };
        // One more than the page tells whether there is another.
        let asked = PageAsked {
            place,
            skipped: 0,
            limit: page_size + 1,
        };
        let mut rows = self.core.page(actor, chat, asked).await?.messages;
        let has_more = rows.len() as u64 > page_size;
        rows.truncate(usize::try_from(page_size).unwrap_or(usize::MAX));
        let (has_older, has_newer) = match direction {
            Direction::Before(place) => (has_more, place.is_some()),
            Direction::After(_) => {
                rows.reverse();
                (true, has_more)
            }
        };
        Ok(KeysetPage {
            results: self.messages(rows).await?,
            has_older,
            has_newer,
        })
    }

    /// One message, and who has read it (at most 100).
    pub async fn find(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
    ) -> Result<(Arc<Message>, Vec<ReadPosition>), ChatError> {
        let standing = self.core.standing(actor, chat).await?;
        let row = self.core.store.find_message(chat, message).await?;
        let row = row
            .filter(|row| row.seq > standing.visible_above())
            .ok_or(ChatError::NotFound(Thing::Message))?;
        let readers = self.core.store.readers(chat, row.seq, READERS_MAX).await?;
        let readers = readers
            .into_iter()
            .map(|member| ReadPosition {
                user: member.user_id,
                last_read_seq: member.last_read_seq,
            })
            .collect();
        let message = self
            .messages(vec![row])
            .await?
            .pop()
            .ok_or(ChatError::NotFound(Thing::Message))?;
        Ok((message, readers))
    }

    /// What happened after `since`, at most `limit` events, for a member.
    pub async fn since(
        &self,
        actor: &Actor,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Result<Replay, ChatError> {
        let standing = self.core.standing(actor, chat).await?;
        let last = standing.row.chat.last_seq;
        if since > last {
            return Ok(Replay {
                events: Vec::new(),
                seq: last,
                has_more: false,
                reset: true,
            });
        }
        let since = since.max(standing.visible_above());
        let events = self.events(&head(&standing.row.chat), since, limit).await?;
        let seq = events.last().and_then(|event| event.seq).unwrap_or(since);
        Ok(Replay {
            events,
            seq,
            has_more: seq < last,
            reset: false,
        })
    }

    /// A stretch of what was said, oldest first. Deleted messages are left out, and don't count: there are `limit`
    /// others if there are so many.
    pub async fn stretch(
        &self,
        actor: &Actor,
        chat: ChatId,
        which: Stretch,
        limit: u64,
    ) -> Result<Vec<Arc<Message>>, ChatError> {
        let rows = match which {
            Stretch::Before(place) => {
                let page = self.core.newest_said(actor, chat, place, limit).await?;
                page.messages.into_iter().rev().collect()
            }
            Stretch::From(from) => {
                let standing = self.core.standing(actor, chat).await?;
                let store = &self.core.store;
                let before = store.number_before(chat, from).await?;
                let above = before.max(standing.visible_above());
                store.said_since(chat, above, limit).await?
            }
        };
        self.messages(rows).await
    }

    /// What happened after `since`, oldest first, without asking who wants to know: for hubs, which repair gaps.
    /// Ends before the first number that isn't there.
    pub async fn events(
        &self,
        chat: &ChatHead,
        since: Seq,
        limit: u64,
    ) -> Result<Vec<Arc<ChatEvent>>, ChatError> {
        let store = &self.core.store;
        // Changes first: a message that is committed between the two queries then leaves no hole before a change.
        let changes = store.changes_since(chat.id, since, limit).await?;
        let messages = store.messages_since(chat.id, since, limit).await?;
        let mut merged = merge(messages, changes, limit);
        let contiguous = merged
            .iter()
            .zip(since.0 + 1..)
            .take_while(|(row, seq)| row.seq().0 == *seq)
            .count();
        merged.truncate(contiguous);
        self.tell(chat, merged).await
    }

    /// Rows as events: a change with its message's, or the chat's, latest state.
    async fn tell(
        &self,
        chat: &ChatHead,
        rows: Vec<Row>,
    ) -> Result<Vec<Arc<ChatEvent>>, ChatError> {
        let changed: Vec<MessageId> = rows
            .iter()
            .filter_map(|row| match row {
                Row::Change(change) if change.kind.shows_message() => change.message_id,
                _ => None,
            })
            .collect();
        let changed = self.core.store.find_messages(&changed).await?;
        let users = rows
            .iter()
            .flat_map(Row::users)
            .flatten()
            .chain(changed.iter().map(|row| row.sender_id));
        let people = self.core.people.profiles(users).await?;
        // Read after the rows: the head that was handed in may be older than what they tell of the chat.
        let latest = match rows.iter().any(Row::changes_chat) {
            true => Some(self.latest(chat).await?),
            false => None,
        };
        let chat = latest.as_ref().unwrap_or(chat);
        let said = rows.iter().filter_map(|row| match row {
            Row::Message(row) => Some(row),
            Row::Change(_) => None,
        });
        let files = self.core.attachments(said.chain(&changed)).await?;
        let messages: HashMap<MessageId, Arc<Message>> = changed
            .into_iter()
            .filter_map(|row| {
                let sender = people.get(&row.sender_id)?.clone();
                let file = files.get(&row.id).cloned();
                Some((row.id, Arc::new(Message::of(row, sender, file))))
            })
            .collect();
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let (seq, by) = (row.seq(), row.by());
            let what = match row {
                Row::Message(row) => {
                    let sender = people
                        .get(&row.sender_id)
                        .ok_or(ChatError::NotFound(Thing::User))?
                        .clone();
                    let file = files.get(&row.id).cloned();
                    What::Sent(Arc::new(Message::of(row, sender, file)))
                }
                Row::Change(row) => what(chat, &row, &messages, &people)
                    .ok_or(ChatError::NotFound(Thing::Message))?,
            };
            events.push(Arc::new(ChatEvent {
                chat: chat.id,
                seq: Some(seq),
                by,
                origin: None,
                what,
            }));
        }
        Ok(events)
    }

    /// A chat as it is now.
    async fn latest(&self, chat: &ChatHead) -> Result<ChatHead, ChatError> {
        let row = self.core.store.find_chat(chat.id).await?;
        Ok(ChatHead {
            customer_name: chat.customer_name.clone(),
            ..head(&row.ok_or(ChatError::NotFound(Thing::Chat))?)
        })
    }

    async fn messages(&self, rows: Vec<message::Model>) -> Result<Vec<Arc<Message>>, ChatError> {
        self.core.messages(rows).await
    }
}

impl Core {
    /// Rows with their senders and files, in the same order.
    pub(super) async fn messages(
        &self,
        rows: Vec<message::Model>,
    ) -> Result<Vec<Arc<Message>>, ChatError> {
        let people = self
            .people
            .profiles(rows.iter().map(|row| row.sender_id))
            .await?;
        let files = self.attachments(rows.iter()).await?;
        let with_sender = |row: message::Model| {
            let sender = people.get(&row.sender_id)?.clone();
            let file = files.get(&row.id).cloned();
            Some(Arc::new(Message::of(row, sender, file)))
        };
        Ok(rows.into_iter().filter_map(with_sender).collect())
    }
}

/// A row of either table that took a number.
enum Row {
    Message(message::Model),
    Change(change::Model),
}

impl Row {
    fn seq(&self) -> Seq {
        match self {
            Row::Message(row) => row.seq,
            Row::Change(row) => row.seq,
        }
    }

    fn by(&self) -> entity::UserId {
        match self {
            Row::Message(row) => row.sender_id,
            Row::Change(row) => row.by_id,
        }
    }

    /// Whether it tells of the chat itself.
    fn changes_chat(&self) -> bool {
        let is_chats = |kind| matches!(kind, ChangeKind::ChatUpdated | ChangeKind::ChatDeleted);
        matches!(self, Row::Change(row) if is_chats(row.kind))
    }

    fn users(&self) -> [Option<entity::UserId>; 2] {
        match self {
            Row::Message(row) => [Some(row.sender_id), None],
            Row::Change(row) => [Some(row.by_id), row.user_id],
        }
    }
}

/// Both tables' rows by their numbers, at most `limit`.
fn merge(messages: Vec<message::Model>, changes: Vec<change::Model>, limit: u64) -> Vec<Row> {
    let mut rows: Vec<Row> = messages
        .into_iter()
        .map(Row::Message)
        .chain(changes.into_iter().map(Row::Change))
        .collect();
    rows.sort_by_key(Row::seq);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    rows
}

/// A change as an event.
fn what(
    chat: &ChatHead,
    row: &change::Model,
    messages: &HashMap<MessageId, Arc<Message>>,
    people: &HashMap<entity::UserId, Arc<crate::chat::Profile>>,
) -> Option<What> {
    let user = || people.get(&row.user_id?).cloned();
    let message = || messages.get(&row.message_id?).cloned();
    let emoji = row.emoji.clone().unwrap_or_default();
    Some(match row.kind {
        ChangeKind::MessageEdited => What::Edited(message()?),
        ChangeKind::MessageDeleted => What::Deleted(message()?),
        ChangeKind::ReactionAdded => What::ReactionAdded {
            message: row.message_id?,
            user: user()?,
            emoji,
        },
        ChangeKind::ReactionRemoved => What::ReactionRemoved {
            message: row.message_id?,
            user: user()?,
            emoji,
        },
        ChangeKind::MemberJoined => What::MemberJoined {
            user: user()?,
            role: row.role?,
        },
        ChangeKind::MemberLeft => What::MemberLeft {
            user: user()?,
            role: row.role?,
        },
        ChangeKind::MemberChanged => What::MemberChanged {
            user: user()?,
            role: row.role?,
        },
        ChangeKind::ChatUpdated => What::ChatUpdated(chat.clone()),
        ChangeKind::ChatDeleted => What::ChatDeleted(chat.clone()),
    })
}
