//! One connection per user and chat: seed 001 promises it. The newest wins, so that a phone that comes out of a tunnel
//! isn't locked out by its own dead socket; but two tabs that take each other's place don't duel for ever.
//!
//! Over several nodes a place is owned by a number in what they hold in common; while that is away, this node's table alone
//! decides, and gives numbers itself. Whoever finds that another node has the place by a higher number has lost it: told by
//! a note, or found by `keep_owners`. A claim whose answer came too late may be granted all the same: the higher number
//! that this node finds then is that of whoever sits here.
//!
//! Bounded by: one entry per user and chat with a connection, or whose duel is remembered for a minute.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use entity::{ChatId, UserId};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Registry, close, registry::Entry};
use crate::{
    chat::ConnectionId,
    hub::{Close, Hubs, Owner},
    lease::{Claim, Grant, Lease},
};

/// After so many replacements in `DUEL_SPAN` whoever is connected stays.
const DUEL_REPLACEMENTS: usize = 3;
const DUEL_SPAN: Duration = Duration::from_secs(60);
/// Newcomers are turned away for so long, while the connected one still answers.
const DUEL_HOLD: Duration = Duration::from_secs(30);
/// A connection that was silent for longer than a ping and its answer take doesn't answer any more.
const SILENT_AFTER_S: u32 = 30;
/// How often owners are renewed, and learn whether they still are: a lost note costs so long.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// Entries without a connection are swept each time the table has grown by so many.
const SWEEP_AFTER: usize = 1024;

/// What becomes of a second connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondConnection {
    /// It takes the first one's place.
    Replaces,
    /// It is turned away.
    IsRejected,
    /// It stays beside the first one.
    Stays,
}

type Key = (ChatId, UserId);

#[derive(Default)]
struct Seatings {
    current: Option<Arc<Entry>>,
    /// By which the current one owns the place over all nodes; 0 where this node is alone.
    number: u64,
    /// It is this node's own: what the nodes hold in common may know another one.
    is_guessed: bool,
    replaced: Vec<Instant>,
    held_until: Option<Instant>,
}

#[derive(Default)]
struct Table {
    seatings: HashMap<Key, Seatings>,
    sweep_at: usize,
}

/// Who is connected to which chat, where only one connection counts.
pub struct Singles {
    rule: SecondConnection,
    table: Mutex<Table>,
    hubs: Arc<Hubs>,
    lease: Arc<dyn Lease>,
}

/// A connection that counts. Dropped, its place is free.
pub(super) struct Single {
    singles: Arc<Singles>,
    key: Key,
    id: ConnectionId,
}

impl Singles {
    /// Nobody is connected.
    pub fn new(rule: SecondConnection, hubs: Arc<Hubs>, lease: Arc<dyn Lease>) -> Arc<Singles> {
        let singles = Arc::new(Singles {
            rule,
            table: Mutex::default(),
            hubs,
            lease,
        });
        let hearing = Arc::downgrade(&singles);
        singles.hubs.on_owner(Box::new(move |owner| {
            if let Some(singles) = hearing.upgrade() {
                singles.yield_to(owner);
            }
        }));
        singles
    }

    /// Takes the place of a user in a chat, perhaps from another connection. `now` is the registry's.
    pub(super) async fn claim(
        self: &Arc<Self>,
        chat: ChatId,
        user: UserId,
        entry: &Arc<Entry>,
        now: u32,
    ) -> Result<Option<Single>, Close> {
        if self.rule == SecondConnection::Stays {
            return Ok(None);
        }
        let key = (chat, user);
        let granted = match self.lease.is_shared() {
            true => self.claim_everywhere(key, now).await?,
            false => None,
        };
        let mut table = self.table.lock();
        if table.seatings.len() >= table.sweep_at {
            table
                .seatings
                .retain(|_, seatings| seatings.current.is_some() || seatings.is_remembered());
            table.sweep_at = table.seatings.len() + SWEEP_AFTER;
        }
        let seatings = table.seatings.entry(key).or_default();
        match granted {
            Some(number) => seatings.give(self.rule, entry, number, now)?,
            None => {
                // The time: later owners have higher numbers, as in what nodes hold in common.
                let number = match self.lease.is_shared() {
                    true => self.lease.clock().max(seatings.number + 1),
                    false => 0,
                };
                seatings.seat(self.rule, entry, number, now)?;
            }
        }
        drop(table);
        Ok(Some(Single {
            singles: self.clone(),
            key,
            id: entry.id,
        }))
    }

    /// Takes the place over all nodes: by which number. None where nobody can be asked.
    async fn claim_everywhere(&self, key: Key, now: u32) -> Result<Option<u64>, Close> {
        let (chat, user) = key;
        let (is_ours, deserted, above) = match self.table.lock().seatings.get(&key) {
            Some(seatings) => {
                let number = seatings.number;
                let current = seatings.current.as_ref();
                let deserted = match current {
                    Some(incumbent) if !answers(incumbent, now) => number,
                    // What nodes hold in common may have lost it: nobody needs to be asked about who sits here.
                    Some(_) if self.rule == SecondConnection::IsRejected => {
                        return Err(close::REPLACED);
                    }
                    _ => 0,
                };
                // One that closes may do so because another node has the place: that one is to be told.
                let is_ours = current.is_some_and(|current| current.queue.closing().is_none());
                (is_ours, deserted, number)
            }
            None => (false, 0, 0),
        };
        let claim = Claim {
            chat,
            user,
            rejects: self.rule == SecondConnection::IsRejected,
            deserted,
            above,
        };
        match self.lease.claim(&claim).await {
            Ok(Grant::Granted { number, was_taken }) => {
                if was_taken && !is_ours {
                    self.hubs.tell_owner(Owner { chat, user, number });
                }
                Ok(Some(number))
            }
            Ok(Grant::Refused) => Err(close::REPLACED),
            Err(away) => {
                debug!("{away}: this node's own rule holds");
                Ok(None)
            }
        }
    }

    /// A connection of another node has a place by this number.
    fn yield_to(&self, owner: Owner) {
        let table = self.table.lock();
        if let Some(seatings) = table.seatings.get(&(owner.chat, owner.user))
            && seatings.number < owner.number
            && let Some(current) = &seatings.current
        {
            current.queue.close(close::REPLACED);
        }
    }

    /// Renews what this node's connections own over all nodes, and closes those that own it no more, until `stop`.
    pub async fn keep_owners(self: Arc<Self>, registry: Arc<Registry>, stop: CancellationToken) {
        let mut returned = self.lease.returned();
        let mut renewals = tokio::time::interval(RENEWED_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = renewals.tick() => {}
                // Who owns what may have been lost: until it is told again, another node would be given it.
                Ok(()) = returned.changed() => {}
                () = stop.cancelled() => return,
            }
            if self.lease.is_shared() {
                self.renew_owners(registry.now()).await;
            }
        }
    }

    /// Who doesn't answer isn't renewed: so a dead socket holds its place no longer than a node that died.
    async fn renew_owners(&self, now: u32) {
        let (mut owners, mut connections) = (Vec::new(), Vec::new());
        for ((chat, user), seatings) in &self.table.lock().seatings {
            let current = seatings.current.as_ref();
            if let Some(current) = current.filter(|current| answers(current, now)) {
                owners.push((*chat, *user, seatings.number));
                connections.push(current.id);
            }
        }
        let Ok(renewed) = self.lease.renew(&owners).await else {
            return;
        };
        let mut table = self.table.lock();
        let renewed = owners.into_iter().zip(connections).zip(renewed);
        for (((chat, user, _), connection), number) in renewed {
            let Some(seatings) = table.seatings.get_mut(&(chat, user)) else {
                continue;
            };
            let current = seatings.current.as_ref();
            let Some(current) = current.filter(|current| current.id == connection) else {
                continue; // another one came meanwhile
            };
            match number {
                Some(number) => (seatings.number, seatings.is_guessed) = (number, false),
                None => current.queue.close(close::REPLACED),
            }
        }
    }
}

/// Whether a connection is open and was heard of of late.
fn answers(entry: &Entry, now: u32) -> bool {
    entry.queue.closing().is_none() && entry.pulse.silence(now) <= SILENT_AFTER_S
}

impl Seatings {
    fn is_remembered(&self) -> bool {
        self.replaced
            .last()
            .is_some_and(|at| at.elapsed() < DUEL_SPAN)
    }

    /// The place is this connection's, as all nodes know it.
    fn give(
        &mut self,
        rule: SecondConnection,
        entry: &Arc<Entry>,
        number: u64,
        now: u32,
    ) -> Result<(), Close> {
        if let Some(current) = &self.current {
            if number < self.number {
                // Another one came since.
                return Err(close::REPLACED);
            }
            if rule == SecondConnection::IsRejected && answers(current, now) {
                // It came since, and what the nodes hold in common lost it: it stays, by this number.
                (self.number, self.is_guessed) = (number, false);
                return Err(close::REPLACED);
            }
            current.queue.close(close::REPLACED);
        }
        self.current = Some(entry.clone());
        (self.number, self.is_guessed) = (number, false);
        Ok(())
    }

    fn seat(
        &mut self,
        rule: SecondConnection,
        entry: &Arc<Entry>,
        number: u64,
        now: u32,
    ) -> Result<(), Close> {
        let incumbent = self
            .current
            .as_ref()
            .filter(|current| current.queue.closing().is_none());
        if let Some(incumbent) = incumbent {
            let answers = answers(incumbent, now);
            let is_held = self.held_until.is_some_and(|until| Instant::now() < until);
            if rule == SecondConnection::IsRejected || (is_held && answers) {
                return Err(close::REPLACED);
            }
            self.replaced.retain(|at| at.elapsed() < DUEL_SPAN);
            self.replaced.push(Instant::now());
            if self.replaced.len() >= DUEL_REPLACEMENTS {
                self.held_until = Some(Instant::now() + DUEL_HOLD);
                self.replaced = Vec::new();
            }
            incumbent.queue.close(close::REPLACED);
        }
        self.current = Some(entry.clone());
        (self.number, self.is_guessed) = (number, true);
        Ok(())
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        let mut table = self.singles.table.lock();
        let Some(seatings) = table.seatings.get_mut(&self.key) else {
            return;
        };
        if seatings
            .current
            .as_ref()
            .is_some_and(|current| current.id == self.id)
        {
            if self.singles.lease.is_shared() {
                let (chat, user) = self.key;
                let number = (!seatings.is_guessed).then_some(seatings.number);
                self.singles.lease.disown(chat, user, number);
            }
            seatings.current = None;
            let is_dueling = seatings
                .held_until
                .is_some_and(|until| Instant::now() < until);
            if !is_dueling && !seatings.is_remembered() {
                table.seatings.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hub::{self, QueueLimits, QueueTotal, ToDjango},
        layer::{ChannelLayer, MemoryLayer},
        lease::MemoryTown,
        ws::registry::Registration,
    };

    const CHAT: ChatId = ChatId(7);
    const ANNA: UserId = UserId(1);
    const LATE: Duration = Duration::from_millis(300);
    /// Only a failure waits this long; less than until owners are renewed anyway.
    const PATIENCE: Duration = Duration::from_secs(6);

    /// A node that hears no notes, and renews when the test says so.
    struct Node {
        singles: Arc<Singles>,
        registry: Arc<Registry>,
        layer: Arc<MemoryLayer>,
    }

    impl Node {
        async fn of(town: &MemoryTown, rule: SecondConnection) -> Node {
            let lease: Arc<dyn Lease> = Arc::new(town.node());
            let layer = Arc::new(MemoryLayer::default());
            let starting = hub::start(layer.clone(), lease.clone(), 200, ToDjango::default());
            let (hubs, _tasks) = starting.await.unwrap();
            Node {
                singles: Singles::new(rule, hubs, lease),
                registry: Registry::new(QueueTotal::new(QueueLimits::default()), 0),
                layer,
            }
        }

        /// What this node tells the others of the chat from now on is heard there.
        async fn is_heard(&self) -> String {
            let ear = self.layer.new_channel().await.unwrap();
            let group = format!("tertulia.chat_{CHAT}");
            self.layer.group_add(&group, &ear).await.unwrap();
            ear
        }

        fn connection(&self) -> Registration {
            let registration = self.registry.register(close::NOT_SIGNED_IN, 1 << 16);
            registration.unwrap()
        }

        /// Takes Anna's place for a connection; or it is turned away.
        async fn seats(&self, connection: &Registration) -> Option<Single> {
            let (entry, now) = (connection.entry(), self.registry.now());
            let claimed = self.singles.claim(CHAT, ANNA, entry, now).await;
            claimed.ok().map(|single| single.unwrap())
        }

        async fn renews(&self) {
            self.singles.renew_owners(self.registry.now()).await;
        }
    }

    fn is_open(connection: &Registration) -> bool {
        connection.entry().queue.closing().is_none()
    }

    async fn two(town: &MemoryTown, rule: SecondConnection) -> [Node; 2] {
        [Node::of(town, rule).await, Node::of(town, rule).await]
    }

    #[tokio::test]
    async fn another_node_is_told_that_its_place_was_taken_while_ones_own_replaced_one_still_closes()
     {
        let town = MemoryTown::default();
        let [here, there] = two(&town, SecondConnection::Replaces).await;
        let (phone, laptop, tablet) = (here.connection(), there.connection(), here.connection());
        let _phones = here.seats(&phone).await.unwrap();
        let _laptops = there.seats(&laptop).await.unwrap();
        let number = || there.singles.table.lock().seatings[&(CHAT, ANNA)].number;
        here.singles.yield_to(Owner {
            chat: CHAT,
            user: ANNA,
            number: number(),
        });
        assert!(!is_open(&phone));
        let ear = here.is_heard().await;
        let _tablets = here.seats(&tablet).await.unwrap();
        let told = tokio::time::timeout(PATIENCE, here.layer.receive(&ear)).await;
        told.expect("the laptop's node is told").unwrap();
    }

    #[tokio::test]
    async fn a_claim_that_is_granted_when_nobody_waits_any_more_closes_nobody() {
        let town = MemoryTown::default();
        let [here, there] = two(&town, SecondConnection::Replaces).await;
        let (phone, laptop) = (here.connection(), there.connection());
        town.is_late(LATE);
        let _single = here.seats(&phone).await.unwrap();
        town.stalls(false);
        for _ in 0..2 {
            here.renews().await;
            assert!(is_open(&phone));
        }
        // It has the place like any other, and loses it to the next.
        let _next = there.seats(&laptop).await.unwrap();
        here.renews().await;
        there.renews().await;
        assert!(!is_open(&phone) && is_open(&laptop));
    }

    #[tokio::test]
    async fn a_claim_that_is_granted_when_nobody_waits_any_more_locks_nobody_out() {
        for is_renewed in [false, true] {
            let town = MemoryTown::default();
            let [here, there] = two(&town, SecondConnection::IsRejected).await;
            let (phone, laptop) = (here.connection(), there.connection());
            town.is_late(LATE);
            let single = here.seats(&phone).await.unwrap();
            town.stalls(false);
            if is_renewed {
                here.renews().await;
            }
            assert!(there.seats(&laptop).await.is_none(), "one is there");
            drop(single);
            assert!(there.seats(&laptop).await.is_some(), "{is_renewed}");
        }
    }

    #[tokio::test]
    async fn who_is_there_is_not_closed_by_a_newcomer_when_the_store_has_lost_its_memory() {
        let town = MemoryTown::default();
        let [here, _there] = two(&town, SecondConnection::IsRejected).await;
        let (phone, laptop) = (here.connection(), here.connection());
        let _single = here.seats(&phone).await.unwrap();
        town.forgets_all();
        assert!(here.seats(&laptop).await.is_none());
        assert!(is_open(&phone));
    }

    #[tokio::test]
    async fn who_came_while_a_newcomer_asked_stays_though_the_newcomer_was_granted_the_place() {
        let town = MemoryTown::default();
        let [here, there] = two(&town, SecondConnection::IsRejected).await;
        let (phone, laptop, now) = (here.connection(), here.connection(), here.registry.now());
        let asked = here.singles.claim_everywhere((CHAT, ANNA), now).await;
        let number = asked.unwrap().unwrap();
        town.forgets_all();
        let single = here.seats(&phone).await.unwrap();
        let later = {
            let mut table = here.singles.table.lock();
            let seatings = table.seatings.get_mut(&(CHAT, ANNA)).unwrap();
            let later = seatings.number.max(number) + 1;
            let given = seatings.give(here.singles.rule, laptop.entry(), later, now);
            assert!(given.is_err() && is_open(&phone));
            later
        };
        // It is told to the others as that of whoever sits here, and ends with them.
        here.renews().await;
        assert_eq!(
            here.singles.table.lock().seatings[&(CHAT, ANNA)].number,
            later
        );
        assert!(there.seats(&there.connection()).await.is_none());
        drop(single);
        assert!(there.seats(&there.connection()).await.is_some());
    }

    #[tokio::test]
    async fn owners_are_told_again_as_soon_as_the_store_is_back() {
        let town = MemoryTown::default();
        let [here, there] = two(&town, SecondConnection::IsRejected).await;
        let (phone, stop) = (here.connection(), CancellationToken::new());
        town.is_away(true);
        let _single = here.seats(&phone).await.unwrap();
        let keeping = here.singles.clone();
        let keeping = keeping.keep_owners(here.registry.clone(), stop.clone());
        let keeping = tokio::spawn(keeping);
        // The renewal at the start, whose timer ends before this one, is over, and in vain.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let is_guessed = || here.singles.table.lock().seatings[&(CHAT, ANNA)].is_guessed;
        assert!(is_guessed());
        town.is_away(false);
        let is_told = async {
            while is_guessed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, is_told).await;
        told.expect("long before the next renewal");
        assert!(there.seats(&there.connection()).await.is_none());
        stop.cancel();
        keeping.await.unwrap();
    }

    #[tokio::test]
    async fn the_newest_stays_also_where_its_node_could_not_ask_and_its_clock_is_behind() {
        let town = MemoryTown::default();
        town.passes(Duration::from_secs(5));
        let [here, there] = two(&town, SecondConnection::Replaces).await;
        let (older, newer) = (there.connection(), here.connection());
        let _single = there.seats(&older).await.unwrap();
        town.stalls(true);
        let _next = here.seats(&newer).await.unwrap();
        town.stalls(false);
        here.renews().await;
        there.renews().await;
        assert!(is_open(&newer) && !is_open(&older));
    }
}
