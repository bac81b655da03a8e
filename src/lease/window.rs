//! Exact sliding windows: at most so many in any period, counted by what was accepted.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

const SHARDS: usize = 16;
/// A shard is swept of keys whose window has run out each time it has grown by so many.
const SWEEP_AFTER: usize = 1024;

type Shard<K> = Mutex<Keys<K>>;

#[derive(Debug)]
struct Keys<K> {
    taken: HashMap<K, VecDeque<(Instant, u64)>>,
    sweep_at: usize,
}

/// Windows of one limit, by key. The slots of a key never number more than the limit.
#[derive(Debug)]
pub struct Windows<K> {
    shared: Arc<Shared<K>>,
    hasher: RandomState,
    limit: usize,
}

#[derive(Debug)]
struct Shared<K> {
    shards: Vec<Shard<K>>,
    period: Duration,
    next: std::sync::atomic::AtomicU64,
}

/// A place in a window. Dropped, it is given back; `keep` makes it count.
#[derive(Debug)]
#[must_use]
pub struct Slot<K: Eq + Hash> {
    place: Option<(Weak<Shared<K>>, usize, K, u64)>,
}

impl<K: Eq + Hash> Slot<K> {
    /// A slot of a limit that is off.
    pub fn free() -> Self {
        Slot { place: None }
    }

    /// What it was taken for has happened: it counts until the period is over.
    pub fn keep(mut self) {
        self.place = None;
    }
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let Some((shared, shard, key, number)) = self.place.take() else {
            return;
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut keys = shared.shards[shard].lock();
        if let Some(taken) = keys.taken.get_mut(&key) {
            taken.retain(|(_, other)| *other != number);
        }
    }
}

impl<K: Eq + Hash + Clone> Windows<K> {
    /// At most `limit` (0 = no limit) in any `period`.
    pub fn new(limit: u32, period: Duration) -> Self {
        let shards = (0..SHARDS)
            .map(|_| {
                Mutex::new(Keys {
                    taken: HashMap::new(),
                    sweep_at: SWEEP_AFTER,
                })
            })
            .collect();
        let shared = Arc::new(Shared {
            shards,
            period,
            next: std::sync::atomic::AtomicU64::new(0),
        });
        Windows {
            shared,
            hasher: RandomState::new(),
            limit: limit as usize,
        }
    }

    /// A slot, or how long until there is one.
    pub fn take(&self, key: &K) -> Result<Slot<K>, Duration> {
        self.take_at(key, Instant::now())
    }

    /// Whether there is a slot, without taking it; or how long until there is one.
    pub fn look(&self, key: &K) -> Result<(), Duration> {
        if self.limit == 0 {
            return Ok(());
        }
        let (now, period) = (Instant::now(), self.shared.period);
        let keys = self.shared.shards[self.shard(key)].lock();
        let Some(taken) = keys.taken.get(key) else {
            return Ok(());
        };
        // Slots never number more than the limit: there is one if the oldest has left the window.
        match taken.front() {
            Some((oldest, _)) if taken.len() >= self.limit => {
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
        if self.limit == 0 || ago >= self.shared.period {
            return;
        }
        let Some(at) = Instant::now().checked_sub(ago) else {
            return;
        };
        let mut keys = self.shared.shards[self.shard(key)].lock();
        let number = self
            .shared
            .next
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let taken = keys.taken.entry(key.clone()).or_default();
        if taken.len() < self.limit {
            let place = taken.partition_point(|(other, _)| *other <= at);
            taken.insert(place, (at, number));
        }
    }

    fn shard(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    fn take_at(&self, key: &K, now: Instant) -> Result<Slot<K>, Duration> {
        if self.limit == 0 {
            return Ok(Slot::free());
        }
        let shard = self.shard(key);
        let period = self.shared.period;
        let mut keys = self.shared.shards[shard].lock();
        if keys.taken.len() >= keys.sweep_at {
            keys.taken.retain(|_, taken| {
                taken
                    .back()
                    .is_some_and(|(at, _)| now.duration_since(*at) < period)
            });
            keys.sweep_at = keys.taken.len() + SWEEP_AFTER;
        }
        let number = self
            .shared
            .next
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let taken = keys.taken.entry(key.clone()).or_default();
        while taken
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) >= period)
        {
            taken.pop_front();
        }
        if taken.len() >= self.limit {
            let oldest = taken[taken.len() - self.limit].0;
            return Err(period.saturating_sub(now.duration_since(oldest)));
        }
        taken.push_back((now, number));
        Ok(Slot {
            place: Some((Arc::downgrade(&self.shared), shard, key.clone(), number)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_slot_that_is_not_kept_is_given_back() {
        let windows = Windows::new(1, Duration::from_secs(60));
        drop(windows.take(&1).unwrap());
        let slot = windows.take(&1).unwrap();
        assert!(windows.take(&1).is_err());
        drop(slot);
        windows.take(&1).unwrap().keep();
        assert!(windows.look(&1).is_err());
    }

    #[test]
    fn what_happened_before_a_start_counts() {
        let windows = Windows::new(2, Duration::from_secs(60));
        windows.remember(&1, Duration::from_secs(30));
        windows.remember(&1, Duration::from_secs(61));
        windows.take(&1).unwrap().keep();
        assert!(windows.take(&1).unwrap_err() <= Duration::from_secs(30));
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
}
