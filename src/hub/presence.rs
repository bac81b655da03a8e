//! Who is in a chat on this node: per user, by however many connections of whatever dialect.
//!
//! Comings and goings are told one by one while lists can name everybody; with more users, only how many there are,
//! at most every `COUNT_EVERY`: so a crowd that comes back at once doesn't cost a frame for each pair of its people.
//!
//! Not here: whether a user is online at all, in any chat (whoever holds the connections knows).
//! Relies on: who changes a roster tells it under the same lock, so that what was told last is true.
//! Bounded by: one entry for each user with a connection to the chat.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use entity::UserId;
use indexmap::{IndexMap, map::Entry};

use super::{Close, Hub, Hubs, Queue, SharedFrame};
use crate::chat::{ConnectionId, Departure, Presence, Profile, What};

/// Where comings and goings aren't told one by one.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// A user who is in the chat.
#[derive(Debug)]
struct Somebody {
    user: Arc<Profile>,
    connections: u32,
    /// Which of the stays in this chat it is.
    stay: Stay,
}

/// The time between a user's coming and going. A connection of an earlier stay doesn't end a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stay(u64);

/// The users who are in a chat.
#[derive(Debug)]
pub(super) struct Roster {
    /// Users that a list names.
    named_max: usize,
    here: IndexMap<UserId, Somebody>,
    /// More are here than lists name, or were when it was told last: they are counted.
    is_counted: bool,
    /// Somebody came or went whom nobody was told of.
    is_stale: bool,
    counted_at: Option<Instant>,
    last_stay: Stay,
}

impl Roster {
    /// Nobody is here.
    pub(super) fn new(named_max: usize) -> Self {
        Roster {
            named_max,
            here: IndexMap::new(),
            is_counted: false,
            is_stale: false,
            counted_at: None,
            last_stay: Stay::default(),
        }
    }

    /// A connection of a user came. Which stay it belongs to, and whether the chat is to be told.
    pub(super) fn enter(&mut self, user: &Arc<Profile>) -> (Stay, bool) {
        match self.here.entry(user.id) {
            Entry::Occupied(known) => {
                let somebody = known.into_mut();
                somebody.connections += 1;
                (somebody.stay, false)
            }
            Entry::Vacant(place) => {
                self.last_stay.0 += 1;
                place.insert(Somebody {
                    user: user.clone(),
                    connections: 1,
                    stay: self.last_stay,
                });
                self.is_counted |= self.here.len() > self.named_max;
                self.is_stale |= self.is_counted;
                (self.last_stay, !self.is_counted)
            }
        }
    }

    /// A connection of a user went. Whether the chat is to be told.
    pub(super) fn leave(&mut self, user: UserId, stay: Stay) -> bool {
        match self.here.get_mut(&user) {
            Some(somebody) if somebody.stay == stay => somebody.connections -= 1,
            _ => return false,
        }
        let is_gone = self.here[&user].connections == 0;
        is_gone && self.end(user)
    }

    /// A user's stay ends, however many connections there are. Whether the chat is to be told.
    pub(super) fn end(&mut self, user: UserId) -> bool {
        if self.here.swap_remove(&user).is_none() {
            return false;
        }
        if self.here.is_empty() {
            // An empty room holds no memory.
            self.here = IndexMap::new();
        }
        self.is_stale |= self.is_counted;
        !self.is_counted
    }

    /// Whether what another node tells of a user's coming or going is no news here.
    pub(super) fn overrules(&self, what: &What) -> bool {
        match what {
            What::Entered(user) | What::Left { user, .. } => {
                self.is_counted || self.here.contains_key(&user.id)
            }
            _ => false,
        }
    }

    /// Who is here: all, or as many as lists name.
    pub(super) fn presence(&self) -> Presence {
        let named = self.here.values().take(self.named_max);
        Presence {
            users: Some(named.map(|somebody| somebody.user.clone()).collect()),
            count: self.here.len(),
        }
    }

    /// The same with somebody who is about to come, and is named in any case.
    pub(super) fn presence_with(&self, user: &Arc<Profile>) -> Presence {
        let mut presence = self.presence();
        if let Some(named) = &mut presence.users
            && !named.iter().any(|known| known.id == user.id)
        {
            named.truncate(self.named_max.saturating_sub(1));
            named.push(user.clone());
            presence.count += usize::from(!self.here.contains_key(&user.id));
        }
        presence
    }

    /// What is to be told now of comings and goings that weren't told one by one. Where lists name everybody again, they
    /// are told who is left.
    pub(super) fn due(&mut self, now: Instant) -> Option<Presence> {
        let is_early = self
            .counted_at
            .is_some_and(|at| now.duration_since(at) < COUNT_EVERY);
        if !self.is_stale || is_early {
            return None;
        }
        self.is_stale = false;
        self.counted_at = Some(now);
        self.is_counted = self.here.len() > self.named_max;
        Some(match self.is_counted {
            true => Presence {
                users: None,
                count: self.here.len(),
            },
            false => self.presence(),
        })
    }
}

/// A user's presence in a chat by one connection, which may be present in many. Dropped, it ends as a lost
/// connection's does.
#[must_use]
pub struct Present {
    hubs: Arc<Hubs>,
    hub: Arc<Hub>,
    user: Arc<Profile>,
    how: Departure,
    was_told: bool,
    stay: Stay,
}

impl Hubs {
    /// A connection makes its user present in a chat. Who sits there and hears presence is told, the connection itself
    /// too, if it is the user's first there and lists can name everybody.
    pub fn present(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        user: &Arc<Profile>,
        connection: ConnectionId,
    ) -> Present {
        let (stay, told) = hub.enter(user, connection);
        let was_told = told.is_some();
        self.share_all(told);
        Present {
            hubs: self.clone(),
            hub: hub.clone(),
            user: user.clone(),
            how: Departure::Lost,
            was_told,
            stay,
        }
    }
}

impl Present {
    /// Whether the chat was told that the user came.
    pub fn was_told(&self) -> bool {
        self.was_told
    }

    /// Answers a connection with who is in the chat: what it is told of comings and goings after that, it lacks.
    pub fn show(
        &self,
        queue: &Queue,
        frame: impl FnOnce(&Presence) -> Option<SharedFrame>,
    ) -> Result<(), Close> {
        self.hub.show_presence(queue, frame)
    }

    /// The same among what the connection is pushed.
    pub(super) fn push(&self, queue: &Queue, frame: impl FnOnce(&Presence) -> SharedFrame) {
        self.hub.push_presence(queue, frame);
    }

    /// Ends because the user wants it so.
    pub fn leave(mut self) {
        self.how = Departure::Asked;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let told = self.hub.go(&self.user, self.stay, self.how);
        self.hubs.share_all(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> Arc<Profile> {
        Arc::new(Profile {
            id: UserId(id),
            username: format!("user{id}"),
            first_name: String::new(),
            last_name: String::new(),
        })
    }

    #[test]
    fn a_user_comes_with_the_first_connection_and_goes_with_the_last() {
        let (mut roster, anna) = (Roster::new(200), user(1));
        let (stay, is_told) = roster.enter(&anna);
        assert!(is_told);
        assert_eq!(roster.enter(&anna), (stay, false));
        assert!(!roster.leave(anna.id, stay));
        assert_eq!(roster.presence().count, 1);
        assert!(roster.leave(anna.id, stay));
        assert!(!roster.leave(anna.id, stay), "gone already");
        assert_eq!(roster.presence().count, 0);
        assert_eq!(roster.due(Instant::now()), None);
    }

    #[test]
    fn who_was_sent_away_and_came_again_stays_when_an_old_connection_ends() {
        let (mut roster, anna) = (Roster::new(200), user(1));
        let (before, _) = roster.enter(&anna);
        assert!(roster.end(anna.id));
        let (after, is_told) = roster.enter(&anna);
        assert!(is_told);
        assert!(!roster.leave(anna.id, before));
        assert!(roster.leave(anna.id, after));
    }

    #[test]
    fn who_is_about_to_come_is_named_in_any_case() {
        let mut roster = Roster::new(2);
        let named = |roster: &Roster, id| {
            let Presence { users, count } = roster.presence_with(&user(id));
            let ids = users.unwrap().into_iter().map(|user| user.id.0);
            (ids.collect::<Vec<_>>(), count)
        };
        assert_eq!(named(&roster, 1), (vec![1], 1));
        for id in 1..=3 {
            roster.enter(&user(id));
        }
        assert_eq!(named(&roster, 1), (vec![1, 2], 3));
        assert_eq!(named(&roster, 3), (vec![1, 3], 3));
        assert_eq!(named(&roster, 4), (vec![1, 4], 4));
    }

    #[test]
    fn more_users_than_lists_name_are_counted_every_five_seconds_until_they_can_be_named_again() {
        let (mut roster, start) = (Roster::new(2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let comes = |roster: &mut Roster, id| roster.enter(&user(id)).1;
        let count = |count| Some(Presence { users: None, count });
        assert!(comes(&mut roster, 1) && comes(&mut roster, 2));
        assert_eq!(roster.due(at(0)), None);
        assert!(!comes(&mut roster, 3));
        assert_eq!(roster.presence().users.map(|users| users.len()), Some(2));
        assert_eq!(roster.due(at(0)), count(3));
        assert_eq!(roster.due(at(60)), None, "nothing changed");
        assert!(!comes(&mut roster, 4));
        assert_eq!(roster.due(at(60)), count(4));
        assert!(!roster.end(UserId(4)));
        assert_eq!(roster.due(at(64)), None);
        assert_eq!(roster.due(at(65)), count(3));
        assert!(!roster.end(UserId(3)), "they were told a number only");
        assert_eq!(roster.due(at(70)), Some(roster.presence()));
        assert!(roster.end(UserId(2)));
    }
}
