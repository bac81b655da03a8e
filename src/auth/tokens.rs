//! Access and refresh tokens, as djangorestframework-simplejwt 5.5.1 makes and takes them.
//!
//! Ours carry one claim more, `sid`: the session that they belong to, by which they are revoked.
//! Whether that session still lives, and whether the user does, is for the caller to ask.
//!
//! Each key is good for one algorithm: that of our own, and where others sign tokens too, the one
//! that their public keys are for. Keys that were in use before verify as well, so that changing
//! the key signs nobody out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use entity::{SessionId, UserId};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Secret,
    claims::{Checked, EXPIRY_MAX, Payload, Rules},
    jwks,
    keys::{Accepted, SigningKey, VerifyingKey},
};

pub use super::keys::KeyError;
pub use jsonwebtoken::Algorithm;

/// A longer token is invalid, before anything is computed for it. Ours have about 300 bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Payloads up to this size are decoded on the stack.
const SMALL_PAYLOAD: usize = 1024;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Sent along with every request.
    Access,
    /// Gets the next access token.
    Refresh,
}

impl TokenKind {
    /// The claim `token_type`.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::Access => "access",
            TokenKind::Refresh => "refresh",
        }
    }
}

/// What a token of the wanted kind says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// What it is for.
    pub kind: TokenKind,
    /// Whose it is.
    pub user_id: UserId,
    /// The token's own id.
    pub jti: String,
    /// Our session, where it is a token of ours.
    pub sid: Option<SessionId>,
    /// When it ends, in seconds since 1970; at most the end of the year 9999.
    pub exp: i64,
    /// When it was made.
    pub iat: Option<i64>,
}

/// What a token says that may be of any type, of ours or another's, and need not name a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntypedClaims {
    /// Whose it is.
    pub user_id: Option<UserId>,
    /// The token's own id.
    pub jti: String,
    /// Our session, where it is a token of ours.
    pub sid: Option<SessionId>,
    /// When it ends, in seconds since 1970; at most the end of the year 9999.
    pub exp: i64,
}

/// Why a token isn't taken, in simplejwt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Malformed, signed by someone else, not yet valid, or for someone else.
    #[error("Token is invalid")]
    Invalid,
    /// Its time is over.
    #[error("Token is expired")]
    Expired,
    /// No claim `exp`.
    #[error("Token has no 'exp' claim")]
    NoExpiry,
    /// No claim `jti`.
    #[error("Token has no id")]
    NoId,
    /// No claim `token_type`.
    #[error("Token has no type")]
    NoType,
    /// An access token where a refresh token is wanted, or the other way round.
    #[error("Token has wrong type")]
    WrongType,
    /// It doesn't say whose it is, or not by a number (which simplejwt answers with a 500).
    #[error("Token contained no recognizable user identification")]
    NoUser,
}

/// What tokens are made with and held against.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The only one that is taken.
    pub algorithm: Algorithm,
    /// The shared secret (HS256, HS384, HS512) or the private key as PEM.
    pub key: Secret,
    /// The public key as PEM, where it isn't to be computed from the private one.
    pub public_key: Option<Secret>,
    /// Keys that no longer sign but still verify: shared secrets, or public or private keys as PEM.
    pub previous_keys: Vec<Secret>,
    /// Public keys, as PEM, of others who sign tokens with an algorithm of their own.
    pub others: Vec<(Algorithm, Secret)>,
    /// Such keys as a set (JWKS).
    pub key_set: Option<String>,
    /// Written into tokens as `iss`, and asked of them.
    pub issuer: Option<String>,
    /// Written into tokens as `aud`, and asked of them.
    pub audience: Option<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The claim that names the user.
    pub user_id_claim: String,
}

impl TokenSettings {
    /// simplejwt's defaults: HS256, no issuer, no audience, no leeway, `user_id`.
    pub fn new(key: Secret) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            key,
            public_key: None,
            previous_keys: Vec::new(),
            others: Vec::new(),
            key_set: None,
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
            user_id_claim: "user_id".to_owned(),
        }
    }
}

/// What a new token is to say. The same again is the same token again.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Whose it is.
    pub user_id: UserId,
    /// Our session.
    pub sid: Option<&'a SessionId>,
    /// Its own id, from [`new_jti`].
    pub jti: &'a str,
    /// When it is made.
    pub issued_at: DateTime<Utc>,
    /// How long it is good.
    pub lifetime: Duration,
}

/// An id for a token or a session: a random UUID in 32 hexadecimal digits.
pub fn new_jti() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The keys, prepared, and what else is asked of a token.
pub struct TokenKeys {
    /// The name of the algorithm, as headers say it.
    algorithm: String,
    /// The header of our own tokens, encoded.
    header: String,
    signing: SigningKey,
    verifying: Vec<Accepted>,
    rules: Rules,
}

impl TokenKeys {
    /// Prepares the keys. A key that can't do its work is refused here, not at the first token.
    pub fn new(settings: TokenSettings) -> Result<Self, KeyError> {
        let algorithm = settings.algorithm;
        let signing = SigningKey::new(algorithm, &settings.key)?;
        let current = match &settings.public_key {
            Some(key) => VerifyingKey::new(algorithm, key)?,
            None => signing.verifying()?,
        };
        if !current.verifies(b"tertulia", &signing.sign(b"tertulia")?) {
            return Err(KeyError::Mismatch);
        }
        let mut verifying = vec![Accepted::new(algorithm, None, current)];
        for key in &settings.previous_keys {
            let key = VerifyingKey::earlier(algorithm, key)?;
            verifying.push(Accepted::new(algorithm, None, key));
        }
        for (algorithm, key) in &settings.others {
            let key = VerifyingKey::earlier(*algorithm, key)?;
            verifying.push(Accepted::new(*algorithm, None, key));
        }
        if let Some(set) = &settings.key_set {
            verifying.extend(jwks::read(set)?);
        }
        Ok(Self {
            algorithm: verifying[0].algorithm.clone(),
            header: URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm:?}","typ":"JWT"}}"#)),
            signing,
            verifying,
            rules: Rules {
                issuer: settings.issuer,
                audience: settings.audience,
                leeway_seconds: u32::try_from(settings.leeway.as_secs())
                    .map_or(i64::from(u32::MAX), i64::from),
                user_id_claim: settings.user_id_claim,
            },
        })
    }

    /// An access token.
    pub fn sign_access(&self, token: &NewToken<'_>) -> Result<String, KeyError> {
        self.sign(TokenKind::Access, token)
    }

    /// A refresh token.
    pub fn sign_refresh(&self, token: &NewToken<'_>) -> Result<String, KeyError> {
        self.sign(TokenKind::Refresh, token)
    }

    fn sign(&self, kind: TokenKind, token: &NewToken<'_>) -> Result<String, KeyError> {
        let payload = NewPayload {
            kind,
            token,
            rules: &self.rules,
        };
        let json = serde_json::to_vec(&payload).expect("texts and numbers are always JSON");
        let mut text = String::with_capacity(self.header.len() + json.len() * 4 / 3 + 96);
        text.push_str(&self.header);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(json, &mut text);
        let signature = self.signing.sign(text.as_bytes())?;
        text.push('.');
        text.push_str(&signature);
        Ok(text)
    }

    /// What a token says, if it is good now and of this kind. Checked in simplejwt's order, so
    /// that a token with several faults is told the same one.
    pub fn verify(
        &self,
        token: &str,
        kind: TokenKind,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenError> {
        self.open(token, now, |payload| {
            payload.check_kind(kind)?;
            Ok(Claims {
                kind,
                user_id: payload.user_id().ok_or(TokenError::NoUser)?,
                jti: payload.jti.to_owned(),
                sid: payload.sid(),
                exp: payload.exp,
                iat: payload.iat,
            })
        })
    }

    /// What a token says, if it is good now, of whatever type it is: simplejwt's `UntypedToken`.
    pub fn verify_untyped(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<UntypedClaims, TokenError> {
        self.open(token, now, |payload| {
            Ok(UntypedClaims {
                user_id: payload.user_id(),
                jti: payload.jti.to_owned(),
                sid: payload.sid(),
                exp: payload.exp,
            })
        })
    }

    /// Checks header, signature and common claims, and hands the payload on while it is borrowed.
    fn open<T>(
        &self,
        token: &str,
        now: DateTime<Utc>,
        read: impl FnOnce(Checked<'_>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let encoded = self.signed_payload(token).ok_or(TokenError::Invalid)?;
        let mut small = [0; SMALL_PAYLOAD];
        let large;
        let json = if base64::decoded_len_estimate(encoded.len()) <= SMALL_PAYLOAD {
            let length = URL_SAFE_NO_PAD
                .decode_slice(encoded, &mut small)
                .map_err(|_| TokenError::Invalid)?;
            &small[..length]
        } else {
            large = URL_SAFE_NO_PAD
                .decode(encoded)
                .map_err(|_| TokenError::Invalid)?;
            &large[..]
        };
        let payload = Payload::parse(json, &self.rules)?;
        read(payload.check(&self.rules, now.timestamp())?)
    }

    /// The middle part of a token whose signature is right.
    fn signed_payload<'t>(&self, token: &'t str) -> Option<&'t str> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let message = message.as_bytes();
        let verifies = |algorithm: &str, kid: Option<&str>| {
            self.verifying
                .iter()
                .filter(|accepted| accepted.may_verify(algorithm, kid))
                .any(|accepted| accepted.key.verifies(message, signature))
        };
        // Nearly every token has the very header that ours have, byte for byte.
        let is_right = match header == self.header {
            true => verifies(&self.algorithm, None),
            false => {
                let (algorithm, kid) = read_header(header)?;
                verifies(&algorithm, kid.as_deref())
            }
        };
        is_right.then_some(payload)
    }
}

/// Algorithm and key id of a header. None where it makes no sense, or has an extension that must
/// be understood.
fn read_header(encoded: &str) -> Option<(String, Option<String>)> {
    let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let mut header: Map<String, Value> = serde_json::from_slice(&json).ok()?;
    if header.contains_key("crit") || header.get("b64") == Some(&Value::Bool(false)) {
        return None;
    }
    let kid = match header.remove("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid),
        Some(_) => return None,
    };
    match header.remove("alg") {
        Some(Value::String(algorithm)) => Some((algorithm, kid)),
        _ => None,
    }
}

/// A payload to be written, its claims in simplejwt's order, then ours.
struct NewPayload<'a> {
    kind: TokenKind,
    token: &'a NewToken<'a>,
    rules: &'a Rules,
}

impl Serialize for NewPayload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let NewPayload { kind, token, rules } = self;
        let issued_at = token.issued_at.timestamp();
        let expires_at = issued_at.saturating_add_unsigned(token.lifetime.as_secs());
        let mut claims = serializer.serialize_map(None)?;
        claims.serialize_entry("token_type", kind.name())?;
        claims.serialize_entry("exp", &expires_at.min(EXPIRY_MAX))?;
        claims.serialize_entry("iat", &issued_at)?;
        claims.serialize_entry("jti", token.jti)?;
        claims.serialize_entry(&rules.user_id_claim, &token.user_id.to_string())?;
        if let Some(sid) = token.sid {
            claims.serialize_entry("sid", sid)?;
        }
        if let Some(audience) = &rules.audience {
            claims.serialize_entry("aud", audience)?;
        }
        if let Some(issuer) = &rules.issuer {
            claims.serialize_entry("iss", issuer)?;
        }
        claims.end()
    }
}

#[cfg(test)]
mod tests;
