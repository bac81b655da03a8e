//! All hubs of the node: who enters a chat finds its hub here, and what is committed or heard goes to it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use entity::{ChatId, Seq};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{
    Close, NOT_A_MEMBER, Queue, Seat, SharedFrame,
    delivery::new_head,
    elsewhere::Elsewhere,
    follow::Followers,
    hub::{Delivery, Hub, Next, passing},
    memory::Membership,
    presence::Present,
    publish::LayerWork,
    round::Round,
};
use crate::{
    chat::{Actor, ChatError, ChatEvent, ConnectionId, Domain, Entered, Publish, What},
    layer::ChannelLayer,
    lease::Lease,
    metrics,
};

const SHARDS: usize = 64;
/// What may wait for the channel layer. Beyond it hints are lost, and the other nodes' sweep finds what they told.
const LAYER_WORK_MAX: usize = 65_536;
/// Events read at once while a gap is repaired or a connection resumes.
const PAGE: u64 = 100;
/// Events of one replay; then the client asks on.
pub const REPLAY_MAX: usize = 1000;
/// A hub without connections is kept so long: who was cut off comes back to it.
pub(super) const KEPT_EMPTY: Duration = Duration::from_secs(30);

/// The hubs of the node's chats.
pub struct Hubs {
    me: Weak<Hubs>,
    shards: Vec<Mutex<HashMap<ChatId, Arc<Hub>>>>,
    domain: OnceLock<Arc<Domain>>,
    presence_max: usize,
    pub(super) layer: Arc<dyn ChannelLayer>,
    pub(super) work: mpsc::Sender<LayerWork>,
    pub(super) tasks: TaskTracker,
    /// The layer has lost something: the sweep is to look at once.
    pub(super) lost: Notify,
    /// Connections that hear all chats of their users.
    pub(super) followers: Followers,
    /// Presence over all nodes.
    pub(super) elsewhere: Elsewhere,
}

/// A connection's place in a chat. Dropped, it is given up.
#[must_use]
pub struct Seated {
    hubs: Arc<Hubs>,
    hub: Arc<Hub>,
    seat: Seat,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The number asked for.
    pub since: Seq,
    /// The last number told; after `reset` the one where the chat stands.
    pub seq: Seq,
    /// More happened: nothing numbered follows until the client asks on.
    pub has_more: bool,
    /// `since` was above the chat's last number.
    pub reset: bool,
}

impl Hubs {
    /// No hubs yet. What goes to the layer comes out of the receiver, for `LayerWork`'s task.
    /// Who is in a chat is told by name up to `presence_max` users.
    pub(super) fn new(
        layer: Arc<dyn ChannelLayer>,
        lease: Arc<dyn Lease>,
        presence_max: usize,
    ) -> (Arc<Hubs>, mpsc::Receiver<LayerWork>) {
        let (work, todo) = mpsc::channel(LAYER_WORK_MAX);
        let hubs = Arc::new_cyclic(|me| Hubs {
            me: me.clone(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            domain: OnceLock::new(),
            presence_max,
            layer,
            work,
            tasks: TaskTracker::new(),
            lost: Notify::new(),
            followers: Followers::default(),
            elsewhere: Elsewhere::new(lease),
        });
        (hubs, todo)
    }

    /// The domain, from which gaps are repaired; told once, as it is built on these hubs.
    pub fn attach(&self, domain: Arc<Domain>) {
        let _ = self.domain.set(domain);
    }

    pub(super) fn domain(&self) -> Option<&Arc<Domain>> {
        self.domain.get()
    }

    /// A member enters a chat: its hub, which stands somewhere, and what the connection needs to know.
    pub async fn enter(
        self: &Arc<Self>,
        actor: &Actor,
        chat: ChatId,
    ) -> Result<(Arc<Hub>, Entered), ChatError> {
        let domain = self.domain().ok_or(ChatError::Unavailable)?;
        // First the hub, then the question where the chat stands: what is committed in between waits in the hub.
        let hub = self.find_or_make(chat);
        let entered = domain.chats.enter(actor, chat);
        let (entered, ()) = tokio::join!(entered, self.look_elsewhere(&hub));
        let entered = entered?;
        if hub.begin(&entered.head, entered.last_seq) == Delivery::Gap {
            self.repair(&hub);
        }
        hub.finds_member(actor.id(), entered.last_seq);
        Ok((hub, entered))
    }

    /// Seats a connection where the chat stands. `greet` is told the number from which on it hears everything, and how
    /// the member stands. Whoever was removed since `entered` was read isn't let in.
    pub async fn seat(
        self: &Arc<Self>,
        actor: &Actor,
        hub: Arc<Hub>,
        mut entered: Entered,
        seat: Seat,
        greet: impl Fn(Seq, &Entered) -> Option<SharedFrame>,
    ) -> Result<Seated, Close> {
        loop {
            match hub.seat(&seat, entered.last_seq, |seq| greet(seq, &entered)) {
                Membership::Holds => {
                    return Ok(Seated {
                        hubs: self.clone(),
                        hub,
                        seat,
                    });
                }
                Membership::Ended(close) => return Err(close),
                Membership::Unknown => {
                    entered = match self.enter(actor, hub.chat()).await {
                        Ok((_, entered)) => entered,
                        Err(ChatError::NotFound(_)) => return Err(NOT_A_MEMBER),
                        Err(_) => return Err(AWAY),
                    }
                }
            }
        }
    }

    /// A place in a chat for a connection that isn't seated yet: it hears nothing before it resumes.
    pub fn stand(self: &Arc<Self>, hub: Arc<Hub>, seat: Seat) -> Seated {
        Seated {
            hubs: self.clone(),
            hub,
            seat,
        }
    }

    pub(super) fn find(&self, chat: ChatId) -> Option<Arc<Hub>> {
        self.shard(chat).lock().get(&chat).cloned()
    }

    pub(super) fn find_or_make(&self, chat: ChatId) -> Arc<Hub> {
        let begin = || {
            self.elsewhere.begins(chat);
            Arc::new(Hub::new(chat, self.presence_max))
        };
        let hub = self
            .shard(chat)
            .lock()
            .entry(chat)
            .or_insert_with(begin)
            .clone();
        self.join(&hub);
        hub
    }

    /// Asks to hear of the chat from the other nodes.
    pub(super) fn join(&self, hub: &Hub) {
        if hub.wants_to_join() {
            hub.set_joined(self.work.try_send(LayerWork::Join(hub.chat())).is_ok());
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Hub>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Forgets hubs that nobody has used for a while.
    pub(super) fn forget_empty(&self) {
        let Some(before) = Instant::now().checked_sub(KEPT_EMPTY) else {
            return;
        };
        for shard in &self.shards {
            shard.lock().retain(|chat, hub| {
                // Whoever enters or sits here holds the hub too, and finds it only under this lock.
                let ends = Arc::strong_count(hub) == 1 && hub.is_empty_since(before);
                if ends && self.work.try_send(LayerWork::Leave(*chat)).is_err() {
                    debug!(chat = %chat, "chat {chat}: stays in its group of the channel layer");
                }
                !ends
            });
        }
    }

    fn shard(&self, chat: ChatId) -> &Mutex<HashMap<ChatId, Arc<Hub>>> {
        &self.shards[(chat.0 as usize) % SHARDS]
    }

    /// Hands events to their chats' hubs, where there are any: those of one chat together, in their order.
    pub(super) fn deliver(&self, events: &mut [Arc<ChatEvent>]) {
        let mut round = Round::default();
        events.sort_by_key(|event| event.chat);
        for of_chat in events.chunk_by(|one, next| one.chat == next.chat) {
            if let Some(hub) = self.find(of_chat[0].chat)
                && hub.deliver_in(&mut round, of_chat) == Delivery::Gap
            {
                self.repair(&hub);
            }
        }
        self.followers.hear(events);
    }

    /// Reads what a hub has missed from the database. One repair a hub at a time.
    pub(super) fn repair(&self, hub: &Arc<Hub>) {
        if let Some(hubs) = self.me.upgrade()
            && hub.begin_repair()
        {
            metrics::REPAIRS.one();
            let hub = hub.clone();
            self.tasks.spawn(async move { hubs.run_repair(&hub).await });
        }
    }

    /// Reads back until nothing is missing or nothing more is found.
    pub(super) async fn run_repair(&self, hub: &Hub) {
        loop {
            let began_at = hub.delivered();
            self.read_back(hub).await;
            // What came early while the last page was read may not have been in it: then once more.
            if hub.end_repair() == Delivery::Done {
                return;
            }
            if hub.delivered() == began_at {
                let chat = hub.chat();
                debug!(chat = %chat, "chat {chat}: a number is not there yet, the sweep looks again");
                return;
            }
            if !hub.begin_repair() {
                return;
            }
        }
    }

    async fn read_back(&self, hub: &Hub) {
        let (Some(domain), chat) = (self.domain(), hub.chat()) else {
            return;
        };
        loop {
            let (Some(head), Some(since)) = (hub.head(), hub.delivered()) else {
                return;
            };
            let events = match domain.history.events(&head, since, PAGE).await {
                Ok(events) => events,
                Err(error) => {
                    warn!(chat = %chat, "chat {chat}: can't read what was lost: {error}");
                    return;
                }
            };
            if events.is_empty() {
                return;
            }
            let lost = events.len();
            metrics::EVENTS_READ_BACK.add(lost);
            debug!(chat = %chat, lost, "chat {chat}: {lost} events were lost on the way, read back");
            hub.deliver(&events);
        }
    }
}

impl Publish for Hubs {
    fn publish(&self, mut events: Vec<Arc<ChatEvent>>) {
        self.deliver(&mut events);
        self.share_all(events);
    }
}

impl Seated {
    /// The chat's hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Makes this connection's user present in the chat.
    pub fn present(&self, actor: &Actor) -> Present {
        self.hubs
            .present(&self.hub, &actor.user, self.seat.connection)
    }

    /// Tells the chat that this connection's user types, or stopped, where that is news.
    pub fn types(&self, actor: &Actor, is_typing: bool) {
        if self.hub.types(self.seat.connection, &actor.user, is_typing) {
            self.hubs.tell_typing(
                &self.hub,
                actor.user.clone(),
                is_typing,
                Some(self.seat.connection),
            );
        }
    }

    /// Whether it is staff's, in a support chat that isn't their own.
    pub(super) fn is_operator(&self) -> bool {
        self.seat.is_operator
    }

    /// What it is told where it ends.
    pub(super) fn farewell(&self) -> Option<SharedFrame> {
        let head = self.hub.head()?;
        self.seat.voice.farewell(&head)
    }

    /// Whether it hears the chat: not while it resumes, nor once its membership has ended.
    pub fn is_live(&self) -> bool {
        self.hub.is_seated(self.seat.connection)
    }

    /// Replays what happened after `since`, as fast as the client reads, then sits down where the hub stands. `end`
    /// makes the frame that follows the replay and goes before everything live. `entered` was read for this replay:
    /// endings of the membership before that are history.
    pub async fn replay(
        &self,
        entered: &Entered,
        since: Seq,
        end: impl Fn(Replayed) -> Option<SharedFrame>,
    ) -> Result<Replayed, Close> {
        let replayed = self.replay_some(entered, since, REPLAY_MAX, end).await;
        replayed.map(|(replayed, _)| replayed)
    }

    /// The same with at most `events_max` events; how many it were comes back too.
    pub async fn replay_some(
        &self,
        entered: &Entered,
        since: Seq,
        events_max: usize,
        end: impl Fn(Replayed) -> Option<SharedFrame>,
    ) -> Result<(Replayed, usize), Close> {
        let queue = &self.seat.queue;
        let mut replayed = Replayed {
            since,
            seq: since,
            has_more: false,
            reset: false,
        };
        self.hub.stand_up(self.seat.connection);
        // What was pushed and not written yet comes with the replay.
        queue.forget_pushed(self.hub.chat());
        let stands = self.hub.delivered().unwrap_or(Seq(0)).max(entered.last_seq);
        if since > stands {
            replayed.reset = true;
            return match self.hub.seat(&self.seat, entered.last_seq, |seq| {
                replayed.seq = seq;
                end(replayed)
            }) {
                Membership::Holds => Ok((replayed, 0)),
                Membership::Ended(close) => Err(close),
                Membership::Unknown => Err(GONE),
            };
        }
        replayed.seq = since.max(entered.visible_above);
        let mut told = 0;
        let mut head = entered.head.clone();
        let mut checked_at = entered.last_seq;
        loop {
            let limit = (events_max - told).min(PAGE as usize);
            let live = |_| end(replayed);
            let resumed = self
                .hub
                .resume(replayed.seq, limit, &self.seat, checked_at, live);
            let events = match resumed {
                Next::Live => return Ok((replayed, told)),
                Next::NotSeated(Membership::Ended(close)) => return Err(close),
                Next::NotSeated(_) => return Err(GONE),
                Next::Events(_) | Next::Unknown if limit == 0 => {
                    replayed.has_more = true;
                    return send(queue, end(replayed)).map(|()| (replayed, told));
                }
                Next::Events(events) => events,
                Next::Unknown => self.read(entered, replayed.seq, limit as u64).await?,
            };
            let Some(last) = events.last().and_then(|event| event.seq) else {
                // The hub is ahead of what could be read: its next number isn't there yet.
                return Err(GONE);
            };
            for event in &events {
                head = new_head(event).unwrap_or(head);
                send(
                    queue,
                    (self.seat.voice.encode)(&head, event, self.seat.audience(event)),
                )?;
                if let Some(close) = self
                    .seat
                    .end(event)
                    .filter(|_| event.seq > Some(entered.last_seq))
                {
                    self.seat.give_up(self.hub.chat(), close);
                    return Err(close);
                }
            }
            told += events.len();
            if replayed.seq <= checked_at {
                // Nothing among these ended the membership.
                checked_at = checked_at.max(last);
            }
            replayed.seq = last;
            queue.answered().await?;
        }
    }

    async fn read(
        &self,
        entered: &Entered,
        since: Seq,
        limit: u64,
    ) -> Result<Vec<Arc<ChatEvent>>, Close> {
        let domain = self.hubs.domain().ok_or(GONE)?;
        let events = domain.history.events(&entered.head, since, limit).await;
        events.map_err(|error| {
            let chat = self.hub.chat();
            warn!(chat = %chat, "chat {chat}: a replay could not be read: {error}");
            AWAY
        })
    }
}

const GONE: Close = Close::new(1012, "Try again");
const AWAY: Close = Close::new(1013, "Service temporarily unavailable");

fn send(queue: &Queue, frame: Option<SharedFrame>) -> Result<(), Close> {
    frame.map_or(Ok(()), |frame| queue.answer(frame))
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(user) = self.hub.leave(self.seat.connection) {
            self.hubs.tell_typing(&self.hub, user, false, None);
        }
    }
}

impl Hubs {
    /// Tells a chat that somebody types, or stopped.
    pub(super) fn tell_typing(
        &self,
        hub: &Hub,
        user: Arc<crate::chat::Profile>,
        is_typing: bool,
        origin: Option<ConnectionId>,
    ) {
        let what = What::Typing {
            user: user.clone(),
            is_typing,
        };
        let event = Arc::new(ChatEvent {
            origin,
            ..passing(hub.chat(), user.id, what)
        });
        hub.deliver(std::slice::from_ref(&event));
        self.share_all(Some(event));
    }

    /// Hands events to the other nodes, where there are any.
    pub(super) fn share_all(&self, events: impl IntoIterator<Item = Arc<ChatEvent>>) {
        if self.layer.has_others() {
            events.into_iter().for_each(|event| self.share(event));
        }
    }

    /// Hands an event to the layer's task.
    fn share(&self, event: Arc<ChatEvent>) {
        let chat = event.chat;
        if self.work.try_send(LayerWork::Send(event)).is_err() {
            metrics::LAYER_PUBLISHES.of("dropped").one();
            debug!(chat = %chat, "chat {chat}: the channel layer is behind, a hint is lost");
        }
    }
}
