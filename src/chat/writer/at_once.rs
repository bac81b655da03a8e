//! A batch that is nothing but new messages to chats whose rows are known: nothing needs to be asked, so all of it is one
//! call to the database. Anything out of the ordinary goes the long way.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{ChatId, ChatKind, MessageId, Seq, Time, chat};
use parking_lot::Mutex;

use super::{
    Job, SendJob,
    queue::Waiting,
    turn::{counters, next_message},
};
use crate::{
    chat::ChatEvent,
    store::{ChatCounters, NewMessageRow},
};

/// Chats whose rows are kept; beyond that all are forgotten, and read again as they are needed.
const KNOWN_MAX: usize = 4096;

/// Where others write too, what is known is soon wrong: after it was, a chat goes the long way for so long.
const SHARED_FOR: Duration = Duration::from_secs(10);

/// The rows of chats as this writer committed them last. A hint: the database refuses what was built on a stale one.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<ChatId, Standing>>);

enum Standing {
    /// It stands so.
    Stands(Box<chat::Model>),
    /// Others write there as well; until then nobody knows how it stands.
    IsShared(Instant),
}

impl Known {
    /// They stand so now.
    pub(super) fn keep(&self, chats: impl IntoIterator<Item = chat::Model>) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        for chat in chats {
            let is_shared = |until: &Instant| Instant::now() < *until;
            match known.get(&chat.id) {
                Some(Standing::IsShared(until)) if is_shared(until) => {}
                _ => drop(known.insert(chat.id, Standing::Stands(Box::new(chat)))),
            }
        }
    }

    /// Nobody knows how they stand.
    pub(super) fn forget(&self, chats: impl IntoIterator<Item = ChatId>) {
        let mut known = self.0.lock();
        chats.into_iter().for_each(|chat| drop(known.remove(&chat)));
    }

    /// Whether one of these, as they are now that they are locked, stands otherwise than was known.
    pub(super) fn was_stale<'a>(&self, locked: impl Iterator<Item = &'a chat::Model>) -> bool {
        let mut known = self.0.lock();
        let mut was_stale = false;
        for chat in locked {
            if let Some(Standing::Stands(row)) = known.get(&chat.id)
                && row.last_seq != chat.last_seq
            {
                let until = Instant::now() + SHARED_FOR;
                known.insert(chat.id, Standing::IsShared(until));
                was_stale = true;
            }
        }
        was_stale
    }

    fn find(&self, chat: ChatId) -> Option<chat::Model> {
        match self.0.lock().get(&chat)? {
            Standing::Stands(row) => Some((**row).clone()),
            Standing::IsShared(_) => None,
        }
    }
}

/// What is to be written.
pub(super) struct AtOnce {
    pub(super) rows: Vec<NewMessageRow>,
    pub(super) counters: Vec<ChatCounters>,
    /// Where the chats stood before, in the order of `counters`.
    pub(super) stood: Vec<Seq>,
    chats: BTreeMap<ChatId, chat::Model>,
}

impl AtOnce {
    /// The whole batch, if nothing of it has to be looked at first and it is about so many chats at most.
    pub(super) fn prepare(
        jobs: &mut [Waiting],
        known: &Known,
        chats_max: usize,
        now: Time,
    ) -> Option<Self> {
        let mut chats = BTreeMap::new();
        let mut client_ids = HashSet::new();
        for waiting in jobs.iter() {
            let Job::Send(job) = &waiting.job else {
                return None;
            };
            let message = &job.message;
            if let Some(id) = &message.client_id
                && !client_ids.insert((message.chat, message.sender.id, id.as_str()))
            {
                return None;
            }
            if job.slot.is_err() || message.reply_to.is_some() || message.file.is_some() {
                return None;
            }
            if !chats.contains_key(&message.chat) {
                let chat = known.find(message.chat)?;
                if chat.is_deleted || chats.len() == chats_max {
                    return None;
                }
                chats.insert(chat.id, chat);
            }
        }
        let stood = chats.values().map(|chat| chat.last_seq).collect();
        let mut rows = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut().filter_map(send_of) {
            let chat = chats.get_mut(&job.message.chat)?;
            let is_operator = job.answers_as_operator(chat);
            let row = NewMessageRow {
                may_be_blocked: chat.kind == ChatKind::Personal,
                ..job.row(now, is_operator)
            };
            rows.push(next_message(chat, row));
        }
        Some(AtOnce {
            counters: chats.values().map(counters).collect(),
            rows,
            stood,
            chats,
        })
    }

    /// Which chats it is about.
    pub(super) fn chats(&self) -> impl Iterator<Item = ChatId> {
        self.chats.keys().copied()
    }

    /// It is committed: each job has its outcome, what is to be told comes back, and the chats stand so now.
    pub(super) fn conclude(
        self,
        jobs: &mut [Waiting],
        ids: &[MessageId],
        known: &Known,
    ) -> Vec<Arc<ChatEvent>> {
        known.keep(self.chats.into_values());
        let sends = jobs.iter_mut().filter_map(send_of);
        let committed = sends.zip(self.rows.iter().zip(ids));
        committed
            .map(|(job, (row, id))| Arc::new(job.is_committed(row, *id)))
            .collect()
    }
}

fn send_of(waiting: &mut Waiting) -> Option<&mut SendJob> {
    match &mut waiting.job {
        Job::Send(job) => Some(job),
        Job::Other(_) => None,
    }
}
