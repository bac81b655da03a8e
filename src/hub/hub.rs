//! The hub: one per chat with connections on this node. It turns hints, its own node's and the channel layer's, into
//! what each connection is owed: every event, in `seq` order, once.
//!
//! Not here: frames (`ws/dialect`), rules (`chat`), the wire between nodes (`layer`).
//! Relies on: `seq` has no gap (`chat/writer`), so a gap seen here was lost on the way and is read back.
//! Bounded by: `EARLY_EVENTS_MAX` held per chat; beyond that it forgets them and reads the database.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Instant};

use chrono::Utc;
use entity::{ChatId, Seq, UserId};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    Close, Queue, SharedFrame,
    delivery::{Seat, Telling, new_head},
    memory::{Membership, Memory},
    presence::{News, Roster, Stay},
    round::Round,
    seats::{Seats, Sitting},
    typing::Typists,
    unread::Unread,
};
use crate::chat::{ChatEvent, ChatHead, ConnectionId, Departure, Presence, Profile, What};

/// Events held that came before one that is missing.
const EARLY_EVENTS_MAX: usize = 256;
/// Whose doing a count is: ids begin at 1.
const NOBODY: UserId = UserId(0);

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is where it belongs: delivered, or known already.
    Done,
    /// Something before it is missing: to be read from the database.
    Gap,
}

/// Where a connection that resumes goes on.
pub(super) enum Next {
    /// It stands where the hub stands, and has been seated.
    Live,
    /// It stands there, but its membership may have ended, or has.
    NotSeated(Membership),
    /// These come next.
    Events(Vec<Arc<ChatEvent>>),
    /// The hub doesn't remember: to be read from the database.
    Unknown,
}

/// A chat on this node.
#[derive(Debug)]
pub struct Hub {
    chat: ChatId,
    state: Mutex<State>,
    /// Whether it was looked up who is here by other nodes.
    looked: OnceCell<()>,
}

#[derive(Debug)]
struct State {
    head: Option<Arc<ChatHead>>,
    /// The last number that was delivered; none until the first connection has read where the chat stands.
    delivered: Option<Seq>,
    early: BTreeMap<Seq, Arc<ChatEvent>>,
    seats: Seats,
    memory: Memory,
    typists: Typists,
    roster: Roster,
    /// At which number somebody was found to be a member, while that isn't delivered: what ended a membership of theirs
    /// before is history, and nothing of theirs here ends with it. Empty while the hub isn't behind.
    found: BTreeMap<UserId, Seq>,
    repairing: bool,
    joined: bool,
}

impl Hub {
    /// A chat that nobody is in; lists name at most `named_max` of those who come.
    pub(super) fn new(chat: ChatId, named_max: usize) -> Self {
        let state = State {
            head: None,
            delivered: None,
            early: BTreeMap::new(),
            seats: Seats::new(),
            memory: Memory::default(),
            typists: Typists::default(),
            roster: Roster::new(named_max),
            found: BTreeMap::new(),
            repairing: false,
            joined: false,
        };
        Hub {
            chat,
            state: Mutex::new(state),
            looked: OnceCell::new(),
        }
    }

    /// Which chat.
    pub fn chat(&self) -> ChatId {
        self.chat
    }

    /// The last number that was delivered.
    pub fn delivered(&self) -> Option<Seq> {
        self.state.lock().delivered
    }

    /// What is the same for every member, as last told; none before somebody has entered.
    pub fn head(&self) -> Option<Arc<ChatHead>> {
        self.state.lock().head.clone()
    }

    /// Begins at `last_seq`, unless it has begun: what came meanwhile follows.
    pub(super) fn begin(&self, head: &Arc<ChatHead>, last_seq: Seq) -> Delivery {
        let mut round = Round::default();
        let mut state = self.state.lock();
        if state.delivered.is_some() {
            return Delivery::Done;
        }
        state.head = Some(head.clone());
        state.delivered = Some(last_seq);
        let mut burst = Vec::new();
        state.catch_up(&mut burst);
        state.seats.tell(&mut burst, &mut round);
        state.delivery()
    }

    /// Somebody was found to be a member at a number. Told before they are present or sit here: the hub may be behind,
    /// and hear only then that they left, and came again.
    pub(super) fn finds_member(&self, user: UserId, at: Seq) {
        self.state.lock().finds_member(user, at);
    }

    /// Takes events: numbered ones in order, once; others at once.
    pub(super) fn deliver(&self, events: &[Arc<ChatEvent>]) -> Delivery {
        self.deliver_in(&mut Round::default(), events)
    }

    /// The same, written with a round that other chats may share.
    pub(super) fn deliver_in(&self, round: &mut Round, events: &[Arc<ChatEvent>]) -> Delivery {
        let mut state = self.state.lock();
        let mut burst = Vec::with_capacity(events.len());
        let mut is_early = false;
        for event in events {
            is_early |= state.take(event, &mut burst);
        }
        state.seats.tell(&mut burst, round);
        if is_early {
            state.delivery()
        } else {
            Delivery::Done
        }
    }

    /// Seats a connection where the hub stands, if its membership, which was read at `checked_at`, holds still.
    /// `greet` tells it the number from which on it hears everything; its frame goes before them.
    pub(super) fn seat(
        &self,
        seat: &Seat,
        checked_at: Seq,
        greet: impl FnOnce(Seq) -> Option<SharedFrame>,
    ) -> Membership {
        let mut state = self.state.lock();
        let membership = state.membership(seat, checked_at);
        if membership == Membership::Holds {
            let after = state.delivered.unwrap_or_default();
            state.seats.add(seat.clone(), after, greet(after));
        }
        membership
    }

    /// Seats a connection that follows all chats of its user, unless it hears the chat already: it hears `frames` first, then what it `missed` up to
    /// `since`, then what the hub remembers.
    pub(super) fn follow(
        &self,
        sitting: &Sitting,
        since: Seq,
        checked_at: Seq,
        missed: &mut Vec<Telling>,
        frames: &mut Vec<SharedFrame>,
    ) -> Next {
        let mut state = self.state.lock();
        if state.seats.hears(sitting.seat.connection) {
            return Next::Live;
        }
        if state.delivered > Some(since) {
            let Some(after) = state.memory.since(since) else {
                return Next::Unknown;
            };
            let after = after.filter_map(|event| state.telling(event));
            missed.extend(after.map(|telling| telling.history_up_to(checked_at)));
        }
        let membership = state.membership(&sitting.seat, checked_at);
        if membership != Membership::Holds {
            return Next::NotSeated(membership);
        }
        match state.seats.follow(sitting.clone(), missed, frames) {
            true => Next::Live,
            false => Next::NotSeated(Membership::Unknown),
        }
    }

    /// What a follower's user hasn't read, once after each time that it was reported to have changed.
    pub(super) fn take_unread(&self, connection: ConnectionId) -> Option<Unread> {
        let mut state = self.state.lock();
        let delivered = state.delivered.unwrap_or_default();
        state.seats.take_unread(connection, delivered)
    }

    /// What comes after `since` for a connection that resumes; seats it where nothing does.
    pub(super) fn resume(
        &self,
        since: Seq,
        limit: usize,
        seat: &Seat,
        checked_at: Seq,
        greet: impl FnOnce(Seq) -> Option<SharedFrame>,
    ) -> Next {
        let mut state = self.state.lock();
        let Some(delivered) = state.delivered else {
            return Next::Unknown;
        };
        if since >= delivered {
            let membership = state.membership(seat, checked_at);
            if membership != Membership::Holds {
                return Next::NotSeated(membership);
            }
            state.seats.add(seat.clone(), since, greet(since));
            return Next::Live;
        }
        match state.memory.since(since) {
            Some(after) => Next::Events(after.take(limit).cloned().collect()),
            None => Next::Unknown,
        }
    }

    /// Takes a connection's seat away while it catches up: what it types goes on.
    pub(super) fn stand_up(&self, connection: ConnectionId) {
        self.state.lock().seats.leave(connection);
    }

    /// Takes a connection's seat away for good. Who was typing, if that ends with it.
    pub(super) fn leave(&self, connection: ConnectionId) -> Option<Arc<Profile>> {
        let mut state = self.state.lock();
        state.seats.leave(connection);
        state.typists.leave(connection)
    }

    /// Whether a connection hears the chat: not while it resumes, nor once its membership has ended.
    pub(super) fn is_seated(&self, connection: ConnectionId) -> bool {
        self.state.lock().seats.holds(connection)
    }

    /// Whether somebody's typing is news.
    pub(super) fn types(
        &self,
        connection: ConnectionId,
        user: &Arc<Profile>,
        is_typing: bool,
    ) -> bool {
        self.state
            .lock()
            .typists
            .types(connection, user, is_typing, Instant::now())
    }

    /// Who has typed for too long.
    pub(super) fn tired_typists(&self, now: Instant) -> Vec<Arc<Profile>> {
        self.state.lock().typists.tired(now)
    }

    /// Who is in the chat, as far as lists name them, with somebody who is about to come.
    pub fn presence_with(&self, user: &Arc<Profile>) -> Presence {
        self.state.lock().roster.presence_with(user)
    }

    /// A connection of a user came. What the chat was told of it, if anything.
    pub(super) fn enter(
        &self,
        user: &Arc<Profile>,
        connection: ConnectionId,
    ) -> (Stay, Option<Arc<ChatEvent>>) {
        let mut round = Round::default();
        let mut state = self.state.lock();
        let (stay, is_news) = state.roster.enter(user);
        let told = is_news.then(|| {
            let what = What::Entered(user.clone());
            let event = ChatEvent {
                origin: Some(connection),
                ..passing(self.chat, user.id, what)
            };
            state.tell_now(&mut round, event)
        });
        (stay, told)
    }

    /// A connection of a user went. What the chat was told of it, if anything.
    pub(super) fn go(
        &self,
        user: &Arc<Profile>,
        stay: Stay,
        how: Departure,
    ) -> Option<Arc<ChatEvent>> {
        let mut round = Round::default();
        let mut state = self.state.lock();
        let is_news = state.roster.leave(user.id, stay);
        is_news.then(|| state.tell_now(&mut round, gone(self.chat, user, how)))
    }

    /// Does something with who is here, and tells what is news of it.
    pub(super) fn with_roster<T>(&self, change: impl FnOnce(&mut Roster) -> (T, Vec<News>)) -> T {
        let mut round = Round::default();
        let mut state = self.state.lock();
        let (done, news) = change(&mut state.roster);
        let mut burst = Vec::with_capacity(news.len());
        for news in news {
            let event = match news {
                News::Came(user) => passing(self.chat, user.id, What::Entered(user)),
                News::Went(user, how) => gone(self.chat, &user, how),
            };
            state.tell(&Arc::new(event), &mut burst);
        }
        state.seats.tell(&mut burst, &mut round);
        done
    }

    /// Waits for the first look at who is here by other nodes: whoever comes first takes it, and the others wait for it.
    pub(super) async fn first_look<E>(
        &self,
        look: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        self.looked.get_or_try_init(|| look).await?;
        Ok(())
    }

    /// Answers a connection with who is here. Under the lock, so that no coming or going is told between.
    pub(super) fn show_presence(
        &self,
        queue: &Queue,
        frame: impl FnOnce(&Presence) -> Option<SharedFrame>,
    ) -> Result<(), Close> {
        let state = self.state.lock();
        frame(&state.roster.presence()).map_or(Ok(()), |frame| queue.answer(frame))
    }

    /// The same among what the connection is pushed.
    pub(super) fn push_presence(
        &self,
        queue: &Queue,
        frame: impl FnOnce(&Presence) -> SharedFrame,
    ) {
        let state = self.state.lock();
        queue.push(frame(&state.roster.presence()).ephemeral());
    }

    /// Tells of comings and goings that weren't told one by one, where that is due.
    pub(super) fn tell_presence(&self, now: Instant) {
        let mut round = Round::default();
        let mut state = self.state.lock();
        let Some(presence) = state.roster.due(now) else {
            return;
        };
        let event = passing(self.chat, NOBODY, What::Presence(presence));
        state.tell_now(&mut round, event);
    }

    /// Whether nobody repairs it yet; whoever is told so does.
    pub(super) fn begin_repair(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().repairing, true)
    }

    /// The repair is over; whether something is missing still.
    pub(super) fn end_repair(&self) -> Delivery {
        let mut state = self.state.lock();
        state.repairing = false;
        state.delivery()
    }

    /// Whether it is to join its group of the channel layer.
    pub(super) fn wants_to_join(&self) -> bool {
        !self.state.lock().joined
    }

    /// It was asked to join its group.
    pub(super) fn set_joined(&self, joined: bool) {
        self.state.lock().joined = joined;
    }

    /// Whether nobody has sat here since a moment.
    pub(super) fn is_empty_since(&self, before: Instant) -> bool {
        self.state.lock().seats.are_empty_since(before)
    }
}

impl State {
    /// Whether something is missing before what came early.
    fn delivery(&self) -> Delivery {
        if self.early.is_empty() || self.delivered.is_none() {
            Delivery::Done
        } else {
            Delivery::Gap
        }
    }

    fn finds_member(&mut self, user: UserId, at: Seq) {
        if self.delivered < Some(at) {
            let found_at = self.found.entry(user).or_insert(at);
            *found_at = at.max(*found_at);
        }
    }

    /// Whether a membership that was read at `checked_at` was ended by what was delivered since.
    fn membership(&mut self, seat: &Seat, checked_at: Seq) -> Membership {
        if self.delivered <= Some(checked_at) {
            self.finds_member(seat.user, checked_at);
            return Membership::Holds;
        }
        self.memory.membership(seat, checked_at)
    }

    /// Puts an event where it belongs, into the burst where it is next; whether it came early.
    fn take(&mut self, event: &Arc<ChatEvent>, burst: &mut Vec<Telling>) -> bool {
        let Some(seq) = event.seq else {
            // Who is here is for the roster to know: other nodes' comings and goings are heard by notes.
            if !event.is_presence() {
                self.tell(event, burst);
            }
            return false;
        };
        match self.delivered {
            Some(delivered) if seq <= delivered => return false,
            Some(delivered) if seq == delivered.next() => {
                self.pass(event, burst);
                self.catch_up(burst);
                return false;
            }
            _ => {}
        }
        if self.early.len() >= EARLY_EVENTS_MAX {
            // The newest is kept: it tells that something is missing.
            let newest = self.early.pop_last();
            self.early = newest.into_iter().collect();
        }
        self.early.insert(seq, event.clone());
        true
    }

    /// Delivers what had come early and now follows.
    fn catch_up(&mut self, burst: &mut Vec<Telling>) {
        while let Some(delivered) = self.delivered {
            let Some(entry) = self.early.first_entry() else {
                return;
            };
            if *entry.key() > delivered.next() {
                return;
            }
            let event = entry.remove();
            if event.seq > Some(delivered) {
                self.pass(&event, burst);
            }
        }
    }

    /// Delivers the next number.
    fn pass(&mut self, event: &Arc<ChatEvent>, burst: &mut Vec<Telling>) {
        self.delivered = event.seq;
        if let Some(head) = new_head(event) {
            self.head = Some(head);
        }
        let left = match &event.what {
            What::MemberLeft { user, .. } => Some(user),
            _ => None,
        };
        let found_at = left.and_then(|user| self.found.get(&user.id));
        let found_at = found_at.copied().unwrap_or_default();
        let telling = self.telling(event);
        burst.extend(telling.map(|telling| telling.history_up_to(found_at)));
        self.memory.push(event);
        if let Some(user) = left
            && event.seq > Some(found_at)
            && self.roster.end(user.id)
        {
            // They are not there any more, whatever becomes of their connections.
            let gone = Arc::new(gone(event.chat, user, Departure::Asked));
            self.tell(&gone, burst);
        }
        self.found.retain(|_, at| event.seq < Some(*at));
    }

    /// Tells everybody who sits here something that takes no number.
    fn tell_now(&mut self, round: &mut Round, event: ChatEvent) -> Arc<ChatEvent> {
        let event = Arc::new(event);
        let mut burst = Vec::with_capacity(1);
        self.tell(&event, &mut burst);
        self.seats.tell(&mut burst, round);
        event
    }

    /// Puts an event into the burst.
    fn tell(&self, event: &Arc<ChatEvent>, burst: &mut Vec<Telling>) {
        burst.extend(self.telling(event));
    }

    /// An event with the head that it is to be told with.
    fn telling(&self, event: &Arc<ChatEvent>) -> Option<Telling> {
        let head = self.head.as_ref()?;
        Some(Telling::new(head.clone(), event.clone()))
    }
}

/// Something that takes no number.
pub(super) fn passing(chat: ChatId, by: UserId, what: What) -> ChatEvent {
    ChatEvent {
        chat,
        seq: None,
        by,
        origin: None,
        what,
    }
}

/// A user isn't in the chat any more.
fn gone(chat: ChatId, user: &Arc<Profile>, how: Departure) -> ChatEvent {
    let what = What::Left {
        user: user.clone(),
        how,
        at: Utc::now(),
    };
    passing(chat, user.id, what)
}
