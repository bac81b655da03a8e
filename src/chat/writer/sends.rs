//! New messages, many at a time: each check is one query for all of them, and those that pass are one insert.

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{ChatId, ChatKind, ContentType, MessageId, Seq, Time, UserId, attachment, chat};
use tokio::sync::oneshot;

use super::turn::{By, Turn};
use crate::{
    chat::{
        Attachment, ChatError, ChatEvent, Message, Profile, Sent, Text, Thing, What,
        attachments::NewFile,
    },
    lease::{Slot, Windows},
    metrics,
    store::{NewAttachmentRow, NewMessageRow},
};

/// A message that has passed every check that needs no database.
#[derive(Clone)]
pub(crate) struct NewMessage {
    pub(crate) chat: ChatId,
    pub(crate) text: Text,
    pub(crate) content_type: ContentType,
    pub(crate) client_id: Option<String>,
    pub(crate) reply_to: Option<MessageId>,
    pub(crate) sender: Arc<Profile>,
    pub(crate) is_staff: bool,
    pub(crate) by: By,
    /// The file that it comes with.
    pub(crate) file: Option<Arc<NewFile>>,
}

/// A message and who waits for it.
pub(crate) struct SendJob {
    pub(crate) message: NewMessage,
    /// The place in the sender's window; where none is left, a repeat is answered all the same. A repeat's is given back
    /// as soon as it is known to be one.
    pub(crate) slot: Result<Slot<UserId>, OverLimit>,
    pub(crate) caller: oneshot::Sender<Result<Sent, ChatError>>,
    outcome: Option<Result<Sent, ChatError>>,
}

/// The window of sends is full.
#[derive(Clone, Debug)]
pub(crate) struct OverLimit {
    pub(crate) windows: Windows<UserId>,
    pub(crate) per_minute: u32,
    pub(crate) retry_after: Duration,
}

impl OverLimit {
    /// A place that became free since: a repeat ahead of this one has given its own back.
    async fn once_more(&self, sender: UserId) -> Result<Slot<UserId>, OverLimit> {
        let taken = self.windows.take(&sender).await;
        taken.map_err(|retry_after| OverLimit {
            retry_after,
            ..self.clone()
        })
    }
}

impl From<OverLimit> for ChatError {
    fn from(over: OverLimit) -> Self {
        ChatError::TooManyMessages {
            per_minute: over.per_minute,
            retry_after: over.retry_after,
        }
    }
}

impl SendJob {
    pub(crate) fn new(
        message: NewMessage,
        slot: Result<Slot<UserId>, OverLimit>,
        caller: oneshot::Sender<Result<Sent, ChatError>>,
    ) -> Self {
        SendJob {
            message,
            slot,
            caller,
            outcome: None,
        }
    }

    /// No place is left in the sender's window over all nodes: only a repeat is answered.
    pub(super) fn is_over(&mut self, retry_after: Duration) {
        if let Ok(slot) = &self.slot
            && let Some(windows) = slot.windows()
        {
            self.slot = Err(OverLimit {
                per_minute: windows.limit(),
                windows,
                retry_after,
            });
        }
    }

    /// Whether it is an operator's in a support chat: those answer without a limit, and what they say isn't counted
    /// anywhere.
    pub(super) fn answers_as_operator(&mut self, chat: &chat::Model) -> bool {
        let is_operator = self.message.is_staff && chat.support_user_id.is_some();
        if is_operator {
            self.slot = Ok(Slot::free());
        }
        is_operator
    }

    /// The message's row, but for its number.
    pub(super) fn row(&self, now: Time, may_write: bool) -> NewMessageRow {
        let message = &self.message;
        NewMessageRow {
            chat_id: message.chat,
            seq: Seq(0),
            sender_id: message.sender.id,
            text: message.text.as_str().to_owned(),
            content_type: message.content_type,
            client_id: message.client_id.clone(),
            reply_to: message.reply_to,
            timestamp: now,
            may_write,
            may_be_blocked: false,
        }
    }

    /// The message, which has no file, is committed, for the first time: what is to be told of it.
    pub(super) fn is_committed(&mut self, row: &NewMessageRow, id: MessageId) -> ChatEvent {
        let message = Arc::new(committed(row, id, &self.message.sender, None));
        let event = self.event(&message);
        self.outcome = Some(Ok(Sent {
            message,
            repeat: false,
        }));
        event
    }

    fn event(&self, message: &Arc<Message>) -> ChatEvent {
        ChatEvent {
            chat: message.chat,
            seq: Some(message.seq),
            by: message.sender.id,
            origin: self.message.by.connection,
            what: What::Sent(message.clone()),
        }
    }

    /// Bytes that it holds in the queue.
    pub(crate) fn bytes(&self) -> usize {
        self.message.text.as_str().len() + self.message.client_id.as_ref().map_or(0, String::len)
    }

    /// Answers the caller: with what became of it, or why not. Only an accepted send keeps its slot.
    pub(super) fn answer(self, failed: Option<ChatError>) {
        let outcome =
            failed.map_or_else(|| self.outcome.unwrap_or(Err(ChatError::Unavailable)), Err);
        if let (Ok(Sent { repeat: false, .. }), Ok(slot)) = (&outcome, self.slot) {
            slot.keep();
        }
        // Nobody listens where the caller's task died with its socket; the message is sent all the same.
        let _ = self.caller.send(outcome);
    }
}

/// Sends all of `jobs`, in their order: each gets its outcome, none fails another. Unless it `checks_first`, a client id that
/// exists already is a `Duplicate` for all of them, and a sender who is no member is `Unmet`.
pub(super) async fn apply(
    turn: &mut Turn<'_>,
    jobs: &mut [&mut SendJob],
    checks_first: bool,
) -> Result<(), ChatError> {
    let known = refuse(turn, jobs, checks_first).await?;
    let repeats = find_repeats(turn, jobs, checks_first).await?;
    let mut first: HashMap<(ChatId, UserId, String), usize> = HashMap::new();
    // (the job, the job whose row it shares) of everything that waits for a row's id.
    let mut rows: Vec<NewMessageRow> = Vec::with_capacity(jobs.len());
    let mut waiting: Vec<(usize, usize, bool)> = Vec::with_capacity(jobs.len());
    for (place, job) in jobs.iter_mut().enumerate() {
        if job.outcome.is_some() {
            continue;
        }
        if let Some(message) = repeats.get(&place) {
            job.slot = Ok(Slot::free());
            job.outcome = Some(Ok(Sent {
                message: message.clone(),
                repeat: true,
            }));
            continue;
        }
        let message = &job.message;
        let key = message
            .client_id
            .clone()
            .map(|id| (message.chat, message.sender.id, id));
        if let Some(&row) = key.as_ref().and_then(|key| first.get(key)) {
            job.slot = Ok(Slot::free());
            waiting.push((place, row, true));
            continue;
        }
        if let Err(over) = &job.slot {
            match over.once_more(job.message.sender.id).await {
                Ok(slot) => job.slot = Ok(slot),
                Err(over) => {
                    metrics::THROTTLED.of("message").one();
                    job.outcome = Some(Err(over.into()));
                    continue;
                }
            }
        }
        let row = turn.append(job.row(turn.now(), known[place]))?;
        if let Some(key) = key {
            first.insert(key, rows.len());
        }
        waiting.push((place, rows.len(), false));
        rows.push(row);
    }
    let ids = turn.insert_messages().await?;
    let mut files = insert_files(turn, jobs, &waiting, &rows, &ids).await?;
    let mut messages: Vec<Option<Arc<Message>>> = vec![None; rows.len()];
    for (place, row, repeat) in waiting {
        let job = &mut *jobs[place];
        let Some(id) = ids.get(row).copied() else {
            return Err(ChatError::Unavailable);
        };
        let message = messages[row]
            .get_or_insert_with(|| {
                let file = files.remove(&id);
                Arc::new(committed(&rows[row], id, &job.message.sender, file))
            })
            .clone();
        if !repeat {
            turn.tell(job.event(&message));
        }
        job.outcome = Some(Ok(Sent { message, repeat }));
    }
    Ok(())
}

/// Writes the files that the messages of these rows came with; as a rule there is none.
async fn insert_files(
    turn: &Turn<'_>,
    jobs: &[&mut SendJob],
    waiting: &[(usize, usize, bool)],
    rows: &[NewMessageRow],
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Arc<Attachment>>, ChatError> {
    let (mut new, mut files) = (Vec::new(), None);
    for (place, row, repeat) in waiting {
        if let (Some(file), Some(id), false) = (&jobs[*place].message.file, ids.get(*row), *repeat)
        {
            files.get_or_insert_with(|| file.files.clone());
            new.push(NewAttachmentRow {
                chat_id: rows[*row].chat_id,
                message_id: *id,
                name: file.name.clone(),
                content_type: file.content_type.to_owned(),
                bytes: file.bytes,
                sha256: file.sha256.clone(),
                file: file.file.clone(),
                created_at: rows[*row].timestamp,
            });
        }
    }
    let Some(files) = files else {
        return Ok(HashMap::new());
    };
    let inserted = turn.batch().insert_attachments(new).await?;
    let shown = |row: attachment::Model| (row.message_id, Arc::new(files.shown(row, turn.now())));
    Ok(inserted.into_iter().map(shown).collect())
}

fn committed(
    row: &NewMessageRow,
    id: MessageId,
    sender: &Arc<Profile>,
    attachment: Option<Arc<Attachment>>,
) -> Message {
    Message {
        id,
        chat: row.chat_id,
        seq: row.seq,
        text: row.text.clone(),
        sender: sender.clone(),
        timestamp: row.timestamp,
        edited_at: None,
        is_deleted: false,
        reply_to: row.reply_to,
        content_type: row.content_type,
        client_id: row.client_id.clone(),
        attachment,
    }
}

/// Gives an error to each job that may not be sent. Comes back with whose right to write is known: of all, where it
/// `checks_first`; else the insert looks at the others'.
async fn refuse(
    turn: &Turn<'_>,
    jobs: &mut [&mut SendJob],
    checks_first: bool,
) -> Result<Vec<bool>, ChatError> {
    let mut known = vec![true; jobs.len()];
    let mut members = Asked::default();
    let mut personal = Asked::default();
    let mut replies = Asked::default();
    for (place, job) in jobs.iter_mut().enumerate() {
        job.outcome = None;
        let message = &job.message;
        let (key, reply_to) = ((message.chat, message.sender.id), message.reply_to);
        let chat = match turn.chat(message.chat) {
            Ok(chat) => chat,
            Err(error) => {
                job.outcome = Some(Err(error));
                continue;
            }
        };
        if job.answers_as_operator(chat) {
            // Known: they may write in every support chat.
        } else if checks_first || job.slot.is_err() {
            members.push(place, key);
        } else {
            known[place] = false;
        }
        if chat.kind == ChatKind::Personal {
            personal.push(place, key);
        }
        if let Some(reply_to) = reply_to {
            replies.push(place, (chat.id, reply_to));
        }
    }
    let batch = turn.batch();
    if !replies.keys.is_empty() {
        let misplaced = batch.find_misplaced(&replies.keys).await?;
        replies.fail(jobs, misplaced, || ChatError::NotFound(Thing::Message));
    }
    if !personal.keys.is_empty() {
        let blocked = batch.find_blocked(&personal.keys).await?;
        personal.fail(jobs, blocked, || {
            ChatError::Forbidden("this user doesn't take messages from you")
        });
    }
    for (place, job) in jobs.iter().enumerate() {
        // A stranger is told nothing but that.
        if job.outcome.is_some() && !known[place] {
            members.push(place, (job.message.chat, job.message.sender.id));
        }
    }
    if !members.keys.is_empty() {
        let strangers = batch.find_strangers(&members.keys).await?;
        members.fail(jobs, strangers, || ChatError::NotFound(Thing::Chat));
    }
    Ok(known)
}

/// What one query asks for several jobs.
struct Asked<K> {
    places: Vec<usize>,
    keys: Vec<K>,
}

impl<K> Default for Asked<K> {
    fn default() -> Self {
        Asked {
            places: Vec::new(),
            keys: Vec::new(),
        }
    }
}

impl<K> Asked<K> {
    fn push(&mut self, place: usize, key: K) {
        self.places.push(place);
        self.keys.push(key);
    }

    fn fail(&self, jobs: &mut [&mut SendJob], failed: Vec<usize>, error: impl Fn() -> ChatError) {
        for place in failed
            .into_iter()
            .filter_map(|asked| self.places.get(asked))
        {
            jobs[*place].outcome = Some(Err(error()));
        }
    }
}

/// The messages that are there already for the jobs' client ids, by the jobs' places. Of `all`, or of those that are
/// over the limit: they are nothing but repeats, or refused.
async fn find_repeats(
    turn: &Turn<'_>,
    jobs: &[&mut SendJob],
    all: bool,
) -> Result<HashMap<usize, Arc<Message>>, ChatError> {
    let asked: Vec<(usize, (ChatId, UserId, &str))> = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| job.outcome.is_none() && (all || job.slot.is_err()))
        .filter_map(|(place, job)| {
            let message = &job.message;
            message
                .client_id
                .as_deref()
                .map(|id| (place, (message.chat, message.sender.id, id)))
        })
        .collect();
    let mut repeats = HashMap::new();
    if asked.is_empty() {
        return Ok(repeats);
    }
    let keys: Vec<_> = asked.iter().map(|(_, key)| *key).collect();
    for (key, row) in turn.batch().find_repeats(&keys).await? {
        if let Some((place, _)) = asked.get(key) {
            let sender = jobs[*place].message.sender.clone();
            // Its file, where it has one, is found after the commit.
            repeats.insert(*place, Arc::new(Message::of(row, sender, None)));
        }
    }
    Ok(repeats)
}
