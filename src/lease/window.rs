//! Exact sliding windows: at most so many in any period, counted by what was accepted, on this node and, where there are
//! several, on all of them.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Display,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::{Away, Lease, Leased, Place, Rule};

const SHARDS: usize = 16;
/// A shard is swept of keys whose window has run out each time it has grown by so many.
const SWEEP_AFTER: usize = 1024;
/// Places that are recalled at once.
const RECALLED_AT_ONCE: usize = 1000;
/// What the other nodes weren't told is told again so often, until they are.
const RECALLED_EVERY: Duration = Duration::from_secs(1);
/// What was accepted before a start is no node's own: it is counted here, and told nobody.
const NOT_OURS: u64 = 0;

/// Whose windows: told apart by how they are written, too.
pub trait Key: Eq + Hash + Clone + Display + Send + Sync + 'static {}
impl<K: Eq + Hash + Clone + Display + Send + Sync + 'static> Key for K {}

type Shard<K> = Mutex<Keys<K>>;

#[derive(Debug)]
struct Keys<K> {
    taken: HashMap<K, VecDeque<(Instant, u64)>>,
    sweep_at: usize,
}

/// Windows of one limit, by key. The slots of a key never number more than the limit.
#[derive(Clone, Debug)]
pub struct Windows<K: Key> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    shards: Vec<Shard<K>>,
    hasher: RandomState,
    rule: Rule,
    next: AtomicU64,
    common: Option<Common>,
    /// The other nodes may not know of all that was accepted here.
    is_untold: AtomicBool,
}

struct Common(Arc<dyn Lease>);

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Common")
    }
}

/// A place in a window. Dropped, it is given back; `keep` makes it count.
#[derive(Debug)]
#[must_use]
pub struct Slot<K: Key> {
    place: Option<(Weak<Shared<K>>, usize, K, u64)>,
}

impl<K: Key> Slot<K> {
    /// A slot of a limit that is off.
    pub fn free() -> Self {
        Slot { place: None }
    }

    /// What it was taken for has happened: it counts until the period is over.
    pub fn keep(mut self) {
        self.place = None;
    }

    /// The windows that it was taken from.
    pub fn windows(&self) -> Option<Windows<K>> {
        let (shared, ..) = self.place.as_ref()?;
        shared.upgrade().map(|shared| Windows { shared })
    }

    /// Whether it is to be taken over all nodes, too.
    pub fn is_common(&self) -> bool {
        self.common().is_some()
    }

    /// Its window, where the other nodes count too.
    fn common(&self) -> Option<Arc<Shared<K>>> {
        let (shared, ..) = self.place.as_ref()?;
        shared.upgrade().filter(|shared| shared.lease().is_some())
    }
}

impl<K: Key> Drop for Slot<K> {
    fn drop(&mut self) {
        let Some((shared, shard, key, number)) = self.place.take() else {
            return;
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Some(taken) = shared.shards[shard].lock().taken.get_mut(&key) {
            taken.retain(|(_, other)| *other != number);
        }
        if let Some(lease) = shared.lease() {
            let key = key.to_string();
            lease.give_back(&shared.rule, Place { key, number });
        }
    }
}

/// Takes these slots, which were taken on this node, over all nodes: one question for all of them. For each how long
/// until there is room, where there is none. While the common store is away, this node's word is the last one.
pub async fn take_all<K: Key>(slots: &[&Slot<K>]) -> Vec<Option<Duration>> {
    let mut answers = vec![None; slots.len()];
    let Some(shared) = slots.iter().find_map(|slot| slot.common()) else {
        return answers;
    };
    let asked = slots.iter().enumerate().filter_map(|(at, slot)| {
        let (_, _, key, number) = slot.place.as_ref()?;
        let (key, number) = (key.to_string(), *number);
        Some((at, Place { key, number }))
    });
    let (at, places): (Vec<usize>, Vec<Place>) = asked.unzip();
    if let Some(lease) = shared.lease() {
        match lease.take(&shared.rule, &places).await {
            Ok(taken) => {
                for (at, wait) in at.into_iter().zip(taken) {
                    answers[at] = wait;
                }
            }
            Err(Away) => shared.is_untold.store(true, Relaxed),
        }
    }
    answers
}

/// The windows that all nodes have in common: what one node accepts counts for all of them.
pub struct CommonWindows {
    lease: Arc<dyn Lease>,
    made: Mutex<Vec<Arc<dyn Recall>>>,
}

/// Windows of whatever keys.
trait Recall: Send + Sync {
    /// The other nodes may have forgotten what was accepted here.
    fn doubt(&self);

    /// Tells them, if they may not know.
    fn recall(&self) -> Leased<'_, ()>;
}

impl CommonWindows {
    /// No windows yet.
    pub fn new(lease: Arc<dyn Lease>) -> Self {
        CommonWindows {
            lease,
            made: Mutex::default(),
        }
    }

    /// Windows of this name: at most `limit` (0 = no limit) in any `period`.
    pub fn windows<K: Key>(&self, name: &'static str, limit: u32, period: Duration) -> Windows<K> {
        let windows = Windows::build(name, limit, period, Some(Common(self.lease.clone())));
        self.made.lock().push(windows.shared.clone());
        windows
    }

    /// Tells the other nodes again what was accepted here, in whatever windows, whenever what they hold in common lost its
    /// memory or didn't answer; for ever.
    pub async fn keep_recalling(&self) {
        let mut returned = self.lease.returned();
        let mut ticks = tokio::time::interval(RECALLED_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Ok(()) = returned.changed() => {
                    self.made.lock().iter().for_each(|windows| windows.doubt());
                }
                _ = ticks.tick() => {}
            }
            self.recall().await;
        }
    }

    async fn recall(&self) {
        let made = self.made.lock().clone();
        for windows in made {
            if let Err(error) = windows.recall().await {
                debug!("what was accepted here is told later: {error}");
                return;
            }
        }
    }
}

impl<K: Key> Windows<K> {
    /// Windows of this node alone: at most `limit` (0 = no limit) in any `period`.
    pub fn new(limit: u32, period: Duration) -> Self {
        let name = "alone";
        Self::build(name, limit, period, None)
    }

    fn build(name: &'static str, limit: u32, period: Duration, common: Option<Common>) -> Self {
        let shards = (0..SHARDS)
            .map(|_| {
                Mutex::new(Keys {
                    taken: HashMap::new(),
                    sweep_at: SWEEP_AFTER,
                })
            })
            .collect();
        let rule = Rule {
            name,
            limit,
            period,
        };
        let shared = Arc::new(Shared {
            shards,
            hasher: RandomState::new(),
            rule,
            next: AtomicU64::new(NOT_OURS + 1),
            common,
            is_untold: AtomicBool::new(false),
        });
        Windows { shared }
    }

    /// How many fit.
    pub fn limit(&self) -> u32 {
        self.shared.rule.limit
    }

    /// A slot, or how long until there is one.
    pub async fn take(&self, key: &K) -> Result<Slot<K>, Duration> {
        let slot = self.take_here(key)?;
        match slot.common().is_some() {
            // What isn't to be had is given back with the slot.
            true => match take_all(&[&slot]).await.pop().flatten() {
                Some(wait) => Err(wait),
                None => Ok(slot),
            },
            false => Ok(slot),
        }
    }

    /// A slot on this node, or how long until there is one: for those that are taken together by [`take_all`].
    pub fn take_here(&self, key: &K) -> Result<Slot<K>, Duration> {
        self.take_at(key, Instant::now())
    }

    /// Whether there is a slot, without taking it; or how long until there is one.
    pub async fn look(&self, key: &K) -> Result<(), Duration> {
        self.look_here(key)?;
        let shared = &self.shared;
        let Some(lease) = shared.lease().filter(|_| shared.rule.limit > 0) else {
            return Ok(());
        };
        let found = lease.look(&shared.rule, &[key.to_string()]).await;
        let wait = found.ok().and_then(|mut found| found.pop()).flatten();
        wait.map_or(Ok(()), Err)
    }

    fn look_here(&self, key: &K) -> Result<(), Duration> {
        let Rule { limit, period, .. } = self.shared.rule;
        if limit == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let keys = self.shared.shards[self.shard(key)].lock();
        let Some(taken) = keys.taken.get(key) else {
            return Ok(());
        };
        // Slots never number more than the limit: there is one if the oldest has left the window.
        match taken.front() {
            Some((oldest, _)) if taken.len() >= limit as usize => {
                let age = now.duration_since(*oldest);
                if age >= period {
                    Ok(())
                } else {
                    Err(period - age)
                }
            }
            _ => Ok(()),
        }
    }

    /// Counts something that happened `ago`, as after a start.
    pub fn remember(&self, key: &K, ago: Duration) {
        let Rule { limit, period, .. } = self.shared.rule;
        if limit == 0 || ago >= period {
            return;
        }
        let Some(at) = Instant::now().checked_sub(ago) else {
            return;
        };
        let mut keys = self.shared.shards[self.shard(key)].lock();
        let taken = keys.taken.entry(key.clone()).or_default();
        if taken.len() < limit as usize {
            let place = taken.partition_point(|(other, _)| *other <= at);
            taken.insert(place, (at, NOT_OURS));
        }
    }

    fn shard(&self, key: &K) -> usize {
        self.shared.hasher.hash_one(key) as usize % SHARDS
    }

    fn take_at(&self, key: &K, now: Instant) -> Result<Slot<K>, Duration> {
        let Rule { limit, period, .. } = self.shared.rule;
        let limit = limit as usize;
        if limit == 0 {
            return Ok(Slot::free());
        }
        let shard = self.shard(key);
        let mut keys = self.shared.shards[shard].lock();
        if keys.taken.len() >= keys.sweep_at {
            keys.taken.retain(|_, taken| {
                taken
                    .back()
                    .is_some_and(|(at, _)| now.duration_since(*at) < period)
            });
            keys.sweep_at = keys.taken.len() + SWEEP_AFTER;
        }
        let number = self.shared.next.fetch_add(1, Relaxed);
        let taken = keys.taken.entry(key.clone()).or_default();
        while taken
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= period)
        {
            taken.pop_front();
        }
        if taken.len() >= limit {
            let oldest = taken[taken.len() - limit].0;
            return Err(period.saturating_sub(now.duration_since(oldest)));
        }
        taken.push_back((now, number));
        Ok(Slot {
            place: Some((Arc::downgrade(&self.shared), shard, key.clone(), number)),
        })
    }
}

impl<K: Key> Recall for Shared<K> {
    fn doubt(&self) {
        self.is_untold.store(true, Relaxed);
    }

    fn recall(&self) -> Leased<'_, ()> {
        Box::pin(async {
            if !self.is_untold.swap(false, Relaxed) {
                return Ok(());
            }
            let told = self.tell().await;
            if told.is_err() {
                self.doubt();
            }
            told
        })
    }
}

impl<K: Key> Shared<K> {
    /// Tells all that was accepted here: a part at a time, so that little is done for nothing while nobody answers.
    async fn tell(&self) -> Result<(), Away> {
        let Some(lease) = self.lease() else {
            return Ok(());
        };
        for shard in &self.shards {
            let now = Instant::now();
            let mut places = Vec::new();
            for (key, taken) in &shard.lock().taken {
                let counts = |at: &Instant| now.duration_since(*at) < self.rule.period;
                let ours = taken.iter();
                let ours = ours.filter(|(at, number)| *number != NOT_OURS && counts(at));
                places.extend(ours.map(|(at, number)| {
                    let (key, number) = (key.to_string(), *number);
                    (Place { key, number }, now.duration_since(*at))
                }));
            }
            for some in places.chunks(RECALLED_AT_ONCE) {
                lease.recall(&self.rule, some).await?;
            }
        }
        Ok(())
    }
}

impl<K> Shared<K> {
    /// What is to be asked beside this node's own rule, where there are other nodes.
    fn lease(&self) -> Option<&Arc<dyn Lease>> {
        let Common(lease) = self.common.as_ref()?;
        lease.is_shared().then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::MemoryTown;

    const MINUTE: Duration = Duration::from_secs(60);

    fn two_nodes(town: &MemoryTown) -> [CommonWindows; 2] {
        [town.node(), town.node()].map(|node| CommonWindows::new(Arc::new(node)))
    }

    #[test]
    fn the_eleventh_in_a_minute_waits_for_the_first_to_leave_the_window() {
        let windows = Windows::new(10, Duration::from_secs(60));
        let start = Instant::now();
        for second in 0..10 {
            windows
                .take_at(&1, start + Duration::from_secs(second))
                .unwrap()
                .keep();
        }
        let wait = windows
            .take_at(&1, start + Duration::from_secs(15))
            .unwrap_err();
        assert_eq!(wait, Duration::from_secs(45));
        assert!(windows.take_at(&2, start + Duration::from_secs(15)).is_ok());
        windows
            .take_at(&1, start + Duration::from_secs(60))
            .unwrap()
            .keep();
        assert!(
            windows
                .take_at(&1, start + Duration::from_millis(60_500))
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_slot_that_is_not_kept_is_given_back() {
        let windows = Windows::new(1, Duration::from_secs(60));
        drop(windows.take(&1).await.unwrap());
        let slot = windows.take(&1).await.unwrap();
        assert!(windows.take(&1).await.is_err());
        drop(slot);
        windows.take(&1).await.unwrap().keep();
        assert!(windows.look(&1).await.is_err());
    }

    #[tokio::test]
    async fn what_happened_before_a_start_counts() {
        let windows = Windows::new(2, Duration::from_secs(60));
        windows.remember(&1, Duration::from_secs(30));
        windows.remember(&1, Duration::from_secs(61));
        windows.take(&1).await.unwrap().keep();
        assert!(windows.take(&1).await.unwrap_err() <= Duration::from_secs(30));
    }

    #[test]
    fn keys_whose_window_ran_out_are_dropped() {
        let windows = Windows::new(1, Duration::from_secs(1));
        let start = Instant::now();
        for key in 0..50_000_u64 {
            let at = start + Duration::from_millis(key);
            windows.take_at(&key, at).unwrap().keep();
        }
        let held: usize = windows
            .shared
            .shards
            .iter()
            .map(|shard| shard.lock().taken.len())
            .sum();
        assert!(held < SHARDS * (SWEEP_AFTER + 2000), "{held} keys held");
    }

    #[tokio::test]
    async fn what_one_node_accepts_counts_on_the_other_and_what_it_gives_back_does_not() {
        let nodes = two_nodes(&MemoryTown::default());
        let [here, there] = nodes.map(|common| common.windows("sends", 2, MINUTE));
        here.take(&1).await.unwrap().keep();
        let slot = there.take(&1).await.unwrap();
        assert!(here.take(&1).await.is_err());
        assert!(there.look(&1).await.is_err());
        drop(slot);
        here.take(&1).await.unwrap().keep();
        assert!(there.take(&1).await.is_err());
        there.take(&2).await.unwrap().keep();

        let slots = [1, 2, 2, 3].map(|key| there.take_here(&key));
        let (slots, full): (Vec<_>, Vec<_>) = slots.into_iter().partition(Result::is_ok);
        assert_eq!(full.len(), 1, "the second of 2 was its third on this node");
        let slots: Vec<_> = slots.into_iter().flatten().collect();
        let answers = take_all(&slots.iter().collect::<Vec<_>>()).await;
        let are_taken: Vec<_> = answers.iter().map(Option::is_none).collect();
        assert_eq!(are_taken, [false, true, true]);
    }

    #[tokio::test]
    async fn what_was_accepted_while_the_store_forgot_is_told_again_once_in_all_windows() {
        let town = MemoryTown::default();
        let [here, there] = two_nodes(&town);
        let names = ["sends", "exports"];
        let ours = names.map(|name| here.windows(name, 2, MINUTE));
        let theirs = names.map(|name| there.windows(name, 2, MINUTE));
        for windows in &ours {
            windows.take(&1).await.unwrap().keep();
        }
        town.forgets_all();
        for windows in &ours {
            windows.shared.doubt();
        }
        here.recall().await;
        here.recall().await;
        for windows in &theirs {
            windows.take(&1).await.unwrap().keep();
            assert!(windows.take(&1).await.is_err());
        }
    }

    #[tokio::test]
    async fn what_was_accepted_while_nobody_answered_is_told_until_it_is_heard() {
        let town = MemoryTown::default();
        let [here, there] = two_nodes(&town);
        let [ours, theirs] = [&here, &there].map(|common| common.windows("sends", 2, MINUTE));
        town.stalls(true);
        ours.take(&1).await.unwrap().keep();
        ours.take(&1).await.unwrap().keep();
        here.recall().await;
        town.stalls(false);
        assert!(theirs.look(&1).await.is_ok(), "it isn't told yet");
        here.recall().await;
        assert!(theirs.look(&1).await.is_err());
    }
}
