//! A connection that hears all chats of its user: it is seated in each of them, learns of those that the user enters
//! and leaves, and, where its dialect tells it, how much is unread. Of staff who ask for it: in all open support chats.
//!
//! A dialect asks `Hubs::follow`, makes its greeting from what came back, and begins; what it hears from then on comes
//! as from any seat (`Voice`, `Audience`, the queue's bounds). `Following` is dropped with the connection.
//!
//! Relies on: who enters a chat on this node is told by its event; who does elsewhere is found by the sweep, which asks
//! for the memberships begun since. Who leaves one is told by the chat's own numbers.
//! Bounded by: one place per connection and chat of its user. A seat reports each of its endings and stirrings once,
//! and that there is more to read once until it is told.

mod followers;
mod serving;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use entity::{ChatId, Seq};

use self::followers::Follower;
pub use self::followers::{Reports, Waiting};
pub(super) use self::{
    followers::{Followers, Report},
    serving::{run, sweep},
};
use super::{
    Queue, Seated, SharedFrame, Voice,
    delivery::{Telling, new_head},
    hub::{Delivery, Hub, Next},
    hubs::Hubs,
    seats::{Attention, Sitting},
    unread::Tally,
};
use crate::chat::{Actor, ChatError, ChatListed, Followed, FollowedChats, Presence};

/// Events that are read at once for a connection that enters a chat.
const PAGE: u64 = 100;
/// Pages of events that are read for it; then the sweep, or the client, tries again.
const PAGES_MAX: usize = 10;

/// Who wants to hear all their chats.
#[derive(Clone, Debug)]
pub struct Follow {
    /// Whose chats, and which connection (`actor.connection`).
    pub actor: Actor,
    /// The connection's dialect.
    pub voice: Voice,
    /// rpc's Python literals instead of JSON.
    pub in_literals: bool,
    /// Which of its user's chats.
    pub chats: FollowedChats,
    /// Where frames go.
    pub queue: Arc<Queue>,
    /// How it is told of chats that it enters and of what is unread. Without: chats that it enters only begin to be
    /// heard, with everything that was said since.
    pub announce: Option<Announce>,
}

/// A dialect's frames about the list of chats.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// A chat that is new to the list.
    pub added: fn(&ChatListed) -> SharedFrame,
    /// How much is unread in a chat; told at most once a second and chat.
    pub unread: fn(ChatId, u64) -> SharedFrame,
    /// Who is in a chat. With it the connection makes its user present in personal chats and small groups.
    pub presence: fn(ChatId, &Presence) -> SharedFrame,
}

/// A connection that hears all chats of its user. Dropped, it hears nothing more.
#[must_use]
pub struct Following {
    hubs: Arc<Hubs>,
    follower: Arc<Follower>,
}

/// What a connection is about to hear: read, but not yet seated anywhere.
#[must_use]
pub struct Beginning {
    following: Following,
    places: Vec<(Arc<Hub>, Followed)>,
}

impl Following {
    /// The connection's place in a chat: for typing and for replays. None where the user doesn't belong to it, as far
    /// as this node knows.
    pub fn place(&self, chat: ChatId) -> Option<Arc<Seated>> {
        self.follower.place(chat)
    }

    /// Which support chats wait for an answer, as far as this connection was shown it.
    pub fn waiting(&self) -> &Waiting {
        &self.follower.reports.waiting
    }

    /// From now on the connection hears typing and marks of reading: its client knows them.
    pub fn hears_passing(&self) {
        self.follower.reports.hears_passing.store(true, Relaxed);
    }

    /// Seats the connection in a chat that its user has just entered, before the chat's events tell it so.
    pub async fn enter(&self, chat: ChatId) -> Result<(), ChatError> {
        if self.place(chat).is_some_and(|seated| seated.is_live()) {
            return Ok(());
        }
        let domain = self.hubs.domain().ok_or(ChatError::Unavailable)?;
        let hub = self.hubs.find_or_make(chat);
        let pairs = [(&self.follower.follow.actor, chat)];
        for (_, followed) in domain.chats.enter_all(&pairs).await? {
            self.hubs.begin(&hub, &followed);
            let (since, unread) = (followed.entered.last_seq, followed.entered.unread_count);
            let settling = Settling::new(&followed, since, unread);
            // Where it can't be seated now, it is by the event or the sweep.
            self.hubs
                .settle(&self.follower, hub.clone(), settling)
                .await?;
        }
        Ok(())
    }

    /// The place in a chat that the user belongs to, perhaps a new one: a replay seats it.
    pub fn take_place(&self, followed: &Followed) -> Arc<Seated> {
        let chat = followed.entered.head.id;
        if let Some(known) = self.place(chat) {
            return known;
        }
        let hub = self.hubs.find_or_make(chat);
        self.hubs.begin(&hub, followed);
        let seat = self.hubs.followers.seat(&self.follower, followed);
        self.follower.keep(chat, || self.hubs.stand(hub, seat))
    }

    /// Tells who is in a chat, where the connection is present: who came and went during a replay wasn't told.
    pub fn show_presence(&self, chat: ChatId) {
        self.follower.show_presence(chat);
    }

    /// Gives up the place in a chat that the user doesn't belong to any more.
    pub fn forget(&self, chat: ChatId) {
        self.follower.forget(chat);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.hubs.followers.remove(&self.follower);
        self.follower.end();
    }
}

impl Beginning {
    /// The chats that are shown, and how their user stands to them: the connection hears everything after each one's
    /// `entered.last_seq`.
    pub fn chats(&self) -> impl Iterator<Item = &Followed> {
        let all = self.places.iter().map(|(_, followed)| followed);
        all.filter(|followed| !followed.is_quiet)
    }

    /// Which support chats wait for an answer, as far as the greeting shows it: what is heard once it has begun counts
    /// from there on.
    pub fn waiting(&self) -> &Waiting {
        self.following.waiting()
    }

    /// Seats the connection; `greeting` is written before all that it hears.
    pub async fn begin(self, greeting: Option<SharedFrame>) -> Result<Following, ChatError> {
        let Beginning { following, places } = self;
        let follower = &following.follower;
        if let Some(frame) = greeting {
            // Where the connection is ending, its seats are taken away with it.
            let _ = follower.follow.queue.answer(frame);
        }
        for (hub, followed) in places {
            let chat = hub.chat();
            let since = followed.entered.last_seq;
            let unread = followed.entered.unread_count;
            let settling = Settling::new(&followed, since, unread);
            if !following.hubs.settle(follower, hub, settling).await? {
                // It changes too fast to be caught up with, or was left just now. Where it is one of theirs still, it is
                // added as it stands.
                let follow = &follower.follow;
                let farewell = follow.voice.farewell(&followed.entered.head);
                if let Some(frame) = farewell.filter(|_| !followed.is_quiet) {
                    let _ = follow.queue.answer(frame);
                }
                // This connection alone: others of its user may not want it.
                let entered = Report::Stirred(follower.connection, chat);
                following.hubs.followers.report(entered);
            }
        }
        follower.has_begun.store(true, Relaxed);
        Ok(following)
    }
}

/// How a follower is to sit down in a chat.
struct Settling<'a> {
    followed: &'a Followed,
    /// It hears what comes after this number.
    since: Seq,
    /// What its user hasn't read there.
    unread: u64,
    /// What it is told first.
    frames: Vec<SharedFrame>,
}

impl<'a> Settling<'a> {
    fn new(followed: &'a Followed, since: Seq, unread: u64) -> Self {
        Settling {
            followed,
            since,
            unread,
            frames: Vec::new(),
        }
    }
}

impl Hubs {
    /// Reads all chats of a user for a connection that will hear them: three queries, whatever their number.
    pub async fn follow(self: &Arc<Self>, follow: Follow) -> Result<Beginning, ChatError> {
        let domain = self.domain().ok_or(ChatError::Unavailable)?.clone();
        let connection = follow.actor.connection.ok_or(ChatError::Unavailable)?;
        let follower = self.followers.add(follow, connection);
        let following = Following {
            hubs: self.clone(),
            follower: follower.clone(),
        };
        let actor = &follower.follow.actor;
        let chats = domain.chats.followed(actor, follower.follow.chats).await?;
        // First the hubs, then the question where the chats stand: what is committed in between waits in the hubs.
        let hubs: HashMap<ChatId, Arc<Hub>> = chats
            .iter()
            .map(|chat| (*chat, self.find_or_make(*chat)))
            .collect();
        let pairs: Vec<_> = chats.iter().map(|chat| (actor, *chat)).collect();
        let entered = domain.chats.enter_all(&pairs).await?;
        let mut places = Vec::with_capacity(entered.len());
        for (_, followed) in entered {
            if let Some(hub) = hubs.get(&followed.entered.head.id) {
                self.begin(hub, &followed);
                places.push((hub.clone(), followed));
            }
        }
        Ok(Beginning { following, places })
    }

    /// Begins a hub where it hasn't.
    fn begin(&self, hub: &Arc<Hub>, followed: &Followed) {
        let entered = &followed.entered;
        if hub.begin(&entered.head, entered.last_seq) == Delivery::Gap {
            self.repair(hub);
        }
    }

    /// Seats a follower, unless it sits there, so that it hears all that comes after a number. False where that can't be done now, or its
    /// membership has ended: to be read again.
    async fn settle(
        self: &Arc<Self>,
        follower: &Follower,
        hub: Arc<Hub>,
        settling: Settling<'_>,
    ) -> Result<bool, ChatError> {
        let domain = self.domain().ok_or(ChatError::Unavailable)?;
        let Settling {
            followed,
            mut since,
            unread,
            mut frames,
        } = settling;
        let (entered, chat) = (&followed.entered, hub.chat());
        let counts = follower.reports.counts_unread;
        let sitting = Sitting {
            seat: self.followers.seat(follower, followed),
            after: since,
            attention: match followed.is_quiet {
                true => Attention::Quiet,
                false => Attention::Full,
            },
            tally: counts.then(|| Tally::new(unread, entered.last_read_seq)),
        };
        let seat = &sitting.seat;
        hub.finds_member(seat.user, entered.last_seq);
        // Before it is seated: it needn't be told of its own coming.
        let present = follower
            .is_present_in(followed)
            .then(|| self.present(&hub, &follower.follow.actor.user, seat.connection));
        let mut head = entered.head.clone();
        let mut checked_at = entered.last_seq;
        let mut missed = Vec::new();
        for _ in 0..PAGES_MAX {
            match hub.follow(&sitting, since, checked_at, &mut missed, &mut frames) {
                Next::Live => {
                    drop(follower.keep(chat, || self.stand(hub, sitting.seat)));
                    if let Some(present) = present {
                        follower.keep_present(chat, present);
                    }
                    return Ok(true);
                }
                Next::NotSeated(_) => return Ok(false),
                // The hub doesn't remember so much.
                Next::Unknown | Next::Events(_) => {}
            }
            let events = domain.history.events(&entered.head, since, PAGE).await?;
            let Some(last) = events.last().and_then(|event| event.seq) else {
                return Ok(false);
            };
            for event in events {
                head = new_head(&event).unwrap_or(head);
                let mut telling = Telling::new(head.clone(), event).history_up_to(entered.last_seq);
                if telling.end(seat).is_some() {
                    return Ok(false);
                }
                sitting.prepare(&mut telling);
                missed.push(telling);
            }
            since = last;
            checked_at = checked_at.max(last);
        }
        Ok(false)
    }
}
