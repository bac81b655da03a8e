//! What ended sign-ins: the node's memory of them, by which every access token is checked without a query, and the
//! word to the sockets that they touch. To sockets it is told, too, that an account has changed.
//!
//! Relies on: an access token lives no longer than `remembered_for`; the sweep brings what other nodes ended.
//! Bounded by: `SESSIONS_MAX`; beyond it the oldest are forgotten, and tokens so old that one of those might be theirs
//! are looked up in the database.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use entity::{SessionId, Time, UserId, user};
use parking_lot::{Mutex, RwLock};

use crate::chat::{Actor, people::People};

/// Ended sessions held in memory.
const SESSIONS_MAX: usize = 262_144;
/// An access token may be signed by whoever read the session just before it ended.
const SLACK: Duration = Duration::from_secs(60);

/// What ended sign-ins: sockets that it touches close with 4001.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// One session.
    Session {
        /// Which.
        session: SessionId,
        /// Whose.
        user: UserId,
    },
    /// A user's tokens that belong to no session of ours. Sessions are named one by one: the one that begins with a
    /// new password is not among them.
    User {
        /// Whose.
        user: UserId,
        /// Made until when.
        before: Time,
    },
}

impl Revoked {
    /// Whose sign-ins ended.
    pub fn user(&self) -> UserId {
        match self {
            Revoked::Session { user, .. } | Revoked::User { user, .. } => *user,
        }
    }

    /// Whether this sign-in is one of those that ended.
    pub fn ends(&self, actor: &Actor) -> bool {
        match self {
            Revoked::Session { session, .. } => actor.session.as_ref() == Some(session),
            Revoked::User { user, before } => {
                actor.id() == *user
                    && actor.session.is_none()
                    && is_made_until(actor.token_issued_at, *before)
            }
        }
    }
}

/// Whether a token was made at a moment or earlier. It tells its second only, and one that doesn't tell can't show
/// that it is newer.
pub(crate) fn is_made_until(issued_at: Option<Time>, moment: Time) -> bool {
    issued_at.is_none_or(|issued_at| issued_at.timestamp() <= moment.timestamp())
}

/// What this node knows of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Lives,
    Ended,
    /// It may be one of those that were forgotten.
    Forgotten,
}

type Listener = Box<dyn Fn(&Revoked) + Send + Sync>;
type Watcher = Box<dyn Fn(UserId, bool) + Send + Sync>;

/// Sign-ins that have ended, as far as a token of theirs may still be good.
pub(crate) struct Revocations {
    people: Arc<People>,
    remembered_for: Duration,
    sessions: RwLock<Sessions>,
    /// Users whose tokens ended, as told to the listeners since the last sweep but one.
    told: Mutex<HashMap<UserId, Time>>,
    listeners: RwLock<Vec<Listener>>,
    watchers: RwLock<Vec<Watcher>>,
}

#[derive(Default)]
struct Sessions {
    /// By id, until when they are remembered: seconds since 1970.
    ended: HashMap<u128, i64>,
    /// Tokens made until this second may belong to a session that was forgotten.
    forgotten_until: i64,
}

impl Revocations {
    /// `access_lifetime` with the clocks' leeway: how long a token outlives its session.
    pub(crate) fn new(people: Arc<People>, access_lifetime: Duration) -> Self {
        Revocations {
            people,
            remembered_for: access_lifetime + SLACK,
            sessions: RwLock::default(),
            told: Mutex::default(),
            listeners: RwLock::default(),
            watchers: RwLock::default(),
        }
    }

    /// Has everything told to `listener` from now on, as soon as it took effect here. It is called by whoever ends a
    /// sign-in and must not block.
    pub(crate) fn listen(&self, listener: impl Fn(&Revoked) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    /// Has it told to `watcher` from now on that an account has changed, and whether it is an operator's: once `People`
    /// knows it, and after the sign-ins that ended with it. Perhaps more than once, and by whoever changes it: it must
    /// not block.
    pub(crate) fn watch(&self, watcher: impl Fn(UserId, bool) + Send + Sync + 'static) {
        self.watchers.write().push(Box::new(watcher));
    }

    /// Whether a session has ended, from memory.
    pub(crate) fn look_up(&self, session: &SessionId, issued_at: Option<Time>) -> Known {
        let sessions = self.sessions.read();
        let is_ended = number(session).is_some_and(|number| sessions.ended.contains_key(&number));
        if is_ended {
            Known::Ended
        } else if issued_at.map_or(i64::MIN, |at| at.timestamp()) <= sessions.forgotten_until
            && sessions.forgotten_until > 0
        {
            Known::Forgotten
        } else {
            Known::Lives
        }
    }

    /// One session has ended.
    pub(crate) fn end_session(&self, session: &SessionId, user: UserId, now: Time) {
        if self.remember(session, now) {
            self.tell(Revoked::Session {
                session: session.clone(),
                user,
            });
        }
    }

    /// An account has changed: this is what it is now.
    pub(crate) fn change_account(&self, row: user::Model) {
        let (user, is_staff) = (row.id, row.is_staff);
        self.people.refresh(row);
        self.tell_change(user, is_staff);
    }

    /// An account has changed, and all its sign-ins ended with that: these sessions, and tokens without one.
    pub(crate) fn end_sign_ins(&self, row: user::Model, ended: &[SessionId], now: Time) {
        let (user, valid_after, is_staff) = (row.id, row.tokens_valid_after, row.is_staff);
        self.people.refresh(row);
        for session in ended {
            self.end_session(session, user, now);
        }
        if let Some(valid_after) = valid_after {
            self.end_tokens(user, valid_after);
        }
        self.tell_change(user, is_staff);
    }

    /// What was read from the database, where all nodes' changes since a moment stand: what is new of it takes effect.
    pub(crate) fn learn(
        &self,
        sessions: Vec<(SessionId, UserId)>,
        users: Vec<user::Model>,
        since: Time,
        now: Time,
    ) {
        for (session, user) in sessions {
            self.end_session(&session, user, now);
        }
        for row in users {
            let (user, valid_after, is_staff) = (row.id, row.tokens_valid_after, row.is_staff);
            self.people.refresh(row);
            // What ended earlier was told then: the row is here for another change.
            if let Some(valid_after) = valid_after.filter(|at| *at >= since) {
                self.end_tokens(user, valid_after);
            }
            self.tell_change(user, is_staff);
        }
        self.told.lock().retain(|_, at| *at >= since);
        self.forget(now);
    }

    fn end_tokens(&self, user: UserId, before: Time) {
        if self.told.lock().insert(user, before) != Some(before) {
            self.tell(Revoked::User { user, before });
        }
    }

    fn tell(&self, revoked: Revoked) {
        for listener in self.listeners.read().iter() {
            listener(&revoked);
        }
    }

    fn tell_change(&self, user: UserId, is_staff: bool) {
        for watcher in self.watchers.read().iter() {
            watcher(user, is_staff);
        }
    }

    /// Whether it is news.
    fn remember(&self, session: &SessionId, now: Time) -> bool {
        // Sessions of ours have such ids, all of them.
        let Some(number) = number(session) else {
            return true;
        };
        let mut sessions = self.sessions.write();
        if sessions.ended.len() >= SESSIONS_MAX {
            sessions.forget_half(self.remembered_for);
        }
        let until = now.timestamp() + self.remembered_for.as_secs() as i64;
        match sessions.ended.entry(number) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(until);
                true
            }
        }
    }

    fn forget(&self, now: Time) {
        let now = now.timestamp();
        let is_due = |sessions: &Sessions| sessions.ended.values().any(|until| *until <= now);
        if is_due(&self.sessions.read()) {
            self.sessions.write().ended.retain(|_, until| *until > now);
        }
    }
}

impl Sessions {
    fn forget_half(&mut self, remembered_for: Duration) {
        let mut times: Vec<i64> = self.ended.values().copied().collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        self.ended.retain(|_, until| *until > median);
        let made_until = median - remembered_for.as_secs() as i64 + SLACK.as_secs() as i64;
        self.forgotten_until = self.forgotten_until.max(made_until);
    }
}

/// The id of a session of ours, 32 hexadecimal digits, as a number.
pub(crate) fn number(session: &SessionId) -> Option<u128> {
    let is_ours = session.0.len() == 32 && session.0.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours
        .then(|| u128::from_str_radix(&session.0, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::chat::testing::Disk;

    fn session(number: u128) -> SessionId {
        SessionId(format!("{number:032x}"))
    }

    #[tokio::test]
    async fn an_ended_session_is_remembered_as_long_as_its_tokens_are_good() {
        let node = Disk::new().await.node().await;
        let (revocations, now) = (&node.revocations, Utc::now());
        revocations.end_session(&session(1), UserId(1), now);
        let known = |id| revocations.look_up(&session(id), Some(now));
        assert_eq!((known(1), known(2)), (Known::Ended, Known::Lives));

        let lifetime = Duration::from_secs(15 * 60);
        revocations.learn(Vec::new(), Vec::new(), now, now + lifetime);
        assert_eq!(known(1), Known::Ended);
        revocations.learn(Vec::new(), Vec::new(), now, now + lifetime + SLACK);
        assert_eq!(known(1), Known::Lives);
    }

    #[tokio::test]
    async fn what_is_too_much_to_remember_is_looked_up_and_younger_tokens_are_not() {
        let node = Disk::new().await.node().await;
        let (revocations, now) = (&node.revocations, Utc::now());
        for number in 0..SESSIONS_MAX as u128 {
            let minute = Duration::from_secs(if number % 2 == 0 { 0 } else { 120 });
            revocations.end_session(&session(number), UserId(1), now + minute);
        }
        let known = |id, seconds| {
            let issued_at = now + Duration::from_secs(seconds);
            revocations.look_up(&session(id), Some(issued_at))
        };
        assert_eq!(known(0, 0), Known::Ended);
        let one_more = SESSIONS_MAX as u128;
        let late = now + Duration::from_secs(300);
        revocations.end_session(&session(one_more), UserId(1), late);
        assert_eq!(known(0, 0), Known::Forgotten);
        assert_eq!(known(one_more, 0), Known::Ended);
        assert_eq!(known(one_more + 1, 301), Known::Lives);
        let held = revocations.sessions.read().ended.len();
        assert!(held <= SESSIONS_MAX / 2 + 1, "{held} held");
    }
}
