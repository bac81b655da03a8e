//! What is said about sign-ins: what somebody brings, what they get, why not.

use std::{net::IpAddr, time::Duration};

use entity::{SessionId, SessionKind, Time};
use tracing::error;

use crate::{
    auth::{Busy, TicketError, TokenError, tokens::KeyError},
    chat::ChatError,
    store::StoreError,
};

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

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        SignInError::Chat(error.into())
    }
}

impl From<Busy> for SignInError {
    fn from(_: Busy) -> Self {
        SignInError::Busy
    }
}

impl From<KeyError> for SignInError {
    fn from(cause: KeyError) -> Self {
        error!("a token could not be signed: {cause}");
        SignInError::Chat(ChatError::Unavailable)
    }
}
