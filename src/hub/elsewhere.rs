//! Who is in this node's chats by other nodes, and telling them who is there by this one.
//!
//! A node tells the truth about its own people twice: in what nodes hold in common, where a hub that begins reads it and
//! all compare from time to time, and by a note through the channel layer, so that it is known at once. Whatever is lost
//! of either, the next comparison repairs: each node compares what is put of its own people with who is here, and the
//! others' with what they put. A node that falls silent is gone after `GONE_AFTER`, with everybody there by it.
//!
//! Not here: what a coming or a going is (`presence`). Relies on: hubs know who is there by this node.
//! Bounded by: a mark for each user and chat that changed since the last flush; a number for each chat that is compared
//! with the next beat, which are all of them after nobody could be asked; a hub's roster.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use entity::{ChatId, UserId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{hub::Hub, hubs::Hubs, presence::News, publish::LayerWork};
use crate::{
    chat::{ChatError, Departure, Profile},
    lease::{Away, Lease, Presence, There},
};

/// How often this node says that it lives, and looks who else does.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A node that wasn't found living for so long is gone: together with `lease::NODE_SILENT_AFTER` less than 30 s.
const GONE_AFTER: Duration = Duration::from_secs(12);
/// A node that is gone is remembered for so long.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Each chat is compared with what nodes hold in common once in so many beats.
const COMPARED_IN_BEATS: usize = 15;
/// Chats compared by one question, and people put by one.
const AT_ONCE: usize = 1000;
/// What changes within so long of a telling is told together.
const GATHERED: Duration = Duration::from_millis(20);

/// What a node tells the others beside events, by way of the channel layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// Who came and went.
    People(People),
    /// Whose connection a place is.
    Owner(Owner),
}

/// A connection of a user's took their place in a chat, at the node that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Where.
    pub chat: ChatId,
    /// Whose place.
    pub user: UserId,
    /// Whoever has it by a lower number has lost it.
    pub number: u64,
}

/// Is told of places that connections of other nodes took; must not block.
pub type OnOwner = Box<dyn Fn(Owner) + Send + Sync>;

/// The people of one chat who came and went by one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct People {
    /// Which node.
    pub(super) node: Arc<str>,
    /// Which chat.
    pub(super) chat: ChatId,
    /// Who is there.
    pub(super) here: Vec<Arc<Profile>>,
    /// Who isn't there any more, and how they went.
    pub(super) gone: Vec<(UserId, Departure)>,
}

/// Which nodes there are, as far as this one knows.
#[derive(Debug, Default)]
struct Nodes {
    /// Those that said so of late, when last asked.
    living: HashSet<Arc<str>>,
    /// When each was last known to live.
    seen: HashMap<Arc<str>, Instant>,
    /// Those that are gone, and whose people are forgotten.
    forgotten: HashSet<Arc<str>>,
    /// Those whose people were forgotten since they were last found living.
    missed: HashSet<Arc<str>>,
}

/// This node's part of presence over all nodes.
pub(super) struct Elsewhere {
    pub(super) lease: Arc<dyn Lease>,
    /// Whose presence here changed, and isn't told yet.
    marks: Mutex<HashMap<(ChatId, UserId), Departure>>,
    woken: Notify,
    nodes: Mutex<Nodes>,
    on_owner: OnceLock<OnOwner>,
    /// Chats that are compared with the next beat that is answered. Those that began here: what came before this node
    /// heard of them is looked up once more. Those that changed here when that couldn't be put. And all of them where
    /// people may have been forgotten who are there.
    due: Mutex<HashSet<ChatId>>,
}

/// Who is there, as was put, in a chat.
struct Found {
    chat: ChatId,
    /// Where it is on this node, and how many notes it had heard before.
    hub: Option<(Arc<Hub>, u64)>,
    there: There,
}

/// How far a node's word goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It lives: what it put is so.
    Lives,
    /// It hasn't been heard of lately: nothing is known anew.
    Silent,
    /// Whoever was there by it isn't any more.
    Gone,
}

impl Elsewhere {
    pub(super) fn new(lease: Arc<dyn Lease>) -> Self {
        Elsewhere {
            lease,
            marks: Mutex::default(),
            woken: Notify::new(),
            nodes: Mutex::default(),
            on_owner: OnceLock::new(),
            due: Mutex::default(),
        }
    }

    /// A chat begins on this node.
    pub(super) fn begins(&self, chat: ChatId) {
        if self.lease.is_shared() {
            self.due.lock().insert(chat);
        }
    }

    fn mark(&self, chat: ChatId, user: UserId, how: Departure) {
        let mut marks = self.marks.lock();
        marks.insert((chat, user), how);
        if marks.len() == 1 {
            self.woken.notify_one();
        }
    }

    /// What is put of somebody isn't so.
    fn mark_again(&self, chat: ChatId, user: UserId) {
        let is_marked = self.marks.lock().contains_key(&(chat, user));
        if !is_marked {
            self.mark(chat, user, Departure::Lost);
        }
    }

    fn standing(&self, node: &str) -> Standing {
        let mut nodes = self.nodes.lock();
        if nodes.living.contains(node) {
            return Standing::Lives;
        }
        match nodes.seen.get(node) {
            Some(at) if at.elapsed() >= GONE_AFTER => Standing::Gone,
            Some(_) => Standing::Silent,
            // It may only just have begun.
            None => {
                nodes.seen.insert(Arc::from(node), Instant::now());
                Standing::Silent
            }
        }
    }

    /// Who lives, as was just answered. Whether one is among them whose people are forgotten here.
    fn learn(&self, living: Vec<Arc<str>>) -> bool {
        let now = Instant::now();
        let Nodes {
            living: lives,
            seen,
            missed,
            ..
        } = &mut *self.nodes.lock();
        seen.extend(living.iter().map(|node| (node.clone(), now)));
        seen.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        *lives = living.into_iter().collect();
        let missed_before = missed.len();
        missed.retain(|node| !lives.contains(node));
        let is_one_back = missed.len() < missed_before;
        missed.retain(|node| seen.contains_key(node));
        is_one_back
    }

    fn finds_living(&self, node: &str) -> bool {
        self.nodes.lock().living.contains(node)
    }

    /// Nobody could be asked.
    fn learn_nothing(&self) {
        self.nodes.lock().living.clear();
    }

    fn has_met(&self, node: &Arc<str>) {
        let mut nodes = self.nodes.lock();
        nodes.seen.insert(node.clone(), Instant::now());
        nodes.forgotten.remove(node);
    }

    /// The nodes that are gone since this was asked last.
    fn newly_gone(&self) -> HashSet<Arc<str>> {
        let Nodes {
            living,
            seen,
            forgotten,
            missed,
        } = &mut *self.nodes.lock();
        forgotten.retain(|node| seen.contains_key(node) && !living.contains(node));
        let silent = seen.iter().filter(|(_, at)| at.elapsed() >= GONE_AFTER);
        let gone = silent.map(|(node, _)| node.clone());
        let gone: HashSet<Arc<str>> = gone
            .filter(|node| !living.contains(node) && forgotten.insert(node.clone()))
            .collect();
        missed.extend(gone.iter().cloned());
        gone
    }
}

impl Hubs {
    /// Somebody's presence by this node may have changed.
    pub(super) fn mark_presence(&self, chat: ChatId, user: UserId, how: Departure) {
        if self.elsewhere.lease.is_shared() || self.layer.has_others() {
            self.elsewhere.mark(chat, user, how);
        }
    }

    /// Has the places that connections of other nodes take told to `listener`. Asked for once.
    pub fn on_owner(&self, listener: OnOwner) {
        // A second listener would be a mistake of the wiring; the first one stays.
        let _ = self.elsewhere.on_owner.set(listener);
    }

    /// Tells the other nodes that a connection of this one took somebody's place.
    pub fn tell_owner(&self, owner: Owner) {
        self.share_note(owner.chat, Note::Owner(owner));
    }

    fn share_note(&self, chat: ChatId, note: Note) {
        if self.layer.has_others() && self.work.try_send(LayerWork::Note(chat, note)).is_err() {
            debug!(chat = %chat, "chat {chat}: the channel layer is behind, a note is lost");
        }
    }

    /// What another node tells.
    pub(super) fn hear_note(&self, note: Note) {
        match note {
            Note::People(people) => self.hear_people(people),
            Note::Owner(owner) => {
                if let Some(listener) = self.elsewhere.on_owner.get() {
                    listener(owner);
                }
            }
        }
    }

    fn hear_people(&self, note: People) {
        if note.node == *self.elsewhere.lease.node() {
            return;
        }
        self.elsewhere.has_met(&note.node);
        if let Some(hub) = self.find(note.chat) {
            hub.with_roster(|roster| {
                roster.has_heard_a_note();
                let mut news: Vec<News> = Vec::new();
                for user in &note.here {
                    news.extend(roster.comes_by(&note.node, user));
                }
                for (user, how) in &note.gone {
                    news.extend(roster.goes_by(&note.node, *user, *how));
                }
                ((), news)
            });
        }
    }

    /// Before somebody enters a chat that began on this node just now: who is there by the others. Where nobody can be
    /// asked, comparing finds them later.
    pub(super) async fn look_elsewhere(&self, hub: &Hub) {
        if !self.elsewhere.lease.is_shared() {
            return;
        }
        let look = async {
            let found = self.ask(&[hub.chat()]).await.map_err(away)?;
            self.believe(found).await
        };
        if let Err(error) = hub.first_look(look).await {
            let chat = hub.chat();
            debug!(chat = %chat, "chat {chat}: can't ask who is there by other nodes: {error}");
        }
    }

    /// Who is in these chats, by whatever node, as was put.
    async fn ask(&self, chats: &[ChatId]) -> Result<Vec<Found>, Away> {
        let hub = |chat: &ChatId| {
            let hub = self.find(*chat)?;
            let heard = hub.with_roster(|roster| (roster.notes_heard(), vec![]));
            Some((hub, heard))
        };
        let hubs: Vec<_> = chats.iter().map(hub).collect();
        let there = self.elsewhere.lease.presence(chats).await?;
        let found = chats.iter().zip(hubs).zip(there);
        let found = found.map(|((chat, hub), there)| Found {
            chat: *chat,
            hub,
            there,
        });
        Ok(found.collect())
    }

    /// Whoever of this node's people isn't put as they are is marked. The others are kept from running out, by one of each
    /// chat who is put again. For the task that flushes alone: beside it that one might be gone meanwhile.
    async fn keep_ours(&self, found: &[Found]) -> Result<(), Away> {
        let lease = &self.elsewhere.lease;
        let mut kept = Vec::new();
        for Found { chat, there, .. } in found {
            let here = |hub: Arc<Hub>| hub.with_roster(|roster| (roster.all_by_us(), vec![]));
            let here: HashSet<UserId> = self.find(*chat).map(here).into_iter().flatten().collect();
            let ours = there.iter().filter(|(node, _)| node == lease.node());
            let put: HashSet<UserId> = ours.map(|(_, user)| *user).collect();
            for user in here.symmetric_difference(&put) {
                self.elsewhere.mark_again(*chat, *user);
            }
            kept.extend(here.intersection(&put).next().map(|user| Presence {
                chat: *chat,
                user: *user,
                is_here: true,
            }));
        }
        for some in kept.chunks(AT_ONCE) {
            lease.put_presence(some).await?;
        }
        Ok(())
    }

    /// Makes of who is here by other nodes what they put, and takes away what nodes left that are gone.
    async fn believe(&self, mut found: Vec<Found>) -> Result<(), ChatError> {
        let (elsewhere, lease) = (&self.elsewhere, &self.elsewhere.lease);
        for Found { there, .. } in &mut found {
            there.retain(|(node, _)| node != lease.node());
        }
        let mut named = found.iter().flat_map(|found| &found.there);
        if named.any(|(node, _)| !elsewhere.finds_living(node)) {
            // It may have begun, or be back, since the last beat: nobody is forgotten by what was known before.
            self.beat().await.map_err(away)?;
        }
        let mut strangers = HashSet::new();
        for Found { hub, there, .. } in &found {
            let Some((hub, _)) = hub else { continue };
            let users = there.iter().map(|(_, user)| *user);
            strangers.extend(hub.with_roster(|roster| {
                let strangers: Vec<_> = users.filter(|user| !roster.knows(*user)).collect();
                (strangers, vec![])
            }));
        }
        let profiles = match strangers.is_empty() {
            true => HashMap::new(),
            false => {
                let domain = self.domain().ok_or(ChatError::Unavailable)?;
                domain.users.profiles(strangers).await?
            }
        };
        for Found { chat, hub, there } in found {
            let is_gone = |(node, _): &(Arc<str>, _)| elsewhere.standing(node) == Standing::Gone;
            let (gone, others): (Vec<_>, Vec<_>) = there.into_iter().partition(is_gone);
            if !gone.is_empty() {
                lease.forget(chat, gone);
            }
            if let Some((hub, heard)) = hub {
                hub.with_roster(|roster| {
                    let standing = |node: &str| elsewhere.standing(node);
                    ((), roster.compare(&others, &profiles, heard, standing))
                });
            }
        }
        Ok(())
    }

    /// Tells what was marked: to those who look it up first, then by notes.
    async fn flush_presence(&self) {
        let marks = std::mem::take(&mut *self.elsewhere.marks.lock());
        let mut marks: Vec<_> = marks.into_iter().collect();
        marks.sort_unstable_by_key(|(place, _)| *place);
        let mut changes = Vec::with_capacity(marks.len());
        let mut notes: Vec<People> = Vec::new();
        for of_chat in marks.chunk_by(|((one, _), _), ((next, _), _)| one == next) {
            let ((chat, _), _) = of_chat[0];
            let hub = self.find(chat);
            let mut note = People {
                node: self.elsewhere.lease.node().clone(),
                chat,
                here: Vec::new(),
                gone: Vec::new(),
            };
            for ((_, user), how) in of_chat {
                let by_us =
                    |hub: &Arc<Hub>| hub.with_roster(|roster| (roster.by_us(*user), vec![]));
                let profile = hub.as_ref().and_then(by_us);
                changes.push(Presence {
                    chat,
                    user: *user,
                    is_here: profile.is_some(),
                });
                match profile {
                    Some(profile) => note.here.push(profile),
                    None => note.gone.push((*user, *how)),
                }
            }
            notes.push(note);
        }
        if self.elsewhere.lease.is_shared() {
            for (done, some) in changes.chunks(AT_ONCE).enumerate() {
                if self.elsewhere.lease.put_presence(some).await.is_err() {
                    let left = &changes[done * AT_ONCE..];
                    let chats = left.iter().map(|change| change.chat);
                    self.elsewhere.due.lock().extend(chats);
                    break;
                }
            }
        }
        for note in notes {
            self.share_note(note.chat, Note::People(note));
        }
    }

    /// Puts everybody who is here by this node.
    async fn put_all(&self) -> Result<(), Away> {
        for some in self.all().chunks(AT_ONCE) {
            let mut changes = Vec::new();
            for hub in some {
                let here = hub.with_roster(|roster| (roster.all_by_us(), vec![]));
                changes.extend(here.into_iter().map(|user| Presence {
                    chat: hub.chat(),
                    user,
                    is_here: true,
                }));
            }
            for changes in changes.chunks(AT_ONCE) {
                self.elsewhere.lease.put_presence(changes).await?;
            }
        }
        Ok(())
    }

    /// Says that this node lives, and learns who else does. Where it isn't known (any more), all its people are put first.
    async fn beat(&self) -> Result<(), Away> {
        let lease = &self.elsewhere.lease;
        let living = match lease.beat(false).await? {
            Some(living) => living,
            None => {
                self.put_all().await?;
                let living = lease.beat(true).await?.unwrap_or_default();
                // Until now a node that took this one for gone could forget who was just put.
                self.compare_all_soon();
                living
            }
        };
        if self.elsewhere.learn(living) {
            self.compare_all_soon();
        }
        Ok(())
    }

    /// All chats are compared with the next beat that is answered.
    fn compare_all_soon(&self) {
        let all = self.all();
        let mut due = self.elsewhere.due.lock();
        due.extend(all.iter().map(|hub| hub.chat()));
    }

    /// A beat, and a part of the chats compared.
    async fn look_around_nodes(&self, beats: usize) {
        if let Err(Away) = self.beat().await {
            self.elsewhere.learn_nothing();
        }
        let all = self.all();
        let gone = self.elsewhere.newly_gone();
        if !gone.is_empty() {
            for hub in &all {
                hub.with_roster(|roster| ((), roster.lose(&gone)));
            }
        }
        let part = all.iter().map(|hub| hub.chat());
        let part =
            part.filter(|chat| chat.0 as usize % COMPARED_IN_BEATS == beats % COMPARED_IN_BEATS);
        self.compare(part.collect()).await;
    }

    /// A beat, and all chats compared: what nodes hold in common may have been lost. Where that isn't answered, the next
    /// beat that is does it.
    async fn look_at_all(&self) {
        self.compare_all_soon();
        if self.beat().await.is_ok() {
            self.compare(HashSet::new()).await;
        }
    }

    /// Compares these chats, and those that are due.
    async fn compare(&self, chats: HashSet<ChatId>) {
        let due = std::mem::take(&mut *self.elsewhere.due.lock());
        let chats: Vec<ChatId> = chats.union(&due).copied().collect();
        for some in chats.chunks(AT_ONCE) {
            if let Err(error) = self.compare_some(some).await {
                debug!("can't compare who is in chats with what was put: {error}");
                self.elsewhere.due.lock().extend(due);
                return;
            }
        }
    }

    async fn compare_some(&self, chats: &[ChatId]) -> Result<(), ChatError> {
        let found = self.ask(chats).await.map_err(away)?;
        self.keep_ours(&found).await.map_err(away)?;
        self.believe(found).await
    }
}

fn away(_: Away) -> ChatError {
    ChatError::Unavailable
}

/// Keeps presence over all nodes until the hubs end; then nobody is there by this one.
pub(super) async fn run(hubs: Arc<Hubs>, shutdown: CancellationToken) {
    let elsewhere = &hubs.elsewhere;
    let mut returned = elsewhere.lease.returned();
    let mut beats = tokio::time::interval(BEAT_EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    loop {
        tokio::select! {
            () = elsewhere.woken.notified() => {
                hubs.flush_presence().await;
                tokio::time::sleep(GATHERED).await;
            }
            Ok(()) = returned.changed() => {
                if elsewhere.lease.is_shared() {
                    hubs.look_at_all().await;
                }
            }
            _ = beats.tick() => {
                if elsewhere.lease.is_shared() {
                    count += 1;
                    hubs.look_around_nodes(count).await;
                }
            }
            () = shutdown.cancelled() => break,
        }
    }
    hubs.flush_presence().await;
    if elsewhere.lease.is_shared() && elsewhere.lease.resign().await.is_err() {
        debug!("this node's end is not told: it is found silent");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        chat::ConnectionId,
        hub::Present,
        layer::{ChannelLayer, MemoryLayer},
        lease::{MemoryTown, NODE_SILENT_AFTER, PRESENCE_KEPT},
    };

    const CHAT: ChatId = ChatId(7);

    /// A node whose task does what the test says, when it says so.
    struct Node {
        hubs: Arc<Hubs>,
        todo: mpsc::Receiver<LayerWork>,
    }

    impl Node {
        async fn of(town: &MemoryTown) -> Node {
            let layer = MemoryLayer::default();
            for _ in 0..2 {
                layer.new_channel().await.unwrap();
            }
            let (hubs, todo) = Hubs::new(Arc::new(layer), Arc::new(town.node()), 200);
            Node { hubs, todo }
        }

        fn enters(&self, user: i64) -> Present {
            let hub = self.hubs.find_or_make(CHAT);
            self.hubs.present(&hub, &profile(user), ConnectionId(1))
        }

        /// Has not found another node living for as long as it takes to be gone.
        fn loses_sight_of(&self, other: &Node) {
            let name = other.hubs.elsewhere.lease.node();
            let mut nodes = self.hubs.elsewhere.nodes.lock();
            nodes.living.remove(name);
            let long_ago = Instant::now().checked_sub(GONE_AFTER).unwrap();
            nodes.seen.insert(name.clone(), long_ago);
        }

        fn hears_of(&self, user: i64, by: &Node) {
            self.hubs.hear_note(Note::People(People {
                node: by.hubs.elsewhere.lease.node().clone(),
                chat: CHAT,
                here: vec![profile(user)],
                gone: Vec::new(),
            }));
        }

        async fn beats(&self, count: usize) {
            self.hubs.look_around_nodes(count).await;
            self.hubs.flush_presence().await;
        }

        /// Says of somebody that they are in a chat, or that they aren't, whether it is so or not.
        async fn puts(&self, chat: ChatId, user: i64, is_here: bool) {
            let user = UserId(user);
            let change = Presence {
                chat,
                user,
                is_here,
            };
            let lease = &self.hubs.elsewhere.lease;
            lease.put_presence(&[change]).await.unwrap();
        }

        /// Who is put as being in a chat.
        async fn put(&self, chat: ChatId) -> Vec<i64> {
            let found = self.hubs.elsewhere.lease.presence(&[chat]).await.unwrap();
            sorted(found[0].iter().map(|(_, user)| user.0))
        }

        /// Who is in the chat, as this node shows it.
        fn shows(&self) -> Vec<i64> {
            let hub = self.hubs.find(CHAT).unwrap();
            let presence = hub.with_roster(|roster| (roster.presence(), vec![]));
            sorted(presence.users.unwrap().iter().map(|user| user.id.0))
        }

        /// Whom it has told the others of: who is there, and who isn't.
        fn told(&mut self) -> (Vec<i64>, Vec<i64>) {
            let (mut here, mut gone) = (Vec::new(), Vec::new());
            while let Ok(work) = self.todo.try_recv() {
                if let LayerWork::Note(_, Note::People(people)) = work {
                    here.extend(people.here.iter().map(|user| user.id.0));
                    gone.extend(people.gone.iter().map(|(user, _)| user.0));
                }
            }
            (here, gone)
        }
    }

    fn profile(id: i64) -> Arc<Profile> {
        Arc::new(Profile {
            id: UserId(id),
            username: format!("user{id}"),
            first_name: String::new(),
            last_name: String::new(),
        })
    }

    fn sorted(ids: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut ids: Vec<i64> = ids.collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test]
    async fn who_stays_for_hours_while_nobody_comes_is_not_said_to_have_gone() {
        let town = MemoryTown::default();
        let [here, there] = [Node::of(&town).await, Node::of(&town).await];
        let (_anna, _boris) = (here.enters(1), there.enters(2));
        here.hears_of(2, &there);
        there.hears_of(1, &here);
        for node in [&here, &there] {
            node.hubs.flush_presence().await;
        }
        let step = NODE_SILENT_AFTER - BEAT_EVERY;
        for beat in 0..2 * PRESENCE_KEPT.as_secs() / step.as_secs() {
            town.passes(step);
            for node in [&here, &there] {
                node.beats(beat as usize).await;
            }
        }
        for node in [&here, &there] {
            assert_eq!(node.shows(), [1, 2]);
        }
    }

    #[tokio::test]
    async fn what_changes_while_nobody_answers_is_put_with_the_next_beat_that_is_answered() {
        let town = MemoryTown::default();
        let [here, there] = [Node::of(&town).await, Node::of(&town).await];
        let (anna, _boris) = (here.enters(1), here.enters(2));
        // Of a chat that this node has forgotten since.
        let elsewhere = ChatId(CHAT.0 + 1);
        here.puts(elsewhere, 1, true).await;
        here.beats(CHAT.0 as usize).await;
        assert_eq!(there.put(CHAT).await, [1, 2]);

        town.stalls(true);
        drop(anna);
        let _clara = here.enters(3);
        here.hubs
            .mark_presence(elsewhere, UserId(1), Departure::Lost);
        here.beats(0).await;
        town.stalls(false);
        // It isn't the turn of these chats.
        here.beats(elsewhere.0 as usize + 1).await;
        assert_eq!(there.put(CHAT).await, [2, 3]);
        assert_eq!(there.put(elsewhere).await, Vec::<i64>::new());
    }

    #[tokio::test]
    async fn what_is_put_of_ones_own_people_and_is_not_so_is_put_right_and_told() {
        let town = MemoryTown::default();
        let [mut here, there] = [Node::of(&town).await, Node::of(&town).await];
        let (_anna, _boris) = (here.enters(1), here.enters(2));
        here.beats(0).await;
        here.told();
        here.puts(CHAT, 1, false).await;
        here.puts(CHAT, 3, true).await;
        there.puts(CHAT, 4, true).await;
        for beat in 0..COMPARED_IN_BEATS {
            here.beats(beat).await;
        }
        assert_eq!(there.put(CHAT).await, [1, 2, 4], "the other's are its own");
        assert_eq!(here.told(), (vec![1], vec![3]));
    }

    /// A beat with which only those chats are compared that are due.
    const NOT_ITS_TURN: usize = CHAT.0 as usize + 1;

    #[tokio::test]
    async fn who_is_there_by_a_node_that_was_thought_gone_is_there_again_as_soon_as_it_is_found_living()
     {
        for is_heard_first in [false, true] {
            let town = MemoryTown::default();
            let [here, there] = [Node::of(&town).await, Node::of(&town).await];
            // Boris is known here, so that nobody needs to be asked who he is.
            let (_anna, boris) = (here.enters(1), here.enters(2));
            let _boris_there = there.enters(2);
            for node in [&there, &here] {
                node.beats(0).await;
            }
            here.hears_of(2, &there);
            town.stalls(true);
            here.loses_sight_of(&there);
            here.beats(NOT_ITS_TURN).await;
            if is_heard_first {
                here.hears_of(3, &there);
                here.beats(NOT_ITS_TURN).await;
            }
            town.stalls(false);
            here.beats(NOT_ITS_TURN).await;
            drop(boris);
            assert!(here.shows().contains(&2), "{is_heard_first}");
        }
    }

    #[tokio::test]
    async fn a_look_at_all_chats_that_nobody_answers_is_made_up_for_with_the_next_beat() {
        let town = MemoryTown::default();
        let [here, there] = [Node::of(&town).await, Node::of(&town).await];
        let _anna = here.enters(1);
        here.beats(0).await;
        here.beats(NOT_ITS_TURN).await;
        // A store that takes over and has older data.
        here.puts(CHAT, 1, false).await;
        town.stalls(true);
        here.hubs.look_at_all().await;
        town.stalls(false);
        here.beats(NOT_ITS_TURN).await;
        assert_eq!(there.put(CHAT).await, [1]);
    }

    #[tokio::test]
    async fn who_was_just_put_by_a_node_that_is_back_is_not_forgotten_by_one_that_thinks_it_gone() {
        let town = MemoryTown::default();
        let [here, there] = [Node::of(&town).await, Node::of(&town).await];
        let (_anna, _boris, _boris_there) = (here.enters(1), here.enters(2), there.enters(2));
        here.beats(0).await;
        there.beats(0).await;
        here.loses_sight_of(&there);
        here.hubs.compare_some(&[CHAT]).await.unwrap();
        let there_by = there.hubs.elsewhere.lease.node().clone();
        let found = here.hubs.elsewhere.lease.presence(&[CHAT]).await.unwrap();
        assert!(found[0].contains(&(there_by, UserId(2))));
    }

    #[tokio::test]
    async fn a_node_that_begins_anew_looks_at_once_whether_all_that_is_put_of_it_is_so() {
        let town = MemoryTown::default();
        let [here, there] = [Node::of(&town).await, Node::of(&town).await];
        let _anna = here.enters(1);
        here.beats(0).await;
        here.beats(NOT_ITS_TURN).await;
        here.puts(CHAT, 3, true).await;
        town.passes(NODE_SILENT_AFTER);
        here.beats(NOT_ITS_TURN).await;
        assert_eq!(there.put(CHAT).await, [1]);
    }
}
