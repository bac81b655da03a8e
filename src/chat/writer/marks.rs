//! Marks of reading on their way: the newest per member is kept, committed with the next batch, and told at most
//! once a second per member and chat.
//!
//! Bounded by: one mark per member and chat, and the second for which it is remembered that one was told.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{ChatId, MessageId, Seq, UserId};
use parking_lot::Mutex;

use super::turn::Turn;
use crate::{
    chat::{ChatEvent, ConnectionId, Profile, What},
    store::Stored,
};

/// Marks of one member in one chat are told so far apart.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// A mark that moves.
#[derive(Clone, Debug)]
pub(crate) struct DueMark {
    pub(crate) chat: ChatId,
    pub(crate) user: Arc<Profile>,
    pub(crate) seq: Seq,
    pub(crate) message: Option<MessageId>,
    pub(crate) connection: Option<ConnectionId>,
    /// A staff member's in a support chat: it stands in the chat's row.
    pub(crate) as_operator: bool,
}

type Key = (ChatId, UserId);

#[derive(Default)]
struct State {
    pending: HashMap<Key, (DueMark, Instant)>,
    told: HashMap<Key, Instant>,
}

/// What waits to be marked.
#[derive(Default)]
pub(crate) struct Marks {
    state: Mutex<State>,
}

impl Marks {
    /// Keeps the newest; whether the writer should be woken.
    pub(super) fn put(&self, mark: DueMark) -> bool {
        let key = (mark.chat, mark.user.id);
        let mut state = self.state.lock();
        if let Some((pending, _)) = state.pending.get_mut(&key) {
            if pending.seq < mark.seq {
                *pending = mark;
            }
            return false;
        }
        let now = Instant::now();
        let due = state
            .told
            .get(&key)
            .map_or(now, |told| now.max(*told + TOLD_EVERY));
        state.pending.insert(key, (mark, due));
        true
    }

    /// The newest mark of a member that isn't committed yet.
    pub(crate) fn pending(&self, chat: ChatId, user: UserId) -> Option<Seq> {
        self.state
            .lock()
            .pending
            .get(&(chat, user))
            .map(|(mark, _)| mark.seq)
    }

    /// Takes what is due, or everything.
    pub(super) fn take_due(&self, all: bool) -> Vec<DueMark> {
        let mut state = self.state.lock();
        if state.pending.is_empty() && state.told.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        state
            .told
            .retain(|_, told| now.duration_since(*told) < TOLD_EVERY);
        let due: Vec<Key> = state
            .pending
            .iter()
            .filter(|(_, (_, due))| all || *due <= now)
            .map(|(key, _)| *key)
            .collect();
        due.into_iter()
            .filter_map(|key| {
                let (mark, _) = state.pending.remove(&key)?;
                state.told.insert(key, now);
                Some(mark)
            })
            .collect()
    }

    /// When the next mark is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.state
            .lock()
            .pending
            .values()
            .map(|(_, due)| *due)
            .min()
    }
}

/// Writes marks and tells them.
pub(super) async fn apply(turn: &mut Turn<'_>, marks: &[DueMark]) -> Stored<()> {
    let mut members: Vec<_> = marks
        .iter()
        .filter(|mark| !mark.as_operator)
        .map(|mark| (mark.chat, mark.user.id, mark.seq))
        .collect();
    if !members.is_empty() {
        // In one order on all nodes.
        members.sort_unstable();
        turn.batch().write_marks(&members).await?;
    }
    let operators: Vec<_> = marks
        .iter()
        .filter(|mark| mark.as_operator)
        .map(|mark| (mark.chat, mark.seq))
        .collect();
    if !operators.is_empty() {
        turn.batch().write_operator_marks(&operators).await?;
    }
    for mark in marks {
        turn.tell(ChatEvent {
            chat: mark.chat,
            seq: None,
            by: mark.user.id,
            origin: mark.connection,
            what: What::Read {
                user: mark.user.clone(),
                last_read_message: mark.message,
                last_read_seq: mark.seq,
            },
        });
    }
    Ok(())
}
