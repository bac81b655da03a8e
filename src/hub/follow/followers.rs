//! Who follows: the table of all such connections of the node, what each has, and what is reported about them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use entity::{ChatId, Seq, Time, UserId};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Follow;
use crate::{
    chat::{ChatEvent, ChatHead, ConnectionId, Followed, Presence, What},
    hub::{Present, Seat, Seated, unread::Tally},
};

/// What a hub, an event or the sweep has for whoever keeps the followers' seats.
#[derive(Debug)]
pub(in crate::hub) enum Report {
    /// A seat has ended with its membership or its chat.
    Ended(ConnectionId, ChatId),
    /// Something was said in a chat that a connection doesn't show.
    Stirred(ConnectionId, ChatId),
    /// What a connection's user hasn't read has changed.
    Unread(ConnectionId, ChatId),
    /// Somebody may have become a member.
    Entered(UserId, ChatId),
    /// A support chat may be open that was not.
    Support(ChatId),
}

/// Where a follower's seats report.
#[derive(Clone, Debug)]
pub struct Reports {
    to: mpsc::UnboundedSender<Report>,
    pub(super) counts_unread: bool,
    /// Its client knows typing and marks of reading.
    pub(in crate::hub) hears_passing: Arc<AtomicBool>,
    pub(in crate::hub) waiting: Waiting,
}

/// The support chats that wait for an answer, as far as a connection was shown it: whose customer has spoken since an
/// operator did. An entry for each that it was shown anything of.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<BTreeMap<ChatId, Turn>>>);

/// Who has the word in a support chat, where it stands at a number.
#[derive(Clone, Copy, Debug)]
struct Turn {
    at: Seq,
    waits: bool,
}

impl Waiting {
    /// Something was shown of a chat that stands at a number: that its customer waits, or doesn't any more. What is read
    /// from the database may be older than what was heard meanwhile; then that counts.
    pub fn shows(&self, chat: ChatId, at: Seq, waits: bool) {
        let mut turns = self.0.lock();
        let turn = turns.entry(chat).or_insert(Turn { at, waits });
        if at >= turn.at {
            *turn = Turn { at, waits };
        }
    }

    /// The connection hears no more of a chat.
    pub(super) fn forget(&self, chat: ChatId) {
        self.0.lock().remove(&chat);
    }

    /// The one that waits; none where several do, or nobody.
    pub fn only(&self) -> Option<ChatId> {
        let turns = self.0.lock();
        let mut waiting = turns.iter().filter(|(_, turn)| turn.waits);
        let first = waiting.next().map(|(chat, _)| *chat);
        first.filter(|_| waiting.next().is_none())
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        !self.0.lock().values().any(|turn| turn.waits)
    }
}

impl Reports {
    pub(in crate::hub) fn send(&self, report: Report) {
        // Nobody listens only once the service ends.
        let _ = self.to.send(report);
    }

    /// For a seat whose count isn't known.
    pub(in crate::hub) fn tally(&self) -> Option<Tally> {
        self.counts_unread.then(Tally::default)
    }
}

/// All connections of the node that follow their users' chats.
pub(in crate::hub) struct Followers {
    table: Mutex<Table>,
    is_empty: AtomicBool,
    reports: mpsc::UnboundedSender<Report>,
    /// Taken by the task that serves them.
    pub(in crate::hub) reported: Mutex<Option<mpsc::UnboundedReceiver<Report>>>,
    /// From when on the last sweep that succeeded asked.
    pub(in crate::hub) swept_from: Mutex<Option<Time>>,
}

#[derive(Default)]
struct Table {
    by_connection: HashMap<ConnectionId, Arc<Follower>>,
    by_user: HashMap<UserId, Vec<ConnectionId>>,
    /// Those with the support chats.
    operators: HashSet<ConnectionId>,
    /// Those who have, or had, a place in somebody else's support chat: it ends when they are no staff any more.
    overseen: HashSet<ConnectionId>,
}

/// One of them.
pub(in crate::hub) struct Follower {
    pub(in crate::hub) follow: Follow,
    pub(super) connection: ConnectionId,
    pub(super) reports: Reports,
    /// It has begun: what it enters from now on is told.
    pub(super) has_begun: AtomicBool,
    pub(super) places: Mutex<Places>,
}

/// Its places in its user's chats.
#[derive(Default)]
pub(in crate::hub) struct Places {
    pub(super) has_ended: bool,
    pub(super) chats: HashMap<ChatId, Arc<Seated>>,
    presents: HashMap<ChatId, Present>,
}

impl Default for Followers {
    fn default() -> Self {
        let (reports, reported) = mpsc::unbounded_channel();
        Followers {
            table: Mutex::default(),
            is_empty: AtomicBool::new(true),
            reports,
            reported: Mutex::new(Some(reported)),
            swept_from: Mutex::default(),
        }
    }
}

impl Followers {
    pub(in crate::hub) fn report(&self, report: Report) {
        // Nobody listens only once the service ends.
        let _ = self.reports.send(report);
    }

    /// Whether nobody follows.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.is_empty.load(Relaxed)
    }

    pub(in crate::hub) fn find(&self, connection: ConnectionId) -> Option<Arc<Follower>> {
        self.table.lock().by_connection.get(&connection).cloned()
    }

    /// The connections of a user.
    pub(in crate::hub) fn of_user(&self, user: UserId) -> Vec<ConnectionId> {
        let table = self.table.lock();
        table.by_user.get(&user).cloned().unwrap_or_default()
    }

    /// Everybody who has followers.
    pub(in crate::hub) fn users(&self) -> Vec<UserId> {
        self.table.lock().by_user.keys().copied().collect()
    }

    /// Those who hear the open support chats.
    pub(in crate::hub) fn operators(&self) -> Vec<ConnectionId> {
        self.table.lock().operators.iter().copied().collect()
    }

    /// Those who may have places as operators.
    pub(in crate::hub) fn overseen(&self) -> Vec<ConnectionId> {
        self.table.lock().overseen.iter().copied().collect()
    }

    /// A seat for a follower. From now on it is asked of those who sit in others' support chats whether they are staff.
    pub(super) fn seat(&self, follower: &Follower, followed: &Followed) -> Seat {
        let seat = follower.seat(followed);
        if seat.is_operator {
            let mut table = self.table.lock();
            // One that has ended meanwhile isn't asked about for ever.
            if table.by_connection.contains_key(&seat.connection) {
                table.overseen.insert(seat.connection);
            }
        }
        seat
    }

    /// A connection hears the open support chats no more.
    pub(super) fn forget_operator(&self, connection: ConnectionId) {
        self.table.lock().operators.remove(&connection);
    }

    /// Notes who has entered a chat with these events.
    pub(in crate::hub) fn hear(&self, events: &[Arc<ChatEvent>]) {
        if self.is_empty() {
            return;
        }
        for event in events {
            match &event.what {
                What::MemberJoined { user, .. } => self.enters(user.id, event.chat),
                What::Opened { members, customer } => {
                    members
                        .iter()
                        .for_each(|user| self.enters(*user, event.chat));
                    if customer.is_some() {
                        self.report(Report::Support(event.chat));
                    }
                }
                _ => {}
            }
        }
    }

    fn enters(&self, user: UserId, chat: ChatId) {
        if self.table.lock().by_user.contains_key(&user) {
            self.report(Report::Entered(user, chat));
        }
    }

    pub(super) fn add(&self, follow: Follow, connection: ConnectionId) -> Arc<Follower> {
        let reports = Reports {
            to: self.reports.clone(),
            counts_unread: follow.announce.is_some(),
            hears_passing: Arc::new(AtomicBool::new(follow.announce.is_some())),
            waiting: Waiting::default(),
        };
        let user = follow.actor.id();
        let with_support = follow.chats.has_support() && follow.actor.is_staff;
        let follower = Arc::new(Follower {
            follow,
            connection,
            reports,
            has_begun: AtomicBool::new(false),
            places: Mutex::default(),
        });
        let mut table = self.table.lock();
        table.by_connection.insert(connection, follower.clone());
        table.by_user.entry(user).or_default().push(connection);
        if with_support {
            table.operators.insert(connection);
            table.overseen.insert(connection);
        }
        self.is_empty.store(false, Relaxed);
        follower
    }

    pub(super) fn remove(&self, follower: &Follower) {
        let connection = follower.connection;
        let mut table = self.table.lock();
        table.by_connection.remove(&connection);
        table.operators.remove(&connection);
        table.overseen.remove(&connection);
        let user = follower.follow.actor.id();
        if let Some(of_user) = table.by_user.get_mut(&user) {
            of_user.retain(|other| *other != connection);
            if of_user.is_empty() {
                table.by_user.remove(&user);
            }
        }
        self.is_empty.store(table.by_connection.is_empty(), Relaxed);
    }
}

impl Follower {
    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Relaxed)
    }

    /// The place in a chat, where there is one.
    pub(in crate::hub) fn place(&self, chat: ChatId) -> Option<Arc<Seated>> {
        self.places.lock().chats.get(&chat).cloned()
    }

    /// Keeps a place that it has taken, unless it has one in the chat; one that came too late ends with its use.
    pub(super) fn keep(&self, chat: ChatId, seated: impl FnOnce() -> Seated) -> Arc<Seated> {
        let mut places = self.places.lock();
        if let Some(known) = places.chats.get(&chat) {
            return known.clone();
        }
        let seated = Arc::new(seated());
        if !places.has_ended {
            places.chats.insert(chat, seated.clone());
        }
        seated
    }

    /// Whether it makes its user present in such a chat.
    pub(super) fn is_present_in(&self, followed: &Followed) -> bool {
        self.follow.announce.is_some() && followed.is_small && !followed.is_quiet
    }

    /// Keeps its user's presence in a chat, and shows who else is there.
    pub(super) fn keep_present(&self, chat: ChatId, present: Present) {
        let mut places = self.places.lock();
        let before = match places.has_ended {
            true => Some(present),
            false => places.presents.insert(chat, present),
        };
        drop(places);
        drop(before);
        // What it begins with is outside the queue's bounds, as its greeting is.
        self.tell_presence(chat, !self.has_begun());
    }

    /// Answers with who is in a chat, where its user is present.
    pub(super) fn show_presence(&self, chat: ChatId) {
        self.tell_presence(chat, true);
    }

    fn tell_presence(&self, chat: ChatId, is_answer: bool) {
        let places = self.places.lock();
        let (Some(announce), Some(present)) = (self.follow.announce, places.presents.get(&chat))
        else {
            return;
        };
        let queue = &self.follow.queue;
        let frame = |presence: &Presence| (announce.presence)(chat, presence);
        if is_answer {
            // Where the connection is ending, its places are taken away with it.
            let _ = present.show(queue, |presence| Some(frame(presence)));
        } else {
            present.push(queue, frame);
        }
    }

    /// Gives all places up, for good.
    pub(super) fn end(&self) {
        let mut places = self.places.lock();
        let all = std::mem::take(&mut *places);
        places.has_ended = true;
        drop(places);
        drop(all);
    }

    /// Its places in support chats that are not its user's own.
    pub(super) fn operated(&self) -> Vec<(ChatId, Arc<Seated>)> {
        let places = self.places.lock();
        let all = places.chats.iter();
        all.filter(|(_, seated)| seated.is_operator())
            .map(|(chat, seated)| (*chat, seated.clone()))
            .collect()
    }

    /// Gives a place up whose seat has ended.
    pub(in crate::hub) fn forget_ended(&self, chat: ChatId) {
        if self.place(chat).is_some_and(|seated| !seated.is_live()) {
            self.forget(chat);
        }
    }

    pub(super) fn forget(&self, chat: ChatId) {
        let mut places = self.places.lock();
        let forgotten = (places.chats.remove(&chat), places.presents.remove(&chat));
        drop(places);
        // Outside the lock: it takes leave of the hub.
        drop(forgotten);
    }

    /// Whether it hears such a chat without having asked for it.
    pub(super) fn wants(&self, chat: &ChatHead) -> bool {
        let Follow { actor, chats, .. } = &self.follow;
        let is_anothers = chat.customer.is_some_and(|customer| customer != actor.id());
        chats.has(chat) && (!is_anothers || chats.has_support())
    }

    fn seat(&self, followed: &Followed) -> Seat {
        let user = self.follow.actor.id();
        Seat {
            connection: self.connection,
            user,
            is_operator: followed
                .entered
                .head
                .customer
                .is_some_and(|customer| customer != user),
            in_literals: self.follow.in_literals,
            hears_presence: self.is_present_in(followed),
            voice: self.follow.voice,
            queue: self.follow.queue.clone(),
            reports: Some(self.reports.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_an_answer_came_does_not_make_its_customer_wait_again() {
        let (anna, boris, waiting) = (ChatId(1), ChatId(2), Waiting::default());
        assert!(waiting.is_empty());
        waiting.shows(anna, Seq(7), true);
        waiting.shows(anna, Seq(8), false);
        waiting.shows(anna, Seq(7), true);
        assert!(waiting.is_empty(), "the answer is the newer word");
        waiting.shows(boris, Seq(3), true);
        assert_eq!(waiting.only(), Some(boris));
        waiting.shows(anna, Seq(9), true);
        assert_eq!((waiting.only(), waiting.is_empty()), (None, false));
        // What was read is ahead of what is heard: of that nothing is news.
        waiting.shows(boris, Seq(6), false);
        waiting.shows(boris, Seq(5), true);
        assert_eq!(waiting.only(), Some(anna));
        waiting.forget(anna);
        assert!(waiting.is_empty());
    }
}
