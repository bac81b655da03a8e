//! Opaque tokens: sign-ins of the dialects whose clients keep one token for long and send it in their frames.
//!
//! A token is computed from its session's row, so that nothing stored can be used to sign in, and is good as long as
//! the session lives, which its use prolongs.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use entity::{SessionId, SessionKind, UserId, session};

use super::sessions::{SignedIn, unavailable};
use crate::{
    auth::{OpaqueTokens, Secret},
    chat::{Account, Actor, AuthError, ChatError, Sessions, SignIn, SignInError},
    store::Beside,
};

/// How long rpc's tokens live after their last use.
const RPC_LIFETIME: Duration = Duration::from_secs(5 * 24 * 3600);
/// How often a session's use is written down.
const EXTEND_EVERY: TimeDelta = TimeDelta::hours(1);

/// Whose clients a token is for. One of the other's is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueKind {
    /// One at a time: signing in again gives the same token while it is good.
    Support,
    /// One per sign-in, and only so many.
    Rpc,
}

impl OpaqueKind {
    fn session_kind(self) -> SessionKind {
        match self {
            OpaqueKind::Support => SessionKind::Support,
            OpaqueKind::Rpc => SessionKind::Rpc,
        }
    }
}

/// What opaque tokens are signed and verified with, by their kind.
#[derive(Clone)]
pub struct OpaqueKeys {
    support: OpaqueTokens,
    rpc: OpaqueTokens,
}

impl OpaqueKeys {
    /// Those that hang on `secret`. What was signed with a previous one is taken as well.
    pub fn new(secret: &Secret, previous: &[Secret]) -> Self {
        OpaqueKeys {
            support: OpaqueTokens::new(secret, previous, "support"),
            rpc: OpaqueTokens::new(secret, previous, "rpc"),
        }
    }

    fn of(&self, kind: OpaqueKind) -> &OpaqueTokens {
        match kind {
            OpaqueKind::Support => &self.support,
            OpaqueKind::Rpc => &self.rpc,
        }
    }
}

/// A sign-in by opaque token.
#[derive(Clone)]
pub struct OpaqueSession {
    /// What its owner shows from now on.
    pub token: String,
    /// Who signed in.
    pub user: UserId,
}

impl std::fmt::Debug for OpaqueSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = &self.user;
        f.debug_struct("OpaqueSession")
            .field("user", user)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Signs in with a name and a password, counted by the same throttle as every other door. Support's token stays
    /// the same while it is good; rpc gives one per sign-in, or refuses with [`SignInError::TooManySessions`].
    pub async fn sign_in_opaque(
        &self,
        kind: OpaqueKind,
        sign_in: SignIn,
    ) -> Result<OpaqueSession, SignInError> {
        let beside = match kind {
            OpaqueKind::Support => Beside::TheSame,
            OpaqueKind::Rpc => match self.rules.rpc_sessions_max {
                0 => Beside::Others,
                most => Beside::AtMost(most.into()),
            },
        };
        let session = self.begin(kind.session_kind(), beside, sign_in).await?;
        Ok(self.opaque(kind, &session))
    }

    /// Signs in whoever was just registered.
    pub async fn begin_opaque(
        &self,
        kind: OpaqueKind,
        account: &Account,
        client: &str,
    ) -> Result<OpaqueSession, ChatError> {
        let session = self.new_session(kind.session_kind(), account.profile.id, client);
        let opaque = self.opaque(kind, &session);
        self.core.store.insert_session(session).await?;
        Ok(opaque)
    }

    /// Who an opaque token says that it is. Asks the database for its session and user, so whoever shows one with
    /// every request remembers the actor and asks [`renew`](Self::renew) for some seconds.
    pub async fn authenticate_opaque(
        &self,
        kind: OpaqueKind,
        token: &str,
    ) -> Result<Actor, AuthError> {
        let id = self.means.opaque.of(kind).verify(token);
        let id = SessionId(id.ok_or(AuthError::Invalid)?.to_owned());
        let store = &self.core.store;
        let row = store.find_session(&id).await.map_err(unavailable)?;
        let row = row.filter(|row| row.kind == kind.session_kind() && row.revoked_at.is_none());
        let row = row.ok_or(AuthError::Invalid)?;
        let now = Utc::now();
        if row.expires_at <= now {
            return Err(AuthError::Expired);
        }
        let user = self.core.accounts(&[row.user_id]).await;
        let user = user.map_err(unavailable)?;
        for user in user {
            self.core.people.put(user);
        }
        let signed_in = SignedIn {
            user: row.user_id,
            session: Some(id),
            issued_at: Some(row.created_at),
            expires_at: row.expires_at,
        };
        let actor = self.admit(signed_in).await?;
        if now - row.last_used_at >= EXTEND_EVERY {
            let until = now + self.lifetime(row.kind);
            let extended = store.extend_session(&row.id, now, until).await;
            extended.map_err(unavailable)?;
        }
        Ok(actor)
    }

    pub(super) fn lifetime(&self, kind: SessionKind) -> Duration {
        match kind {
            SessionKind::Jwt | SessionKind::Support => self.rules.refresh_lifetime,
            SessionKind::Rpc => RPC_LIFETIME,
        }
    }

    fn opaque(&self, kind: OpaqueKind, session: &session::Model) -> OpaqueSession {
        OpaqueSession {
            token: self.means.opaque.of(kind).sign(&session.id.0),
            user: session.user_id,
        }
    }
}

#[cfg(test)]
mod tests;
