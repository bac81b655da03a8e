//! All connections of this node: who they are, whether they still breathe, and how they are ended.
//!
//! One sweep a second serves them all: heartbeats, deadlines, peers that take no bytes. No
//! connection has a timer. Time is counted in sweeps, so that a node that was stopped for a while
//! doesn't take its clients for dead, and a test moves the clock by hand.
//!
//! Not here: frames, sockets. Relies on: somebody runs `run` as long as connections live.
//! Bounded by: the server's places for connections, `connections_per_user_max`.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use entity::{SessionId, UserId};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{close, online::Online, pulse::Pulse};
use crate::{
    chat::{Actor, ConnectionId, Revoked},
    hub::{Close, Queue, QueueTotal},
    metrics,
};

/// How often the sweep runs; the unit of all its times.
const TICK: Duration = Duration::from_secs(1);
/// So that sweeps, sign-ins and endings don't wait for each other.
const SHARDS: usize = 16;
/// After the drain's last close frame: what waits is written (2 s), the peer's close is awaited
/// (2 s), a peer that takes no bytes is reset (10 s).
const DRAIN_GRACE: Duration = Duration::from_secs(6);
/// The drain closes connections in steps of this length.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// Every connection of this node.
#[derive(Debug)]
pub struct Registry {
    total: Arc<QueueTotal>,
    connections_per_user_max: usize,
    /// Sweeps so far. Begins at 1: 0 means never.
    now: AtomicU32,
    next_id: AtomicU64,
    count: AtomicUsize,
    is_draining: AtomicBool,
    gone: Notify,
    /// Who hears that a user's last connection has ended.
    left: OnceLock<Left>,
    /// Tells the other nodes who has a socket open here.
    online: OnceLock<Arc<Online>>,
    connections: [Mutex<HashMap<ConnectionId, Arc<Entry>>>; SHARDS],
    users: [Mutex<HashMap<UserId, Vec<Arc<Entry>>>>; SHARDS],
}

struct Left(Box<dyn Fn(UserId) + Send + Sync>);

impl std::fmt::Debug for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Left")
    }
}

/// One connection, as all but its own task see it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: ConnectionId,
    pub(super) queue: Arc<Queue>,
    pub(super) pulse: Pulse,
    pub(super) started: Instant,
    /// What its dialect says when a sign-in ends.
    pub(super) signed_out: Close,
    actor: Mutex<Option<Actor>>,
    /// The account has changed since its consumer knew it.
    is_outdated: AtomicBool,
    /// It sits in somebody else's support chat, as an operator, and nowhere else.
    sits_as_operator: AtomicBool,
    /// The size that a message of the client's may have.
    frame_bytes_max: AtomicUsize,
}

/// A connection's place in the registry; given up when dropped.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

impl Registry {
    /// Nobody is connected. 0 connections per user: no limit.
    pub fn new(total: Arc<QueueTotal>, connections_per_user_max: u32) -> Arc<Self> {
        Arc::new(Self {
            total,
            connections_per_user_max: match connections_per_user_max {
                0 => usize::MAX,
                max => max as usize,
            },
            now: AtomicU32::new(1),
            next_id: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            gone: Notify::new(),
            left: OnceLock::new(),
            online: OnceLock::new(),
            connections: Default::default(),
            users: Default::default(),
        })
    }

    /// Sweeps once a second until `stop`, and ends the fullest queues when all together pass
    /// their bound. Stop it after the drain, not before.
    pub async fn run(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.tick(),
                () = self.total.over() => self.relieve(),
            }
        }
    }

    /// One sweep: a second has passed.
    pub fn tick(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.for_each(|entry| entry.pulse.examine(now, &entry.queue, entry.signed_out));
    }

    /// How many connections there are; one counts until its socket is closed and its consumer
    /// has ended.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Bytes that wait in all queues.
    pub fn queued_bytes(&self) -> usize {
        self.total.bytes()
    }

    /// How many connections a user has.
    pub fn count_of(&self, user: UserId) -> usize {
        self.users_of(user).lock().get(&user).map_or(0, Vec::len)
    }

    /// All users who have a connection.
    pub fn users(&self) -> Vec<UserId> {
        let shards = self.users.iter();
        shards
            .flat_map(|users| users.lock().keys().copied().collect::<Vec<_>>())
            .collect()
    }

    /// Has it told to the other nodes from now on whose first connection came and whose last one ended. Asked for once.
    pub(super) fn tells_online(&self, online: &Arc<Online>) {
        let _ = self.online.set(online.clone());
    }

    fn mark_online(&self, user: UserId) {
        if let Some(online) = self.online.get() {
            online.mark(user);
        }
    }

    /// Tells `listener` of each user whose last connection has ended. Asked for once; it must not
    /// block, nor ask the registry.
    pub fn on_left(&self, listener: impl Fn(UserId) + Send + Sync + 'static) {
        // A second listener would be a mistake of the wiring; the first one stays.
        let _ = self.left.set(Left(Box::new(listener)));
    }

    /// Ends the connections of sign-ins that have ended.
    pub fn revoke(&self, revoked: &Revoked) {
        let user = revoked.user();
        let users = self.users_of(user).lock();
        for entry in users.get(&user).into_iter().flatten() {
            let is_ended = |actor: &Actor| revoked.ends(actor);
            if entry.actor.lock().as_ref().is_some_and(is_ended) {
                entry.queue.close(entry.signed_out);
            }
        }
    }

    /// An account has changed: its connections know it with their next frames. In others' support chats nobody stays who
    /// is no operator any more.
    pub fn account_changed(&self, user: UserId, is_staff: bool) {
        let users = self.users_of(user).lock();
        for entry in users.get(&user).into_iter().flatten() {
            entry.is_outdated.store(true, Release);
            if !is_staff && entry.sits_as_operator() {
                entry.queue.close(close::NOT_A_MEMBER);
            }
        }
    }

    /// Ends all connections with 1012, evenly over this time, so that their clients don't come
    /// back all at once; comes back when they are gone. From its beginning nobody is let in.
    pub async fn drain(&self, over: Duration) {
        self.is_draining.store(true, Relaxed);
        let mut open = Vec::new();
        self.for_each(|entry| open.push(entry.queue.clone()));
        info!(
            connections = open.len(),
            "closing {} connections",
            open.len()
        );
        let steps = (over.as_millis() / DRAIN_STEP.as_millis()).max(1) as usize;
        for step in open.chunks(open.len().div_ceil(steps).max(1)) {
            step.iter().for_each(|queue| queue.close(close::RESTART));
            if over >= DRAIN_STEP {
                tokio::time::sleep(DRAIN_STEP).await;
            }
        }
        if tokio::time::timeout(DRAIN_GRACE, self.all_gone())
            .await
            .is_err()
        {
            let left = self.count();
            warn!(left, "{left} connections did not end in time and are reset");
            self.for_each(|entry| entry.queue.reset());
            let _ = tokio::time::timeout(DRAIN_GRACE, self.all_gone()).await;
        }
    }

    /// A place for a new connection; none while draining.
    pub(super) fn register(
        self: &Arc<Self>,
        signed_out: Close,
        frame_bytes_max: usize,
    ) -> Option<Registration> {
        if self.is_draining.load(Relaxed) {
            return None;
        }
        let id = ConnectionId(self.next_id.fetch_add(1, Relaxed));
        let entry = Arc::new(Entry {
            id,
            queue: Queue::new(id, self.total.clone()),
            pulse: Pulse::new(self.now()),
            started: Instant::now(),
            signed_out,
            actor: Mutex::new(None),
            is_outdated: AtomicBool::new(false),
            sits_as_operator: AtomicBool::new(false),
            frame_bytes_max: AtomicUsize::new(frame_bytes_max),
        });
        self.count.fetch_add(1, Relaxed);
        self.shard_of(id).lock().insert(id, entry.clone());
        Some(Registration {
            registry: self.clone(),
            entry,
        })
    }

    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Ends the fullest queues until the rest are within the bound.
    fn relieve(&self) {
        let mut fullest = Vec::new();
        self.for_each(|entry| fullest.push((entry.queue.bytes(), entry.queue.clone())));
        fullest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut excess = self.total.excess();
        for (bytes, queue) in fullest {
            if excess == 0 || bytes == 0 {
                return;
            }
            let id = queue.id().0;
            warn!(
                connection = id,
                bytes, "connection {id}: its queue of {bytes} bytes is among the fullest, closed"
            );
            metrics::QUEUE_OVERFLOWS.of("all").one();
            queue.close(Close::TOO_SLOW);
            excess = excess.saturating_sub(bytes);
        }
    }

    fn for_each(&self, mut f: impl FnMut(&Entry)) {
        for shard in &self.connections {
            shard.lock().values().for_each(|entry| f(entry));
        }
    }

    fn shard_of(&self, id: ConnectionId) -> &Mutex<HashMap<ConnectionId, Arc<Entry>>> {
        &self.connections[id.0 as usize % SHARDS]
    }

    fn users_of(&self, user: UserId) -> &Mutex<HashMap<UserId, Vec<Arc<Entry>>>> {
        &self.users[user.0 as usize % SHARDS]
    }
}

impl Entry {
    /// Who is signed in here.
    pub(super) fn user(&self) -> Option<UserId> {
        self.actor.lock().as_ref().map(Actor::id)
    }

    /// By which session.
    pub(super) fn session(&self) -> Option<SessionId> {
        self.actor.lock().as_ref()?.session.clone()
    }

    /// Whether the account has changed since this was last asked.
    pub(super) fn takes_change(&self) -> bool {
        self.is_outdated.load(Relaxed) && self.is_outdated.swap(false, Acquire)
    }

    /// The change isn't known yet: it is to be asked for once more.
    pub(super) fn keeps_change(&self) {
        self.is_outdated.store(true, Relaxed);
    }

    /// Whether it ends when its user is no operator any more.
    pub(super) fn sits_as_operator(&self) -> bool {
        self.sits_as_operator.load(Relaxed)
    }

    pub(super) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max.load(Relaxed)
    }

    /// It never falls: what was let in once may be on its way.
    pub(super) fn raise_frame_bytes_max(&self, bytes: usize) {
        self.frame_bytes_max.fetch_max(bytes, Relaxed);
    }
}

impl Registration {
    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    pub(super) fn now(&self) -> u32 {
        self.registry.now()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (registry, entry) = (&self.registry, &self.entry);
        entry.queue.finish(close::LOST);
        registry.forget_actor(entry);
        registry.shard_of(entry.id).lock().remove(&entry.id);
        if registry.count.fetch_sub(1, Relaxed) == 1 {
            registry.gone.notify_waiters();
        }
    }
}

impl Registry {
    /// This connection is this user's from now on. Refused where the user has too many.
    pub(super) fn sign_in(&self, entry: &Arc<Entry>, actor: Actor) -> Result<(), Close> {
        self.forget_actor(entry);
        let user = actor.id();
        let mut users = self.users_of(user).lock();
        let of_user = users.entry(user).or_default();
        if of_user.len() >= self.connections_per_user_max {
            return Err(close::TOO_MANY_CONNECTIONS);
        }
        if of_user.is_empty() {
            self.mark_online(user);
        }
        of_user.push(entry.clone());
        *entry.actor.lock() = Some(actor);
        Ok(())
    }

    /// From now on this connection ends when its user is no operator any more. Whoever tells so takes the same lock: it
    /// was told before, or finds the connection.
    pub(super) fn seats_operator(&self, entry: &Entry, user: UserId) {
        let _users = self.users_of(user).lock();
        entry.sits_as_operator.store(true, Relaxed);
    }

    /// Nobody is signed in on this connection any more.
    pub(super) fn forget_actor(&self, entry: &Arc<Entry>) {
        let Some(actor) = entry.actor.lock().take() else {
            return;
        };
        let mut users = self.users_of(actor.id()).lock();
        if let Some(of_user) = users.get_mut(&actor.id()) {
            of_user.retain(|other| other.id != entry.id);
            if of_user.is_empty() {
                users.remove(&actor.id());
                self.mark_online(actor.id());
                if let Some(Left(tell)) = self.left.get() {
                    tell(actor.id());
                }
            }
        }
    }
}
