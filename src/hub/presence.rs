//! Who is in a chat: per user, by however many connections of whatever dialect, here and by other nodes (`elsewhere`).
//!
//! Comings and goings are told one by one while lists can name everybody; with more users, only how many there are,
//! at most every `COUNT_EVERY`: so a crowd that comes back at once doesn't cost a frame for each pair of its people.
//!
//! Not here: whether a user is online at all, in any chat (whoever holds the connections knows).
//! Relies on: who changes a roster tells it under the same lock, so that what was told last is true.
//! Bounded by: one entry for each user with a connection to the chat, anywhere.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use entity::UserId;
use indexmap::{IndexMap, map::Entry};

use super::{Close, Hub, Hubs, Queue, SharedFrame, elsewhere::Standing};
use crate::chat::{ConnectionId, Departure, Presence, Profile};

/// Where comings and goings aren't told one by one.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// A user who is in the chat.
#[derive(Debug)]
struct Somebody {
    user: Arc<Profile>,
    /// On this node.
    connections: u32,
    /// The other nodes by which the user is here.
    elsewhere: Vec<Arc<str>>,
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
    /// How often other nodes told of their people.
    notes: u64,
}

/// Somebody came or went who wasn't here, or isn't any more, by whatever node: the chat is to be told.
pub(super) enum News {
    Came(Arc<Profile>),
    Went(Arc<Profile>, Departure),
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
            notes: 0,
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
            Entry::Vacant(_) => {
                let stay = self.begin(user, 1, Vec::new());
                (stay, !self.is_counted)
            }
        }
    }

    fn begin(&mut self, user: &Arc<Profile>, connections: u32, elsewhere: Vec<Arc<str>>) -> Stay {
        self.last_stay.0 += 1;
        let somebody = Somebody {
            user: user.clone(),
            connections,
            elsewhere,
            stay: self.last_stay,
        };
        self.here.insert(user.id, somebody);
        self.is_counted |= self.here.len() > self.named_max;
        self.is_stale |= self.is_counted;
        self.last_stay
    }

    /// A connection of a user went. Whether the chat is to be told.
    pub(super) fn leave(&mut self, user: UserId, stay: Stay) -> bool {
        match self.here.get_mut(&user) {
            Some(somebody) if somebody.stay == stay => somebody.connections -= 1,
            _ => return false,
        }
        let somebody = &self.here[&user];
        let is_gone = somebody.connections == 0 && somebody.elsewhere.is_empty();
        is_gone && self.end(user)
    }

    /// A user is here by another node.
    pub(super) fn comes_by(&mut self, node: &Arc<str>, user: &Arc<Profile>) -> Option<News> {
        if let Some(somebody) = self.here.get_mut(&user.id) {
            if !somebody.elsewhere.contains(node) {
                somebody.elsewhere.push(node.clone());
            }
            return None;
        }
        self.begin(user, 0, vec![node.clone()]);
        (!self.is_counted).then(|| News::Came(user.clone()))
    }

    /// A user isn't here by another node any more.
    pub(super) fn goes_by(&mut self, node: &str, user: UserId, how: Departure) -> Option<News> {
        let somebody = self.here.get_mut(&user)?;
        somebody.elsewhere.retain(|other| **other != *node);
        if somebody.connections > 0 || !somebody.elsewhere.is_empty() {
            return None;
        }
        let user = somebody.user.clone();
        self.end(user.id).then_some(News::Went(user, how))
    }

    /// Whoever was here by nodes that are gone isn't any more.
    pub(super) fn lose(&mut self, gone: &HashSet<Arc<str>>) -> Vec<News> {
        let mut lost = Vec::new();
        for (user, somebody) in &self.here {
            let gone = somebody
                .elsewhere
                .iter()
                .filter(|node| gone.contains(*node));
            lost.extend(gone.map(|node| (node.clone(), *user)));
        }
        let lost = lost.into_iter();
        lost.filter_map(|(node, user)| self.goes_by(&node, user, Departure::Lost))
            .collect()
    }

    /// Makes of who is here by other nodes what those put that live. Not where somebody told of more since `heard`.
    pub(super) fn compare(
        &mut self,
        others: &[(Arc<str>, UserId)],
        profiles: &HashMap<UserId, Arc<Profile>>,
        heard: u64,
        standing: impl Fn(&str) -> Standing,
    ) -> Vec<News> {
        if heard != self.notes {
            return Vec::new();
        }
        let put: HashSet<(&str, UserId)> =
            others.iter().map(|(node, user)| (&**node, *user)).collect();
        let mut gone = Vec::new();
        for (user, somebody) in &self.here {
            let is_gone = |node: &&Arc<str>| {
                standing(node) == Standing::Lives && !put.contains(&(&***node, *user))
            };
            let nodes = somebody.elsewhere.iter().filter(is_gone);
            gone.extend(nodes.map(|node| (node.clone(), *user)));
        }
        let mut news: Vec<News> = Vec::new();
        for (node, user) in gone {
            news.extend(self.goes_by(&node, user, Departure::Lost));
        }
        for (node, user) in others {
            let known = self.here.get(user).map(|somebody| somebody.user.clone());
            let Some(profile) = known.or_else(|| profiles.get(user).cloned()) else {
                continue;
            };
            if standing(node) == Standing::Lives {
                news.extend(self.comes_by(node, &profile));
            }
        }
        news
    }

    /// How often other nodes told of their people.
    pub(super) fn notes_heard(&self) -> u64 {
        self.notes
    }

    pub(super) fn has_heard_a_note(&mut self) {
        self.notes += 1;
    }

    /// Whether anybody of this id is here.
    pub(super) fn knows(&self, user: UserId) -> bool {
        self.here.contains_key(&user)
    }

    /// A user who is here by this node.
    pub(super) fn by_us(&self, user: UserId) -> Option<Arc<Profile>> {
        let somebody = self.here.get(&user)?;
        (somebody.connections > 0).then(|| somebody.user.clone())
    }

    /// All who are here by this node.
    pub(super) fn all_by_us(&self) -> Vec<UserId> {
        let by_us = self.here.values().filter(|it| it.connections > 0);
        by_us.map(|somebody| somebody.user.id).collect()
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
        self.mark_presence(hub.chat(), user.id, Departure::Lost);
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
        self.hubs
            .mark_presence(self.hub.chat(), self.user.id, self.how);
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

    #[test]
    fn a_user_of_two_nodes_comes_with_the_first_and_goes_with_the_last() {
        let (mut roster, anna) = (Roster::new(200), user(1));
        let [one, two]: [Arc<str>; 2] = ["one".into(), "two".into()];
        let lost = Departure::Lost;
        assert!(roster.comes_by(&one, &anna).is_some());
        assert!(roster.comes_by(&one, &anna).is_none(), "told twice");
        let (stay, is_told) = roster.enter(&anna);
        assert!(!is_told && roster.comes_by(&two, &anna).is_none());
        assert_eq!(roster.presence().count, 1);
        assert!(roster.goes_by("one", anna.id, lost).is_none());
        assert!(!roster.leave(anna.id, stay));
        assert_eq!((roster.by_us(anna.id), roster.all_by_us()), (None, vec![]));
        assert!(roster.goes_by("two", anna.id, lost).is_some());
        assert!(roster.goes_by("two", anna.id, lost).is_none());
        assert_eq!(roster.presence().count, 0);
    }

    #[test]
    fn comparing_believes_nodes_that_live_waits_for_the_silent_and_forgets_the_gone() {
        let mut roster = Roster::new(200);
        let [lives, silent, gone]: [Arc<str>; 3] = ["lives".into(), "silent".into(), "gone".into()];
        let standing = |node: &str| match node {
            "lives" => Standing::Lives,
            "silent" => Standing::Silent,
            _ => Standing::Gone,
        };
        let profiles = (1..=6).map(|id| (UserId(id), user(id))).collect();
        roster.comes_by(&lives, &user(1));
        roster.comes_by(&silent, &user(2));
        roster.comes_by(&gone, &user(3));
        roster.enter(&user(4));
        let put = [
            (lives.clone(), UserId(4)),
            (lives.clone(), UserId(5)),
            (silent.clone(), UserId(6)),
        ];
        let ids = |roster: &Roster| {
            let users = roster.presence().users.unwrap().into_iter();
            let mut ids: Vec<i64> = users.map(|user| user.id.0).collect();
            ids.sort_unstable();
            ids
        };
        let heard = roster.notes_heard();
        roster.has_heard_a_note();
        assert!(roster.compare(&put, &profiles, heard, standing).is_empty());
        assert_eq!(
            ids(&roster),
            [1, 2, 3, 4],
            "somebody told of more meanwhile"
        );
        let news = roster.compare(&put, &profiles, roster.notes_heard(), standing);
        assert_eq!((news.len(), ids(&roster)), (2, vec![2, 3, 4, 5]));
        assert_eq!(roster.lose(&[gone].into()).len(), 1);
        assert_eq!(ids(&roster), [2, 4, 5]);
    }
}
