//! Refresh tokens: what they are exchanged for, their succession, and how they end.
//!
//! With rotation each token is used up by its use. Its successor is computed from the session's row, so a client whose
//! answer was lost, or whose tabs refresh at once, gets the same one again for `GRACE`. After that a used token can
//! only be somebody's copy, and the session ends.

use chrono::{TimeDelta, Utc};
use entity::{SessionId, SessionKind, Time, session};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::sessions::{check_age, second, unavailable};
use crate::{
    auth::{Claims, TokenKind, tokens::new_jti},
    chat::{
        AuthError, Sessions,
        revoked::{Known, number},
    },
    store::{BlacklistedToken, Rotation},
};

/// How long a used token is answered with its successor.
const GRACE: TimeDelta = TimeDelta::seconds(30);
/// How often a session's use is written down.
const TOUCH_EVERY: TimeDelta = TimeDelta::hours(1);
/// Others may rotate the same token; each time one of them has won.
const TRIES: usize = 4;
/// Hexadecimal digits of our sessions' and tokens' ids.
const ID_CHARS: usize = 32;

/// Which of its session's refresh tokens one is.
#[derive(Debug, PartialEq, Eq)]
enum Generation {
    Present,
    /// Its successor was given out a moment ago.
    Previous,
    UsedUp,
}

impl Sessions {
    /// A new access token, and with rotation a new refresh token.
    pub async fn refresh(&self, refresh: &str) -> Result<(String, Option<String>), AuthError> {
        self.refresh_at(refresh, Utc::now()).await
    }

    pub(super) async fn refresh_at(
        &self,
        refresh: &str,
        now: Time,
    ) -> Result<(String, Option<String>), AuthError> {
        let claims = self.means.keys.verify(refresh, TokenKind::Refresh, now)?;
        self.is_not_blacklisted(&claims).await?;
        let person = self.person(claims.user_id).await?;
        if claims.sid.is_none() {
            check_age(claims.iat.and_then(second), &person)?;
        }
        for _ in 0..TRIES {
            let row = self.session_of(&claims, now).await?;
            let successor = match generation(&row, &claims.jti, now) {
                Generation::Present if !self.rules.rotate => {
                    self.touch(&row, now).await?;
                    None
                }
                Generation::Present => match self.rotate(row.clone(), now).await? {
                    None => continue,
                    successor => successor,
                },
                Generation::Previous => {
                    Some(self.refresh_token(&row, row.rotated_at.unwrap_or(now))?)
                }
                Generation::UsedUp => return Err(self.end_reused(&row).await),
            };
            let access = self.access_token(row.user_id, &row.id, now)?;
            return Ok((access, successor));
        }
        Err(AuthError::Unavailable)
    }

    /// Whether a token of any type is good. As in simplejwt, a refresh token that was blacklisted is only told from
    /// others where tokens rotate.
    pub async fn verify(&self, token: &str) -> Result<(), AuthError> {
        let now = Utc::now();
        let keys = &self.means.keys;
        let claims = keys.verify_untyped(token, now)?;
        match keys.verify(token, TokenKind::Refresh, now) {
            Ok(refresh) if self.rules.rotate => {
                self.is_not_blacklisted(&refresh).await?;
                let row = self.session_of(&refresh, now).await?;
                match generation(&row, &refresh.jti, now) {
                    Generation::Present => Ok(()),
                    Generation::Previous | Generation::UsedUp => Err(AuthError::Blacklisted),
                }
            }
            Ok(_) => Ok(()),
            Err(_) => match claims.sid.map(|sid| self.revocations.look_up(&sid, None)) {
                Some(Known::Ended) => Err(AuthError::Invalid),
                _ => Ok(()),
            },
        }
    }

    /// Ends the session of a refresh token.
    pub async fn blacklist(&self, refresh: &str) -> Result<(), AuthError> {
        let now = Utc::now();
        let claims = self.means.keys.verify(refresh, TokenKind::Refresh, now)?;
        self.is_not_blacklisted(&claims).await?;
        let row = self.session_of(&claims, now).await?;
        if generation(&row, &claims.jti, now) == Generation::UsedUp {
            return Err(self.end_reused(&row).await);
        }
        self.end_session(&row).await.map_err(unavailable)?;
        if let Some((blacklist, expires_at)) = self.core.blacklist.as_ref().zip(second(claims.exp))
        {
            let token = BlacklistedToken {
                jti: &claims.jti,
                token: refresh,
                user: claims.user_id,
                expires_at,
            };
            blacklist.add(token, now).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// That a Django project beside us has not blacklisted a refresh token, of ours or its own.
    async fn is_not_blacklisted(&self, claims: &Claims) -> Result<(), AuthError> {
        let Some(blacklist) = &self.core.blacklist else {
            return Ok(());
        };
        match blacklist.holds(&claims.jti).await.map_err(unavailable)? {
            true => Err(AuthError::Blacklisted),
            false => Ok(()),
        }
    }

    /// The living session that a refresh token belongs to. One that another service made begins it: from then on it
    /// can be listed and ended as ours can.
    async fn session_of(&self, claims: &Claims, now: Time) -> Result<session::Model, AuthError> {
        let store = &self.core.store;
        let (id, is_foreign) = match &claims.sid {
            Some(sid) => (sid.clone(), false),
            None => (SessionId(short(&claims.jti)), true),
        };
        let mut row = store.find_session(&id).await.map_err(unavailable)?;
        if row.is_none() && is_foreign {
            let adopted = adopted(&id, claims, now).ok_or(AuthError::Invalid)?;
            let inserted = store.insert_session(adopted).await;
            inserted.map_err(unavailable)?;
            row = store.find_session(&id).await.map_err(unavailable)?;
        }
        let row = row.filter(|row| row.user_id == claims.user_id);
        let row = row.ok_or(AuthError::Invalid)?;
        if row.revoked_at.is_some() {
            return Err(AuthError::Blacklisted);
        }
        if row.expires_at + self.rules.leeway <= now {
            return Err(AuthError::Expired);
        }
        Ok(row)
    }

    /// The successor of a session's refresh token; none where another took its place meanwhile.
    async fn rotate(&self, row: session::Model, now: Time) -> Result<Option<String>, AuthError> {
        let Some(from) = row.refresh_jti.as_deref() else {
            return Err(AuthError::Invalid);
        };
        let to = new_jti();
        let expires_at = now + self.rules.refresh_lifetime;
        let rotation = Rotation {
            session: &row.id,
            from,
            to: &to,
            at: now,
            expires_at,
        };
        let rotated = self.core.store.rotate_session(rotation).await;
        if !rotated.map_err(unavailable)? {
            return Ok(None);
        }
        let row = session::Model {
            refresh_jti: Some(to),
            expires_at,
            ..row
        };
        Ok(Some(self.refresh_token(&row, now)?))
    }

    async fn touch(&self, row: &session::Model, now: Time) -> Result<(), AuthError> {
        if now - row.last_used_at < TOUCH_EVERY {
            return Ok(());
        }
        let touched = self.core.store.touch_session(&row.id, now).await;
        touched.map_err(unavailable)
    }

    /// Somebody has a copy of a token that was used: neither they nor its owner go on with it.
    async fn end_reused(&self, row: &session::Model) -> AuthError {
        let (session, user) = (&row.id, row.user_id);
        warn!(%session, %user, "session {session} of user {user}: a used refresh token came again, ended");
        match self.end_session(row).await {
            Ok(()) => AuthError::Blacklisted,
            Err(cause) => unavailable(cause),
        }
    }
}

fn generation(row: &session::Model, jti: &str, now: Time) -> Generation {
    let is = |of_row: &Option<String>| of_row.as_deref() == Some(&*short(jti));
    if is(&row.refresh_jti) {
        return Generation::Present;
    }
    let is_recent = row.rotated_at.is_some_and(|at| now - at < GRACE);
    if is(&row.previous_jti) && is_recent {
        return Generation::Previous;
    }
    Generation::UsedUp
}

/// The session of a token that we didn't make.
fn adopted(id: &SessionId, claims: &Claims, now: Time) -> Option<session::Model> {
    Some(session::Model {
        id: id.clone(),
        user_id: claims.user_id,
        kind: SessionKind::Jwt,
        created_at: claims.iat.and_then(second).unwrap_or(now),
        expires_at: second(claims.exp)?,
        last_used_at: now,
        revoked_at: None,
        refresh_jti: Some(short(&claims.jti)),
        previous_jti: None,
        rotated_at: None,
        client: String::new(),
    })
}

/// A token's id as it fits into its column: simplejwt's do, others are told apart by their hash.
fn short(jti: &str) -> String {
    if number(&SessionId(jti.to_owned())).is_some() {
        return jti.to_owned();
    }
    let hash = Sha256::digest(jti);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..ID_CHARS].to_owned()
}
