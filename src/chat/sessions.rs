//! Sign-ins: tokens, tickets, revocation.

use std::{net::IpAddr, time::Duration};

use entity::{SessionId, SessionKind, Time, UserId};

use crate::chat::{Actor, ChatError};

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

/// What ended sign-ins: sockets that it touches close with 4001.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// One session.
    Session(SessionId),
    /// All of a user's tokens made before a moment.
    User {
        /// Whose.
        user: UserId,
        /// Before when.
        before: Time,
    },
}

/// Signing in and out.
pub struct Sessions {}

impl Sessions {
    /// Signs in with a password: a new session and its tokens.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<TokenPair, SignInError> {
        let _ = sign_in;
        unimplemented!()
    }

    /// Who an access token says that it is. No query, but where the user isn't in the cache.
    pub async fn authenticate(&self, token: &str) -> Result<Actor, AuthError> {
        let _ = token;
        unimplemented!()
    }

    /// Who a one-time ticket says that it is; uses it up.
    pub async fn redeem(&self, ticket: &str) -> Result<Actor, AuthError> {
        let _ = ticket;
        unimplemented!()
    }

    /// A one-time ticket for the caller's next WebSocket, and how long it is good.
    pub fn ticket(&self, actor: &Actor) -> (String, Duration) {
        let _ = actor;
        unimplemented!()
    }

    /// A new access token, and with rotation a new refresh token.
    pub async fn refresh(&self, refresh: &str) -> Result<(String, Option<String>), AuthError> {
        let _ = refresh;
        unimplemented!()
    }

    /// Whether a token of any type is good.
    pub async fn verify(&self, token: &str) -> Result<(), AuthError> {
        let _ = token;
        unimplemented!()
    }

    /// Ends the session of a refresh token.
    pub async fn blacklist(&self, refresh: &str) -> Result<(), AuthError> {
        let _ = refresh;
        unimplemented!()
    }

    /// The caller's own sign-ins, newest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<SessionListed>, ChatError> {
        let _ = actor;
        unimplemented!()
    }

    /// Signs out elsewhere.
    pub async fn revoke(&self, actor: &Actor, session: &SessionId) -> Result<(), ChatError> {
        let _ = (actor, session);
        unimplemented!()
    }

    /// Learns what ended on other nodes since a moment.
    pub async fn sweep(&self, since: Time) -> Result<(), ChatError> {
        let _ = since;
        unimplemented!()
    }

    /// Changes one's own password: all sessions end, a new one begins.
    pub async fn change_password(
        &self,
        actor: &Actor,
        old: &str,
        new: &str,
        address: Option<IpAddr>,
        client: &str,
    ) -> Result<TokenPair, PasswordError> {
        let _ = (actor, old, new, address, client);
        unimplemented!()
    }
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
