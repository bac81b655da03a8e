//! What serves one connection: a dialect writes a `Consumer`, the machinery drives it.
//!
//! Not here: frames on the wire (`socket`), sign-in by handshake (`signin`), the dialects.
//! Bounded by: the frames that a connection may send in a second, the errors that it may cause, and
//! one frame at a time: the next isn't read before this one is served and its answers are written.
//! Only what is answered `later` lets others follow, `LATER_MAX` at most.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use entity::{ChatId, SessionId, Time, UserId};
use tracing::{debug, info};

use super::{
    Sockets, close,
    pace::{Bucket, Window},
    registry::{Entry, Registry},
    signin::{Credential, Handshake, SignInRefused},
    single::{Single, Singles},
};
use crate::{
    chat::{Actor, AuthError, ConnectionId},
    hub::{Close, Queue, SharedFrame},
    metrics,
};

/// Errors in this time, and no more, are forgiven.
const VIOLATIONS_SPAN: Duration = Duration::from_secs(10);
/// The error that makes this number closes the connection.
const VIOLATIONS_MAX: u32 = 20;
/// A token without a session of ours: nobody can revoke it, so it is asked for again after a day.
const SESSIONLESS_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// An access token doesn't tell when its session ends: so long after a sign-in by one that is asked for.
const SESSION_ASKED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Who can't be told whether a session lives asks again.
const SESSION_ASKED_AGAIN: Duration = Duration::from_secs(60);

/// Frames of a connection whose answers are still to come.
const LATER_MAX: usize = 64;

/// What a frame is answered with in the end.
#[derive(Debug)]
pub enum Reply {
    /// Nothing: its sender learns of it as everyone does.
    Silence,
    /// This.
    Answer(SharedFrame),
    /// This error, for which the client is to blame.
    Error(SharedFrame),
    /// This, where one more frame is within the connection's pace; else that error.
    Paced {
        /// The answer.
        answer: SharedFrame,
        /// The error.
        refusal: SharedFrame,
    },
}

/// How long a sign-in may keep a socket open.
enum Life {
    /// So long.
    Bounded(Duration),
    /// As long as its session, which is asked for after this time: its use may have prolonged it.
    Session(Duration),
}

type Later = Pin<Box<dyn Future<Output = Reply> + Send + Sync>>;

/// What stands behind the consumers: who somebody is, and whatever their operations need.
pub trait World: Send + Sync + 'static {
    /// Who a token or ticket says that somebody is. Called once per sign-in; a ticket is used up.
    fn authenticate(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Actor, AuthError>> + Send;

    /// The same person as they are now, or why their sign-in has ended. Called once a connection
    /// can be found by those who end sign-ins: what ended before that is seen here.
    fn renew(&self, actor: &Actor) -> impl Future<Output = Result<Actor, AuthError>> + Send;

    /// Until when a session lives, as of now, or that it has ended. Called when it was to end by what was known, at the
    /// latest a day after the sign-in; then again.
    fn lives_until(
        &self,
        session: &SessionId,
    ) -> impl Future<Output = Result<Time, AuthError>> + Send;
}

/// Serves one connection. It exists while the connection is served: `connect` makes it,
/// `disconnect` takes it, once, however the connection ended (also after a panic of its own).
///
/// Its methods are called one at a time, by one task. While one runs, what the hub pushes goes on
/// being written, and answers too. Nothing that the hub pushed is written before `connect` has
/// come back; what `connect` sent is written before it.
pub trait Consumer: Sized + Send + 'static {
    /// What it works on.
    type World: World;
    /// The dialect's name, for logs.
    const NAME: &'static str;
    /// What it says when a sign-in is missing in time, or ends.
    const SIGNED_OUT: Close = close::NOT_SIGNED_IN;

    /// Lets somebody in, or tells why not: the handshake is done, so that a browser sees the code.
    fn connect(
        cx: &mut Connection<Self::World>,
        handshake: &Handshake,
    ) -> impl Future<Output = Result<Self, Close>> + Send;

    /// Whom it acts as, where it remembers that from one frame to the next. The machinery keeps it up to date: after a
    /// change of the account, the next frame is served for them as they are then.
    fn actor(&mut self) -> Option<&mut Actor>;

    /// Serves a text frame. An error ends the connection, after what was sent before it.
    ///
    /// Its future is made anew for each frame: what it seldom waits for, and is large, stands in a box of its own.
    fn receive(
        &mut self,
        cx: &mut Connection<Self::World>,
        frame: &str,
    ) -> impl Future<Output = Result<(), Close>> + Send;

    /// The connection is closed, or closing: frames go nowhere now.
    fn disconnect(
        self,
        cx: &mut Connection<Self::World>,
        close: &Close,
    ) -> impl Future<Output = ()> + Send;
}

/// A connection, as its consumer sees it.
pub struct Connection<W> {
    sockets: Arc<Sockets<W>>,
    entry: Arc<Entry>,
    frames: Bucket,
    violations: Window,
    history: Window,
    /// What is answered later, in the order of the frames.
    later: VecDeque<Later>,
}

impl<W: World> Connection<W> {
    pub(super) fn new(sockets: Arc<Sockets<W>>, entry: Arc<Entry>) -> Self {
        let limits = &sockets.limits;
        Self {
            frames: Bucket::new(limits.frames_per_second),
            violations: Window::new(VIOLATIONS_MAX - 1, VIOLATIONS_SPAN),
            history: Window::new(limits.history_per_minute, Duration::from_secs(60)),
            later: VecDeque::new(),
            sockets,
            entry,
        }
    }

    /// Its number on this node.
    pub fn id(&self) -> ConnectionId {
        self.entry.id
    }

    /// What all consumers work on.
    pub fn world(&self) -> &Arc<W> {
        &self.sockets.world
    }

    /// Where the hub puts what this connection is owed.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.entry.queue
    }

    /// All connections of the node.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.sockets.registry
    }

    /// Answers this connection alone, outside its queue's bounds. An error: it is closing.
    pub fn send(&self, frame: SharedFrame) -> Result<(), Close> {
        self.entry.queue.answer(frame)
    }

    /// Answers with an error that the client is to blame for. Too many of these in too short a
    /// time end the connection: `unavailable` and faults of ours are sent by `send`.
    pub fn send_error(&mut self, frame: SharedFrame) -> Result<(), Close> {
        self.send(frame)?;
        self.violates()
    }

    /// Sends what a frame is answered with, after the events that came before it.
    pub fn reply(&mut self, reply: Reply) -> Result<(), Close> {
        let (frame, is_error) = match reply {
            Reply::Silence => return Ok(()),
            Reply::Answer(frame) => (frame, false),
            Reply::Error(frame) => (frame, true),
            Reply::Paced { answer, .. } if self.takes_frame() => (answer, false),
            Reply::Paced { refusal, .. } => (refusal, true),
        };
        self.send(frame)?;
        if is_error { self.violates() } else { Ok(()) }
    }

    /// Answers the frame in hand once `reply` is known, after the frames before it. The next frames
    /// are served meanwhile: for sends, of which many share a commit. Dropped when the connection
    /// ends.
    pub fn later(&mut self, reply: impl Future<Output = Reply> + Send + Sync + 'static) {
        self.later.push_back(Box::pin(reply));
    }

    /// Comes back when everything that is answered later has got its answer: for frames that rely
    /// on what was sent before them.
    pub async fn settled(&mut self) -> Result<(), Close> {
        poll_fn(|context| self.poll_later(context)).await
    }

    /// Whether frames wait for an answer that comes later.
    pub(super) fn owes_later(&self) -> bool {
        !self.later.is_empty()
    }

    /// Whether one more frame may be answered later.
    pub(super) fn takes_later(&self) -> bool {
        self.later.len() < LATER_MAX
    }

    /// Answers what can be answered now, in order. Ready: nothing is left, or the connection must end.
    pub(super) fn poll_later(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Close>> {
        while let Some(first) = self.later.front_mut() {
            let Poll::Ready(reply) = first.as_mut().poll(context) else {
                return Poll::Pending;
            };
            self.later.pop_front();
            self.reply(reply)?;
        }
        self.later = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    /// Comes back when all that was sent is written: for histories, which go out as fast as their
    /// client reads.
    pub async fn sent(&self) -> Result<(), Close> {
        self.entry.queue.answered().await
    }

    /// Whether one more frame is within the connection's pace. Which frames count is the
    /// dialect's to say: sends have a limit of their own.
    pub fn takes_frame(&mut self) -> bool {
        let now = self.millis();
        let is_within = self.frames.take(now);
        if !is_within {
            metrics::THROTTLED.of("frame").one();
        }
        is_within
    }

    /// Whether one more page of history is within the connection's pace, or when it will be.
    pub fn takes_history(&mut self) -> Result<(), Duration> {
        let now = self.millis();
        self.history.take(now)
    }

    /// Signs in by what the handshake carried.
    pub async fn sign_in(&mut self, handshake: &Handshake) -> Result<Actor, SignInRefused> {
        match &handshake.credential {
            Some(credential) => self.sign_in_by(credential).await,
            None => Err(SignInRefused::Missing),
        }
    }

    /// Signs in by a token that came some other way, in the place of whoever was signed in here.
    pub async fn sign_in_by(&mut self, credential: &Credential) -> Result<Actor, SignInRefused> {
        let mut actor = match self.world().authenticate(credential).await {
            Ok(actor) => actor,
            Err(error) => return Err(self.refuses(error)),
        };
        actor.connection = Some(self.id());
        self.registry()
            .sign_in(&self.entry, actor.clone())
            .map_err(SignInRefused::Closed)?;
        let actor = match self.world().renew(&actor).await {
            Ok(actor) => actor,
            Err(error) => return Err(self.refuses(error)),
        };
        if self.entry.sits_as_operator() && !actor.is_staff {
            return Err(SignInRefused::Closed(close::NOT_A_MEMBER));
        }
        let (id, user) = (self.id().0, actor.id().0);
        debug!(
            connection = id,
            user, "connection {id}: signed in as user {user}"
        );
        self.lives(match credential {
            // Such a token lives as long as its session.
            Credential::Opaque(..) => Life::Session(time_until(actor.token_expires_at)),
            _ => self.life_of(&actor),
        });
        Ok(actor)
    }

    /// What is wrong with a sign-in is the log's: the client is told no more than that.
    fn refuses(&self, error: AuthError) -> SignInRefused {
        let id = self.id().0;
        info!(connection = id, "connection {id}: sign-in refused, {error}");
        error.into()
    }

    /// Takes the user's place in a chat, where only one connection counts.
    pub(super) async fn claim(
        &self,
        singles: &Arc<Singles>,
        chat: ChatId,
        actor: &Actor,
    ) -> Result<Option<Single>, Close> {
        let now = self.registry().now();
        singles.claim(chat, actor.id(), &self.entry, now).await
    }

    /// Whose connection it is, once somebody has signed in.
    pub fn user(&self) -> Option<UserId> {
        self.entry.user()
    }

    /// By which session, where it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.entry.session()
    }

    /// Nobody is signed in here any more: for dialects whose connections outlive a sign-in.
    pub fn sign_out(&self) {
        self.registry().forget_actor(&self.entry);
    }

    /// From its next frame on the client may send such large ones.
    pub fn takes_frames_of(&self, bytes_max: usize) {
        self.entry.raise_frame_bytes_max(bytes_max);
    }

    /// Somebody who signed in with their handshake, before their dialect let them, is let in: the connection lives as long
    /// as their sign-in.
    pub fn stays_signed_in(&self, actor: &Actor) {
        self.lives(self.life_of(actor));
    }

    /// Without a sign-in by then the connection ends.
    pub fn must_sign_in_within(&self, time: Duration) {
        self.lives(Life::Bounded(time));
    }

    /// The connection is about to sit in somebody else's support chat, as an operator: it ends when its user is none any
    /// more.
    pub async fn sits_as_operator(&self, actor: &Actor) -> Result<(), Close> {
        self.registry().seats_operator(&self.entry, actor.id());
        // What was told before that found nothing to end.
        match self.world().renew(actor).await {
            Ok(actor) if actor.is_staff => Ok(()),
            Ok(_) => Err(close::NOT_A_MEMBER),
            Err(AuthError::Unavailable) => Err(close::UNAVAILABLE),
            Err(_) => Err(self.entry.signed_out),
        }
    }

    /// Whether the account of whoever is signed in has changed since this was last asked.
    pub(super) fn takes_change(&self) -> bool {
        self.entry.takes_change()
    }

    /// Brings somebody up to date. Where their sign-in has ended, the connection does.
    pub(super) async fn renew(&self, actor: &mut Actor) -> Result<(), Close> {
        match self.world().renew(actor).await {
            Ok(now) => *actor = now,
            Err(AuthError::Unavailable) => self.entry.keeps_change(),
            Err(_) => return Err(self.entry.signed_out),
        }
        Ok(())
    }

    /// Asks whether the session lives on by which somebody is signed in. Where it doesn't, the connection ends.
    pub(super) async fn ask_for_session(&self) -> Result<(), Close> {
        self.entry.pulse.set_asks(0);
        let Some(session) = self.session() else {
            return Ok(());
        };
        let left = match self.world().lives_until(&session).await {
            Ok(until) => time_until(until),
            Err(AuthError::Unavailable) => SESSION_ASKED_AGAIN,
            Err(_) => return Err(self.entry.signed_out),
        };
        self.lives(Life::Session(left));
        Ok(())
    }

    /// Of a sign-in by anything but an opaque token.
    fn life_of(&self, actor: &Actor) -> Life {
        if self.sockets.limits.ends_with_token {
            return Life::Bounded(time_until(actor.token_expires_at));
        }
        match &actor.session {
            Some(_) => Life::Session(SESSION_ASKED_AFTER),
            None => Life::Bounded(SESSIONLESS_MAX),
        }
    }

    fn lives(&self, life: Life) {
        let pulse = &self.entry.pulse;
        let (ends, asks) = match life {
            Life::Bounded(time) => (self.sweep_after(time), 0),
            Life::Session(time) => (0, self.sweep_after(time)),
        };
        pulse.set_deadline(ends);
        pulse.set_asks(asks);
    }

    /// The first sweep after so long. One may be due at once: one more, so that nobody is ended early.
    fn sweep_after(&self, time: Duration) -> u32 {
        let ticks = time.as_millis().div_ceil(1000);
        let ticks = ticks.min(u128::from(u32::MAX / 2)) as u32;
        self.registry().now() + ticks + 1
    }

    /// Counts one error of the client's.
    pub(super) fn violates(&mut self) -> Result<(), Close> {
        let now = self.millis();
        let forgiven = self.violations.take(now);
        forgiven.map_err(|_| close::TOO_MANY_VIOLATIONS)
    }

    fn millis(&self) -> u32 {
        self.entry.started.elapsed().as_millis() as u32
    }
}

fn time_until(moment: Time) -> Duration {
    (moment - chrono::Utc::now()).to_std().unwrap_or_default()
}
