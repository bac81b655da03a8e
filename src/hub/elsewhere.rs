//! Who is in this node's chats by other nodes, and telling them who is there by this one.
//!
//! A node tells the truth about its own people twice: in what nodes hold in common, where a hub that begins reads it and
//! all compare from time to time, and by a note through the channel layer, so that it is known at once. Whatever is lost
//! of either, the next comparison repairs. A node that falls silent is gone after `GONE_AFTER`, with everybody there by it.
//!
//! Not here: what a coming or a going is (`presence`). Relies on: hubs know who is there by this node.
//! Bounded by: a mark for each user and chat that changed since the last flush; a hub's roster.

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
    lease::{Away, Lease, Presence},
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
}

/// This node's part of presence over all nodes.
pub(super) struct Elsewhere {
    pub(super) lease: Arc<dyn Lease>,
    /// Whose presence here changed, and isn't told yet.
    marks: Mutex<HashMap<(ChatId, UserId), Departure>>,
    woken: Notify,
    nodes: Mutex<Nodes>,
    on_owner: OnceLock<OnOwner>,
    /// Chats that began since the last beat: what came before this node heard of them is looked up once more.
    begun: Mutex<Vec<ChatId>>,
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
            begun: Mutex::default(),
        }
    }

    /// A chat begins on this node.
    pub(super) fn begins(&self, chat: ChatId) {
        if self.lease.is_shared() {
            self.begun.lock().push(chat);
        }
    }

    fn mark(&self, chat: ChatId, user: UserId, how: Departure) {
        let mut marks = self.marks.lock();
        marks.insert((chat, user), how);
        if marks.len() == 1 {
            self.woken.notify_one();
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

    /// Who lives, as was just answered.
    fn learn(&self, living: Vec<Arc<str>>) {
        let now = Instant::now();
        let mut nodes = self.nodes.lock();
        nodes
            .seen
            .extend(living.iter().map(|node| (node.clone(), now)));
        nodes.living = living.into_iter().collect();
        nodes
            .seen
            .retain(|_, at| now.duration_since(*at) < REMEMBERED);
    }

    fn knows(&self, node: &str) -> bool {
        self.nodes.lock().seen.contains_key(node)
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
        } = &mut *self.nodes.lock();
        forgotten.retain(|node| seen.contains_key(node) && !living.contains(node));
        let silent = seen.iter().filter(|(_, at)| at.elapsed() >= GONE_AFTER);
        let gone = silent.map(|(node, _)| node.clone());
        gone.filter(|node| !living.contains(node) && forgotten.insert(node.clone()))
            .collect()
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
        let chats = [hub.chat()];
        if let Err(error) = hub.first_look(self.compare(&chats)).await {
            let chat = hub.chat();
            debug!(chat = %chat, "chat {chat}: can't ask who is there by other nodes: {error}");
        }
    }

    /// Compares who is in these chats by other nodes with what they put, and takes away what nodes left that are gone.
    async fn compare(&self, chats: &[ChatId]) -> Result<(), ChatError> {
        let (elsewhere, lease) = (&self.elsewhere, &self.elsewhere.lease);
        let hubs: Vec<Arc<Hub>> = chats.iter().filter_map(|chat| self.find(*chat)).collect();
        let heard = |hub: &Arc<Hub>| hub.with_roster(|roster| (roster.notes_heard(), vec![]));
        let heard: Vec<u64> = hubs.iter().map(heard).collect();
        let chats: Vec<ChatId> = hubs.iter().map(|hub| hub.chat()).collect();
        let found = lease.presence(&chats).await.map_err(away)?;
        let named = found.iter().flatten();
        if named.clone().any(|(node, _)| !elsewhere.knows(node)) {
            // It may have begun since the last beat.
            self.beat().await.map_err(away)?;
        }
        let mut strangers = HashSet::new();
        for (hub, present) in hubs.iter().zip(&found) {
            let users = present.iter().map(|(_, user)| *user);
            strangers.extend(hub.with_roster(|roster| {
                let strangers: Vec<_> = users.filter(|user| !roster.knows(*user)).collect();
                (strangers, vec![])
            }));
        }
        let domain = self.domain().ok_or(ChatError::Unavailable)?;
        let profiles = match strangers.is_empty() {
            true => HashMap::new(),
            false => domain.users.profiles(strangers).await?,
        };
        for ((hub, present), heard) in hubs.iter().zip(found).zip(heard) {
            let others = present.into_iter();
            let others = others.filter(|(node, _)| node != lease.node());
            let (gone, others): (Vec<_>, Vec<_>) =
                others.partition(|(node, _)| elsewhere.standing(node) == Standing::Gone);
            if !gone.is_empty() {
                lease.forget(hub.chat(), gone);
            }
            hub.with_roster(|roster| {
                let standing = |node: &str| elsewhere.standing(node);
                ((), roster.compare(&others, &profiles, heard, standing))
            });
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
            for some in changes.chunks(AT_ONCE) {
                if self.elsewhere.lease.put_presence(some).await.is_err() {
                    break; // all is put again when there is somebody to put it to
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
                lease.beat(true).await?.unwrap_or_default()
            }
        };
        self.elsewhere.learn(living);
        Ok(())
    }

    /// A beat, and a part of the chats compared.
    async fn look_around_nodes(&self, beats: usize) {
        if let Err(Away) = self.beat().await {
            self.elsewhere.learn_nothing();
        }
        let begun = std::mem::take(&mut *self.elsewhere.begun.lock());
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
        let mut chats: Vec<ChatId> = part.chain(begun).collect();
        chats.sort_unstable();
        chats.dedup();
        self.compare_all(&chats).await;
    }

    async fn compare_all(&self, chats: &[ChatId]) {
        for some in chats.chunks(AT_ONCE) {
            if let Err(error) = self.compare(some).await {
                debug!("can't compare who is in chats by other nodes: {error}");
                return;
            }
        }
    }
}

fn away(_: Away) -> ChatError {
    ChatError::Unavailable
}

/// Keeps presence over all nodes until the hubs end; then nobody is there by this one.
pub(super) async fn run(hubs: Arc<Hubs>, shutdown: CancellationToken) {
    let elsewhere = &hubs.elsewhere;
    let mut beats = tokio::time::interval(BEAT_EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    loop {
        tokio::select! {
            () = elsewhere.woken.notified() => {
                hubs.flush_presence().await;
                tokio::time::sleep(GATHERED).await;
            }
            () = elsewhere.lease.returned() => {
                if hubs.beat().await.is_ok() {
                    let chats: Vec<ChatId> = hubs.all().iter().map(|hub| hub.chat()).collect();
                    hubs.compare_all(&chats).await;
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
