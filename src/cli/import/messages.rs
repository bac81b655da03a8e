//! Messages: each chat's in the order of their times, numbered without a gap after those that are there. A message is
//! told from others by its table and key, which become its client id: one that is here already isn't written again.

use std::collections::HashMap;

use entity::{ChatId, ContentType, MessageId, Seq, Time, UserId};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::{
    Failure, Work,
    chats::{Target, Targets},
    mapping::{ChatsTable, MessagesTable, Place, Reader},
    report::Counts,
    users::People,
};
use crate::store::{ImportedMessage, TextRow, boolean, moment};

/// Messages of one transaction.
const MESSAGES_AT_ONCE: usize = 1000;
/// Characters of a client id.
const CLIENT_ID_CHARS: usize = 64;
/// Characters that a message of one's own may have; those of others are not cut.
const USUAL_CHARS: usize = 1000;

/// The chat whose messages come now.
struct Open {
    key: String,
    id: Option<ChatId>,
    /// Until when members have read; none for everything.
    readers: HashMap<UserId, Option<Time>>,
    /// The highest number of what came from there, now or before: what was said here since isn't read by that.
    last: Seq,
    known: HashMap<String, (MessageId, Seq, Option<MessageId>)>,
    batch: Vec<ImportedMessage>,
    /// Client ids: of a message, and of the one that it answers, which may come after it. They are written when all of
    /// the chat's messages are there; an import that was interrupted before finds them among those that are known.
    replies: Vec<(String, String)>,
}

struct Places {
    id: usize,
    chat: usize,
    timestamp: usize,
    sender: Place,
    text: Place,
    edited_at: Place,
    is_deleted: Place,
    reply_to: Place,
    file: Place,
}

pub(super) async fn import(
    work: &mut Work,
    chats: &ChatsTable,
    people: &People,
    mut targets: Targets,
) -> Result<(), Failure> {
    let table = &chats.messages;
    let joins = chats.members.is_none();
    let mut reader = Reader::of(&table.table);
    let places = Places {
        id: reader.column(&table.id),
        chat: reader.column(&table.chat),
        timestamp: reader.column(&table.timestamp),
        sender: reader.field(&table.sender),
        text: reader.field(&table.text),
        edited_at: reader.optional(&table.edited_at),
        is_deleted: reader.optional(&table.is_deleted),
        reply_to: reader.optional(&table.reply_to),
        file: reader.optional(&table.file),
    };
    let bar = work.bar(&table.table).await?;
    let mut counts = Counts::default();
    let mut open: Option<Open> = None;
    let from = work.from.clone();
    let order = [&*table.chat, &*table.timestamp, &*table.id];
    let mut rows = std::pin::pin!(from.stream(&reader.columns, &order).await?);
    while let Some(row) = rows.try_next().await? {
        counts.read += 1;
        bar.inc(1);
        let key = row[places.chat].clone().unwrap_or_default();
        if open.as_ref().is_none_or(|open| open.key != key) {
            if let Some(done) = open.take() {
                done.close(work, joins).await?;
            }
            let Some(target) = targets.remove(&key) else {
                let remark = "messages are of no chat that was copied, and are left out";
                work.report.remark(remark, format!("of chat {key}"));
                continue;
            };
            open = Some(Open::of(work, key, target).await?);
        }
        let Some(chat) = &mut open else { continue };
        let client_id = client_id(table, row[places.id].as_deref().unwrap_or_default());
        let answered = places.reply_to.of(&row);
        let answered = answered.map(|key| self::client_id(table, key));
        if joins && let Some(sender) = places.sender(&row, people) {
            chat.readers.insert(sender, None);
        }
        if let Some((_, seq, reply_to)) = chat.known.get(&client_id) {
            counts.known += 1;
            chat.last = chat.last.max(*seq);
            let unwritten = answered.filter(|_| reply_to.is_none());
            chat.replies
                .extend(unwritten.map(|answered| (client_id, answered)));
            continue;
        }
        let Some(message) = places.message(&row, &client_id, people, work) else {
            continue;
        };
        chat.replies
            .extend(answered.map(|answered| (client_id, answered)));
        counts.new += 1;
        chat.batch.push(message);
        if chat.batch.len() == MESSAGES_AT_ONCE {
            chat.write(work, joins).await?;
        }
    }
    if let Some(done) = open {
        done.close(work, joins).await?;
    }
    // Chats of which nothing is left there, or never was anything: what is here may have been read since.
    for target in targets.into_values().filter(|target| !target.is_new) {
        if let Some(chat) = target.id.filter(|_| work.writes) {
            work.to.import_reads(chat, &target.readers, Seq(0)).await?;
        }
    }
    bar.finish_and_clear();
    work.report.table("messages", &table.table, counts);
    Ok(())
}

impl Open {
    async fn of(work: &Work, key: String, target: Target) -> Result<Self, Failure> {
        let known = match target.id {
            Some(id) if !target.is_new => work.to.client_ids(id).await?,
            _ => HashMap::new(),
        };
        Ok(Open {
            key,
            id: target.id,
            readers: target.readers,
            last: Seq(0),
            known,
            batch: Vec::new(),
            replies: Vec::new(),
        })
    }

    async fn write(&mut self, work: &Work, joins: bool) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        if let Some(chat) = self.id.filter(|_| work.writes && !batch.is_empty()) {
            let last = work.to.import_messages(chat, batch, joins).await?;
            self.last = self.last.max(last.unwrap_or(Seq(0)));
        }
        Ok(())
    }

    async fn close(mut self, work: &Work, joins: bool) -> Result<(), Failure> {
        self.write(work, joins).await?;
        let Some(chat) = self.id.filter(|_| work.writes) else {
            return Ok(());
        };
        // By all that is here, whenever it was written: people go on reading what was copied before, and others join.
        work.to.import_reads(chat, &self.readers, self.last).await?;
        if self.replies.is_empty() {
            return Ok(());
        }
        let ids = work.to.client_ids(chat).await?;
        let replies = self.replies.iter();
        let replies = replies.filter_map(|(reply, to)| Some((ids.get(reply)?.0, ids.get(to)?.0)));
        work.to.import_replies(replies.collect()).await?;
        Ok(())
    }
}

impl Places {
    fn sender(&self, row: &TextRow, people: &People) -> Option<UserId> {
        self.sender.of(row).and_then(|key| people.find(key))
    }

    /// A row as a message; none if it can't be one.
    fn message(
        &self,
        row: &TextRow,
        client_id: &str,
        people: &People,
        work: &mut Work,
    ) -> Option<ImportedMessage> {
        let mut left_out = |remark| {
            work.report.remark(remark, client_id);
            None
        };
        let Some(sender) = self.sender(row, people) else {
            return left_out("messages have no sender among the users, and are left out");
        };
        let Some(timestamp) = row[self.timestamp].as_deref().and_then(moment) else {
            return left_out("messages have no time, and are left out");
        };
        let is_deleted = self.is_deleted.of(row).and_then(boolean).unwrap_or(false);
        let text = self.text.of(row).unwrap_or_default().replace('\0', "");
        let file = self.file.of(row).filter(|file| !file.is_empty());
        let (text, content_type) = match (text.trim().is_empty(), file) {
            _ if is_deleted => (String::new(), ContentType::Text),
            (false, _) => (text, ContentType::Text),
            (true, Some(file)) => (file.to_owned(), ContentType::File),
            (true, None) => return left_out("messages have no text, and are left out"),
        };
        if text.chars().count() > USUAL_CHARS {
            work.report.remark(
                "messages are longer than 1000 characters, and are kept whole",
                client_id,
            );
        }
        Some(ImportedMessage {
            client_id: client_id.to_owned(),
            sender,
            text,
            content_type,
            timestamp,
            edited_at: self.edited_at.of(row).and_then(moment),
            is_deleted,
        })
    }
}

/// What a message is known by in every import.
fn client_id(table: &MessagesTable, key: &str) -> String {
    let id = format!("{}:{key}", table.table);
    match id.chars().count() <= CLIENT_ID_CHARS {
        true => id,
        false => {
            let hash = Sha256::digest(&id);
            hash.iter()
                .take(CLIENT_ID_CHARS / 2)
                .map(|byte| format!("{byte:02x}"))
                .collect()
        }
    }
}
