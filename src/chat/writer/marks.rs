//! Marks of reading on their way: the newest per member is kept, committed with the next batch, and told at most
//! once a second per member and chat.
//!
//! Bounded by: one mark per member and chat, and the second for which it is remembered that one was told.

use std::{
    collections::{BTreeMap, HashMap},
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
    /// Taken for the batch that runs.
    in_flight: HashMap<Key, Seq>,
    told: HashMap<Key, Instant>,
}

/// What was taken for a batch, until the batch is over.
pub(super) struct Due<'a> {
    pub(super) marks: Vec<DueMark>,
    of: &'a Marks,
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        for mark in &self.marks {
            state.in_flight.remove(&(mark.chat, mark.user.id));
        }
    }
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
        if state
            .in_flight
            .get(&key)
            .is_some_and(|seq| *seq >= mark.seq)
        {
            return false;
        }
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

    /// The newest mark of a member that may not be committed yet.
    pub(crate) fn pending(&self, chat: ChatId, user: UserId) -> Option<Seq> {
        let (key, state) = ((chat, user), self.state.lock());
        let pending = state.pending.get(&key).map(|(mark, _)| mark.seq);
        pending.max(state.in_flight.get(&key).copied())
    }

    /// Takes what is due, or everything.
    pub(super) fn take_due(&self, all: bool) -> Due<'_> {
        Due {
            marks: self.take(all),
            of: self,
        }
    }

    fn take(&self, all: bool) -> Vec<DueMark> {
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
                state.in_flight.insert(key, mark.seq);
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
    let operators = of_operators(marks);
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

/// How far operators have read each support chat. They share a mark, and of two for one row a database would take either.
fn of_operators(marks: &[DueMark]) -> Vec<(ChatId, Seq)> {
    let mut chats = BTreeMap::new();
    for mark in marks.iter().filter(|mark| mark.as_operator) {
        let furthest = chats.entry(mark.chat).or_insert(mark.seq);
        *furthest = mark.seq.max(*furthest);
    }
    chats.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_operators_whoever_has_read_furthest_counts() {
        let marks = [(2, 5), (1, 3), (2, 9), (2, 7)].map(|(chat, seq)| DueMark {
            chat: ChatId(chat),
            as_operator: true,
            ..mark(seq)
        });
        let own = mark(4);
        let [first, second, third, fourth] = marks;
        let written = of_operators(&[first, own, second, third, fourth]);
        assert_eq!(written, [(ChatId(1), Seq(3)), (ChatId(2), Seq(9))]);
    }

    fn mark(seq: i64) -> DueMark {
        DueMark {
            chat: ChatId(1),
            user: Arc::new(Profile {
                id: UserId(7),
                username: "anna".into(),
                first_name: String::new(),
                last_name: String::new(),
            }),
            seq: Seq(seq),
            message: None,
            connection: None,
            as_operator: false,
        }
    }

    #[test]
    fn a_mark_that_is_being_committed_does_not_go_back() {
        let marks = Marks::default();
        assert!(marks.put(mark(10)));
        let due = marks.take_due(false);
        assert_eq!(due.marks.len(), 1);
        assert_eq!(marks.pending(ChatId(1), UserId(7)), Some(Seq(10)));
        for behind in [7, 10] {
            assert!(!marks.put(mark(behind)), "{behind}");
        }
        assert!(marks.take_due(true).marks.is_empty());
        assert!(marks.put(mark(12)), "one that moves waits for its turn");
        drop(due);
        assert_eq!(marks.pending(ChatId(1), UserId(7)), Some(Seq(12)));
        let last = marks.take_due(true);
        assert_eq!(last.marks[0].seq, Seq(12));
        drop(last);
        assert_eq!(marks.pending(ChatId(1), UserId(7)), None);
    }
}
