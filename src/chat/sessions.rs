//! Sign-ins: who a token or a ticket says that it is, the list of one's own sign-ins, their ends, the sweep.
//!
//! Signing in and changing the password stand in `signin.rs`, refresh tokens in `refresh.rs`, the tokens of support and
//! rpc in `opaque.rs`.
//!
//! Relies on: `Revocations` knows each session that ended while a token of its may still be good, and `People` each
//! user as they are, so that a token is checked without a query.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use entity::{SessionId, SessionKind, Time, UserId, session};
use tracing::{debug, error};

use crate::{
    auth::{
        PasswordHasher, TicketError, Tickets, TokenError, TokenKeys, TokenKind,
        tickets::TICKET_LIFETIME,
        tokens::{KeyError, NewToken, new_jti},
    },
    chat::{
        Actor, ChatError, OpaqueKeys, Revoked, Thing,
        core::Core,
        people::Person,
        revoked::{Known, Revocations, is_made_until, number},
        throttle::Throttle,
    },
    store::{StoreError, database_time},
};

/// Sign-ins that a list shows; the newest ones.
const LISTED_MAX: u64 = 1000;
/// How often what has run out is deleted from the tables.
const TIDY_EVERY: TimeDelta = TimeDelta::minutes(5);
/// Sessions that are deleted at once.
const TIDY_AT_ONCE: u64 = 500;
/// A session's row outlives it by this: clocks differ, and the log may be asked about it.
const KEPT_AFTER_EXPIRY: TimeDelta = TimeDelta::days(1);

/// How long sign-ins last.
#[derive(Clone, Copy, Debug)]
pub struct SessionRules {
    /// Of an access token.
    pub access_lifetime: Duration,
    /// Of a refresh token, and so of a session.
    pub refresh_lifetime: Duration,
    /// A refresh token is used up by its use.
    pub rotate: bool,
    /// How far clocks may be apart: a token is taken for so much longer.
    pub leeway: Duration,
    /// Live sign-ins of rpc that a user may have. 0 is no limit.
    pub rpc_sessions_max: u32,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            access_lifetime: Duration::from_secs(15 * 60),
            refresh_lifetime: Duration::from_secs(30 * 24 * 3600),
            rotate: false,
            leeway: Duration::ZERO,
            rpc_sessions_max: 10,
        }
    }
}

/// What tokens, tickets and passwords are made and checked with.
pub struct Means {
    /// Signs and verifies tokens.
    pub keys: TokenKeys,
    /// Signs and verifies tickets.
    pub tickets: Tickets,
    /// Signs and verifies opaque tokens.
    pub opaque: OpaqueKeys,
    /// Checks passwords.
    pub hasher: PasswordHasher,
}

/// A try to sign in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Exact, as Django's.
    pub username: String,
    /// As typed.
    pub password: String,
    /// Where from, for the throttle.
    pub address: Option<IpAddr>,
    /// The user agent, for the list of sessions.
    pub client: String,
}

/// Two tokens of one session.
#[derive(Clone, Debug)]
pub struct TokenPair {
    /// Short-lived.
    pub access: String,
    /// Long-lived.
    pub refresh: String,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignInError {
    /// Unknown user, wrong password or inactive account: which, is never told.
    #[error("no active account with these credentials")]
    NoAccount,
    /// Too many failures for this account or address.
    #[error("too many failed sign-ins, the next in {retry_after:?}")]
    Throttled {
        /// When one more may come.
        retry_after: Duration,
    },
    /// So many sign-ins of this kind live that there may be no more.
    #[error("too many sign-ins at once")]
    TooManySessions,
    /// Too many passwords wait to be hashed.
    #[error("busy")]
    Busy,
    /// The rest.
    #[error(transparent)]
    Chat(#[from] ChatError),
}

/// Why a token isn't taken: each maps to one of simplejwt's bodies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token came.
    #[error("no token")]
    Missing,
    /// Bad signature, wrong algorithm, not a token, revoked session.
    #[error("Token is invalid")]
    Invalid,
    /// `exp` is past.
    #[error("Token is expired")]
    Expired,
    /// A refresh token where an access token is wanted, or the reverse.
    #[error("Token has wrong type")]
    WrongType,
    /// No `jti`, `exp` or `token_type`.
    #[error("{0}")]
    MissingClaim(&'static str),
    /// No `user_id`.
    #[error("Token contained no recognizable user identification")]
    NoUserId,
    /// Refresh or blacklist of a token that is blacklisted.
    #[error("Token is blacklisted")]
    Blacklisted,
    /// The account is gone.
    #[error("User not found")]
    UserNotFound,
    /// The account is deactivated.
    #[error("User is inactive")]
    UserInactive,
    /// The password was changed after the token was made.
    #[error("The user's password has been changed.")]
    PasswordChanged,
    /// The user must be read from the database, which is away.
    #[error("temporarily unavailable")]
    Unavailable,
}

/// A sign-in as its owner sees it in a list.
#[derive(Clone, Debug)]
pub struct SessionListed {
    /// Its id.
    pub id: SessionId,
    /// By which door.
    pub kind: SessionKind,
    /// Since when.
    pub created_at: Time,
    /// Until when.
    pub expires_at: Time,
    /// Written at most once an hour.
    pub last_used_at: Time,
    /// The user agent.
    pub client: String,
    /// It's the caller's own.
    pub is_current: bool,
}

/// Why a password was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PasswordError {
    /// The old one is wrong, throttled, or the rest.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The new one is weak: all reasons, in Django's words.
    #[error("the new password is weak")]
    Weak(Vec<String>),
}

/// Signing in and out.
pub struct Sessions {
    pub(super) core: Arc<Core>,
    pub(super) means: Means,
    pub(super) rules: SessionRules,
    pub(super) revocations: Arc<Revocations>,
    pub(super) throttle: Throttle,
    /// From when on the last sweep that succeeded asked: microseconds since 1970.
    swept_from: AtomicI64,
    /// When what has run out was last deleted: seconds since 1970.
    tidied_at: AtomicI64,
}

impl Sessions {
    pub(crate) fn new(
        core: Arc<Core>,
        means: Means,
        rules: SessionRules,
        revocations: Arc<Revocations>,
    ) -> Self {
        Sessions {
            throttle: Throttle::new("signins", core.limits.signin_failures, &core.common),
            core,
            means,
            rules,
            revocations,
            swept_from: AtomicI64::new(i64::MAX),
            tidied_at: AtomicI64::new(0),
        }
    }

    /// Who an access token says that it is. No query, but where the user isn't in the cache.
    pub async fn authenticate(&self, token: &str) -> Result<Actor, AuthError> {
        self.authenticate_at(token, Utc::now()).await
    }

    pub(super) async fn authenticate_at(&self, token: &str, now: Time) -> Result<Actor, AuthError> {
        let claims = self.means.keys.verify(token, TokenKind::Access, now)?;
        let signed_in = SignedIn {
            user: claims.user_id,
            session: claims.sid.filter(|sid| number(sid).is_some()),
            issued_at: claims.iat.and_then(second),
            expires_at: second(claims.exp).ok_or(AuthError::Invalid)?,
        };
        self.admit(signed_in).await
    }

    /// Who the session cookie of a Django beside us says that it is.
    pub async fn authenticate_cookie(&self, cookie: &str) -> Result<Actor, AuthError> {
        let django = self.core.django.as_ref().ok_or(AuthError::Missing)?;
        let now = Utc::now();
        let found = django.by_cookie(cookie, now).await.map_err(unavailable)?;
        let (row, expires_at) = found.ok_or(AuthError::Invalid)?;
        // It was held against this row's password: what had ended sign-ins by then has not ended this one, and what ends
        // them next does, in the same second too.
        let after = row.tokens_valid_after.map(|at| at + TimeDelta::seconds(1));
        self.admit(SignedIn {
            user: row.id,
            session: None,
            issued_at: Some(after.map_or(now, |after| after.max(now))),
            expires_at,
        })
        .await
    }

    /// Who a one-time ticket says that it is; uses it up.
    pub async fn redeem(&self, ticket: &str) -> Result<Actor, AuthError> {
        self.redeem_at(ticket, Utc::now()).await
    }

    pub(super) async fn redeem_at(&self, ticket: &str, now: Time) -> Result<Actor, AuthError> {
        let ticket = self.means.tickets.verify(ticket, now)?;
        let nonce = ticket.nonce.simple().to_string();
        let is_first = self.core.store.use_ticket(nonce, ticket.expires_at).await;
        if !is_first.map_err(unavailable)? {
            return Err(AuthError::Invalid);
        }
        let signed_in = SignedIn {
            user: ticket.user_id,
            session: ticket.sid,
            // Not before that: what ended sign-ins since has ended this one.
            issued_at: Some(ticket.expires_at - TICKET_LIFETIME),
            expires_at: ticket.token_expires_at,
        };
        self.admit(signed_in).await
    }

    /// A one-time ticket for the caller's next WebSocket, and how long it is good.
    pub fn ticket(&self, actor: &Actor) -> (String, Duration) {
        // In the milliseconds in which a ticket tells its end, so that what is left is whole.
        let now = Utc::now().trunc_subsecs(3);
        let expires_at = actor.token_expires_at;
        let session = actor.session.as_ref();
        let (text, ticket) = self
            .means
            .tickets
            .issue(actor.id(), session, expires_at, now);
        let left = (ticket.expires_at - now).to_std().unwrap_or_default();
        (text, left)
    }

    /// The caller as they are now, or why their sign-in has ended. No query, but where the user isn't in the cache:
    /// what a connection asks once it can be found by those who end sign-ins, and before it uses a right.
    pub async fn renew(&self, actor: &Actor) -> Result<Actor, AuthError> {
        let signed_in = SignedIn {
            user: actor.id(),
            session: actor.session.clone(),
            issued_at: actor.token_issued_at,
            expires_at: actor.token_expires_at,
        };
        let renewed = self.admit(signed_in).await?;
        Ok(Actor {
            connection: actor.connection,
            ..renewed
        })
    }

    /// Whether somebody is staff now. An error: there is no such account that may sign in.
    pub async fn is_staff(&self, user: UserId) -> Result<bool, AuthError> {
        Ok(self.person(user).await?.is_staff)
    }

    /// The caller's own sign-ins, newest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<SessionListed>, ChatError> {
        let now = database_time();
        let store = &self.core.store;
        let rows = store.list_sessions(actor.id(), now, LISTED_MAX).await?;
        Ok(rows
            .into_iter()
            .map(|row| SessionListed {
                is_current: actor.session.as_ref() == Some(&row.id),
                id: row.id,
                kind: row.kind,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                client: row.client,
            })
            .collect())
    }

    /// Signs out elsewhere.
    pub async fn revoke(&self, actor: &Actor, session: &SessionId) -> Result<(), ChatError> {
        if number(session).is_none() {
            return Err(ChatError::NotFound(Thing::Session));
        }
        let row = self.core.store.find_session(session).await?;
        let is_own = |row: &session::Model| {
            row.user_id == actor.id() && row.revoked_at.is_none() && row.expires_at > Utc::now()
        };
        let row = row
            .filter(is_own)
            .ok_or(ChatError::NotFound(Thing::Session))?;
        Ok(self.end_session(&row).await?)
    }

    /// Has every end of a sign-in told to `listener` from now on, as soon as it took effect on this node: its own at
    /// once, other nodes' by the sweep. It must not block.
    pub fn on_revoked(&self, listener: impl Fn(&Revoked) + Send + Sync + 'static) {
        self.revocations.listen(listener);
    }

    /// Has it told to `watcher` from now on that an account has changed, and whether it is an operator's: its own node's
    /// changes at once, other nodes' by the sweep, perhaps more than once. [`renew`](Self::renew) knows it then. It must
    /// not block.
    pub fn on_changed(&self, watcher: impl Fn(UserId, bool) + Send + Sync + 'static) {
        self.revocations.watch(watcher);
    }

    /// Until when a session lives, as of now: its use may prolong it, by whatever connection and node. Or that it has
    /// ended.
    pub async fn lives_until(&self, session: &SessionId) -> Result<Time, AuthError> {
        let row = self.core.store.find_session(session).await;
        let row = row.map_err(unavailable)?.ok_or(AuthError::Invalid)?;
        match row.revoked_at {
            None if row.expires_at > Utc::now() => Ok(row.expires_at),
            None => Err(AuthError::Expired),
            Some(_) => Err(AuthError::Invalid),
        }
    }

    /// What a node must know before it takes its first token: the sessions that ended while tokens of theirs may
    /// still be good.
    pub async fn load(&self) -> Result<(), ChatError> {
        let now = database_time();
        let since = now - self.rules.access_lifetime - self.rules.leeway - Duration::from_secs(60);
        let sessions = self.core.store.sessions_revoked_since(since).await?;
        debug!(
            sessions = sessions.len(),
            "{} sessions ended lately",
            sessions.len()
        );
        self.revocations.learn(sessions, Vec::new(), since, now);
        self.swept_from.store(now.timestamp_micros(), Relaxed);
        Ok(())
    }

    /// Every 2 s: what other nodes ended and changed since a moment, or since the last sweep that succeeded, takes
    /// effect here, and is told once. Now and then deletes what has run out.
    pub async fn sweep(&self, since: Time) -> Result<(), ChatError> {
        let store = &self.core.store;
        let begun_at = since.timestamp_micros();
        let missed = DateTime::from_timestamp_micros(self.swept_from.load(Relaxed));
        let since = missed.map_or(since, |missed| since.min(missed));
        let sessions = store.sessions_revoked_since(since).await?;
        let users = store.users_changed_since(since).await?;
        let now = database_time();
        self.revocations.learn(sessions, users, since, now);
        self.swept_from.store(begun_at, Relaxed);
        self.tidy(now).await
    }

    async fn tidy(&self, now: Time) -> Result<(), ChatError> {
        let next = self.tidied_at.load(Relaxed) + TIDY_EVERY.num_seconds();
        if now.timestamp() < next {
            return Ok(());
        }
        self.tidied_at.store(now.timestamp(), Relaxed);
        let store = &self.core.store;
        store
            .delete_used_tickets(now - TimeDelta::minutes(1))
            .await?;
        let before = now - KEPT_AFTER_EXPIRY - self.rules.access_lifetime;
        while store.delete_expired_sessions(before, TIDY_AT_ONCE).await? == TIDY_AT_ONCE {}
        Ok(())
    }

    /// The account that a token names, if it may be used.
    pub(super) async fn person(&self, user: UserId) -> Result<Person, AuthError> {
        if let Some(django) = &self.core.django {
            Box::pin(django.refresh(&[user]))
                .await
                .map_err(unavailable)?;
        }
        let person = self.core.people.find(user).await.map_err(unavailable)?;
        match person {
            Some(person) if person.is_active => Ok(person),
            Some(person) if !person.is_deleted => Err(AuthError::UserInactive),
            _ => Err(AuthError::UserNotFound),
        }
    }

    pub(super) async fn admit(&self, signed_in: SignedIn) -> Result<Actor, AuthError> {
        let person = self.person(signed_in.user).await?;
        let issued_at = signed_in.issued_at;
        match &signed_in.session {
            Some(session) => self.check_session(session, issued_at, &person).await?,
            None => check_age(issued_at, &person)?,
        }
        Ok(Actor {
            user: person.profile,
            is_staff: person.is_staff,
            session: signed_in.session,
            token_expires_at: signed_in.expires_at,
            token_issued_at: issued_at,
            connection: None,
        })
    }

    async fn check_session(
        &self,
        session: &SessionId,
        issued_at: Option<Time>,
        person: &Person,
    ) -> Result<(), AuthError> {
        let has_ended = match self.revocations.look_up(session, issued_at) {
            Known::Lives => false,
            Known::Ended => true,
            Known::Forgotten => {
                let row = Box::pin(self.core.store.find_session(session)).await;
                let row = row.map_err(unavailable)?;
                row.is_some_and(|row| row.revoked_at.is_some())
            }
        };
        // The session that begins with a new password begins in the second in which all others ended. Of that second
        // their ends alone tell.
        let is_older = issued_at
            .zip(person.tokens_valid_after)
            .is_some_and(|(at, valid_after)| at.timestamp() < valid_after.timestamp());
        match has_ended || is_older {
            true => Err(AuthError::Invalid),
            false => Ok(()),
        }
    }

    /// Ends a session, here at once. Once more does nothing.
    pub(super) async fn end_session(&self, row: &session::Model) -> Result<(), StoreError> {
        let now = database_time();
        self.core.store.revoke_session(&row.id, now).await?;
        self.revocations.end_session(&row.id, row.user_id, now);
        Ok(())
    }

    pub(super) fn access_token(
        &self,
        user: UserId,
        session: &SessionId,
        now: Time,
    ) -> Result<String, KeyError> {
        self.means.keys.sign_access(&NewToken {
            user_id: user,
            sid: Some(session),
            jti: &new_jti(),
            issued_at: now,
            lifetime: self.rules.access_lifetime,
        })
    }
}

/// What a token or ticket says.
pub(super) struct SignedIn {
    pub(super) user: UserId,
    pub(super) session: Option<SessionId>,
    pub(super) issued_at: Option<Time>,
    pub(super) expires_at: Time,
}

/// A token without a session of ours must be younger than what ended all of its user's. In that very second nothing
/// tells them apart, so it is refused.
pub(super) fn check_age(issued_at: Option<Time>, person: &Person) -> Result<(), AuthError> {
    match person.tokens_valid_after {
        Some(moment) if is_made_until(issued_at, moment) => Err(AuthError::PasswordChanged),
        _ => Ok(()),
    }
}

pub(super) fn second(seconds: i64) -> Option<Time> {
    DateTime::from_timestamp(seconds, 0)
}

pub(super) fn unavailable(cause: StoreError) -> AuthError {
    error!("a token could not be checked: {cause}");
    AuthError::Unavailable
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => AuthError::Invalid,
            TokenError::Expired => AuthError::Expired,
            TokenError::NoExpiry => AuthError::MissingClaim("Token has no 'exp' claim"),
            TokenError::NoId => AuthError::MissingClaim("Token has no id"),
            TokenError::NoType => AuthError::MissingClaim("Token has no type"),
            TokenError::WrongType => AuthError::WrongType,
            TokenError::NoUser => AuthError::NoUserId,
        }
    }
}

impl From<TicketError> for AuthError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Invalid => AuthError::Invalid,
            TicketError::Expired => AuthError::Expired,
        }
    }
}

impl From<KeyError> for AuthError {
    fn from(cause: KeyError) -> Self {
        error!("a token could not be signed: {cause}");
        AuthError::Unavailable
    }
}

#[cfg(test)]
mod tests;
