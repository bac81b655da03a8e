//! Telling the other nodes who has a socket open at this one: who came and went, and all of them once more where what was
//! told is lost.
//!
//! Bounded by: a mark for each user whose first or last connection came or went since the last telling that was heard.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use entity::UserId;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Registry;
use crate::lease::{Away, Lease};

/// How often it is said that what was told still holds: well within the time after which it is forgotten.
const RENEWED_EVERY: Duration = Duration::from_secs(4);
/// What changes within so long is told together.
const GATHERED: Duration = Duration::from_millis(50);
/// Users told of at once.
const AT_ONCE: usize = 1000;

/// Who has come or gone and isn't told of yet.
pub(super) struct Online {
    lease: Arc<dyn Lease>,
    marks: Mutex<HashSet<UserId>>,
    woken: Notify,
    /// What was told may be lost, or be an older telling: as after Redis has failed over.
    is_doubted: AtomicBool,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Online")
    }
}

impl Online {
    fn new(lease: Arc<dyn Lease>) -> Arc<Self> {
        Arc::new(Online {
            lease,
            marks: Mutex::default(),
            woken: Notify::new(),
            is_doubted: AtomicBool::new(false),
        })
    }

    /// Whether somebody is connected may have changed. Called under the registry's locks: asks nothing.
    pub(super) fn mark(&self, user: UserId) {
        if !self.lease.is_shared() {
            return;
        }
        let mut marks = self.marks.lock();
        marks.insert(user);
        if marks.len() == 1 {
            self.woken.notify_one();
        }
    }

    async fn tell(&self, users: Vec<UserId>, registry: &Registry) -> Result<(), Away> {
        for some in users.chunks(AT_ONCE) {
            let now = some
                .iter()
                .map(|user| (*user, registry.count_of(*user) > 0));
            self.lease.put_online(&now.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Who came and went since the last telling. What isn't heard is told with the next renewal.
    async fn tell_marked(&self, registry: &Registry) -> Result<(), Away> {
        let marks = std::mem::take(&mut *self.marks.lock());
        let told = self.tell(marks.iter().copied().collect(), registry).await;
        if told.is_err() {
            self.marks.lock().extend(marks);
        }
        told
    }

    /// All who are online here, in the place of whoever was told.
    async fn tell_all(&self, registry: &Registry) -> Result<(), Away> {
        // Whoever of them goes meanwhile is marked.
        self.lease.put_online_anew(&registry.users()).await?;
        self.lease.complete_online().await
    }

    async fn renew(&self, registry: &Registry) -> Result<(), Away> {
        if !self.lease.is_shared() {
            return Ok(());
        }
        self.tell_marked(registry).await?;
        // The store's own word isn't asked for where it may be an older one.
        if self.is_doubted.load(Relaxed) || !self.lease.renew_online().await? {
            self.tell_all(registry).await?;
            self.is_doubted.store(false, Relaxed);
        }
        Ok(())
    }
}

impl Registry {
    /// Tells the other nodes who is online here, until `stop`; then nobody is.
    pub async fn keep_online(self: Arc<Self>, lease: Arc<dyn Lease>, stop: CancellationToken) {
        let mut returned = lease.returned();
        let online = Online::new(lease);
        self.tells_online(&online);
        let mut renewals = tokio::time::interval(RENEWED_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                () = online.woken.notified() => {
                    tokio::time::sleep(GATHERED).await;
                    online.tell_marked(&self).await
                }
                Ok(()) = returned.changed() => {
                    online.is_doubted.store(true, Relaxed);
                    online.renew(&self).await
                }
                _ = renewals.tick() => online.renew(&self).await,
                () = stop.cancelled() => break,
            };
            if let Err(error) = told {
                debug!("who is online here is not told yet: {error}");
            }
        }
        if let Err(error) = online.tell_marked(&self).await {
            debug!("who was online here is found silent: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::{
        chat::{Actor, Profile},
        hub::{QueueLimits, QueueTotal},
        lease::MemoryTown,
        ws::{close, registry::Registration},
    };

    const ANNA: UserId = UserId(1);
    const BORIS: UserId = UserId(2);
    const CLARA: UserId = UserId(3);
    /// Only a failure waits this long.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A node whose task does what the test says, when it says so; and what another one sees of it.
    struct Node {
        registry: Arc<Registry>,
        online: Arc<Online>,
        other: Arc<dyn Lease>,
    }

    impl Node {
        async fn of(town: &MemoryTown) -> Node {
            let lease: Arc<dyn Lease> = Arc::new(town.node());
            let registry = Registry::new(QueueTotal::new(QueueLimits::default()), 0);
            let online = Online::new(lease.clone());
            registry.tells_online(&online);
            lease.beat(true).await.unwrap();
            Node {
                registry,
                online,
                other: Arc::new(town.node()),
            }
        }

        fn connects(&self, id: UserId) -> Registration {
            let user = Profile {
                id,
                username: format!("user{id}"),
                first_name: String::new(),
                last_name: String::new(),
            };
            let actor = Actor {
                user: Arc::new(user),
                is_staff: false,
                session: None,
                token_expires_at: Utc::now(),
                token_issued_at: None,
                connection: None,
            };
            let registration = self.registry.register(close::NOT_SIGNED_IN, 1 << 16);
            let registration = registration.unwrap();
            self.registry.sign_in(registration.entry(), actor).unwrap();
            registration
        }

        async fn tells(&self) -> Result<(), Away> {
            self.online.tell_marked(&self.registry).await
        }

        async fn renews(&self) -> Result<(), Away> {
            self.online.renew(&self.registry).await
        }

        async fn are_online(&self) -> Vec<UserId> {
            let users = [ANNA, BORIS, CLARA];
            let online = self.other.online(&users).await.unwrap();
            let online = users.into_iter().zip(online);
            online.filter_map(|(user, is)| is.then_some(user)).collect()
        }
    }

    #[tokio::test]
    async fn who_comes_first_after_a_loss_does_not_stand_for_all_who_are_there() {
        let town = MemoryTown::default();
        let node = Node::of(&town).await;
        let _both = [ANNA, BORIS].map(|user| node.connects(user));
        node.renews().await.unwrap();
        assert_eq!(node.are_online().await, [ANNA, BORIS]);
        town.forgets_all();
        node.online.lease.beat(true).await.unwrap();
        let _clara = node.connects(CLARA);
        node.tells().await.unwrap();
        assert_eq!(node.are_online().await, [CLARA], "the others aren't yet");
        node.renews().await.unwrap();
        assert_eq!(node.are_online().await, [ANNA, BORIS, CLARA]);
    }

    #[tokio::test]
    async fn who_comes_and_goes_while_nobody_answers_is_told_later() {
        let town = MemoryTown::default();
        let node = Node::of(&town).await;
        let [anna, _boris] = [ANNA, BORIS].map(|user| node.connects(user));
        node.renews().await.unwrap();
        town.stalls(true);
        drop(anna);
        let _clara = node.connects(CLARA);
        assert!(node.tells().await.is_err());
        town.stalls(false);
        node.renews().await.unwrap();
        assert_eq!(node.are_online().await, [BORIS, CLARA]);
    }

    #[tokio::test]
    async fn what_an_older_store_says_of_who_is_online_is_put_right_when_it_takes_over() {
        let town = MemoryTown::default();
        let node = Node::of(&town).await;
        let lease = node.online.lease.clone();
        let _both = [ANNA, BORIS].map(|user| node.connects(user));
        let stop = CancellationToken::new();
        let keeping = node.registry.clone();
        let keeping = keeping.keep_online(lease.clone(), stop.clone());
        let keeping = tokio::spawn(keeping);
        let are_told = async || {
            while node.are_online().await != [ANNA, BORIS] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, are_told()).await;
        told.expect("both are told");
        // All that is told at the start is over.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // What was told earlier was all there was, too.
        assert_eq!(lease.renew_online().await, Ok(true));
        let older = [(ANNA, false), (CLARA, true)];
        lease.put_online(&older).await.unwrap();
        assert_eq!(node.are_online().await, [BORIS, CLARA]);
        town.is_away(false);
        let told = tokio::time::timeout(PATIENCE, are_told()).await;
        told.expect("both again, and nobody else");
        stop.cancel();
        keeping.await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_put_right_at_once_is_put_right_with_the_next_renewal() {
        let town = MemoryTown::default();
        let node = Node::of(&town).await;
        let _both = [ANNA, BORIS].map(|user| node.connects(user));
        node.renews().await.unwrap();
        let older = [(ANNA, false), (CLARA, true)];
        node.online.lease.put_online(&older).await.unwrap();
        node.online.is_doubted.store(true, Relaxed);
        town.stalls(true);
        assert!(node.renews().await.is_err());
        town.stalls(false);
        node.renews().await.unwrap();
        assert_eq!(node.are_online().await, [ANNA, BORIS]);
    }
}
