//! The payload of a token: read without copying, and the checks on it in simplejwt's order.
//!
//! JSON lets a claim be anything, so each is read as what it is and judged afterwards: a claim of
//! the wrong type must refuse the token, not look as if it were absent (CVE-2026-25537).
//!
//! What PyJWT checks comes first and is told as one error, `Token is invalid` (apart from the
//! expiry); what simplejwt adds has an error of its own each.

use std::{borrow::Cow, fmt};

use entity::{SessionId, UserId};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::tokens::{TokenError, TokenKind};

/// The last second that Python's `datetime` knows, and so simplejwt: 9999-12-31T23:59:59Z.
pub(super) const EXPIRY_MAX: i64 = 253_402_300_799;

/// What the settings ask of a token.
pub(super) struct Rules {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) leeway_seconds: i64,
    pub(super) user_id_claim: String,
}

/// The claims that mean something here.
#[derive(Default)]
pub(super) struct Payload<'de> {
    token_type: Claim<'de>,
    exp: Claim<'de>,
    iat: Claim<'de>,
    nbf: Claim<'de>,
    iss: Claim<'de>,
    aud: Claim<'de>,
    sub: Claim<'de>,
    jti: Claim<'de>,
    sid: Claim<'de>,
    user_id: Claim<'de>,
}

impl<'de> Payload<'de> {
    /// Reads a payload. Of a claim that stands there twice the last one counts, as in Python.
    pub(super) fn parse(json: &'de [u8], rules: &Rules) -> Result<Self, TokenError> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        PayloadSeed(rules)
            .deserialize(&mut reader)
            .and_then(|payload| reader.end().map(|()| payload))
            .map_err(|_| TokenError::Invalid)
    }

    /// What is asked of a token of any type. `now` in seconds.
    pub(super) fn check(&self, rules: &Rules, now: i64) -> Result<Checked<'_>, TokenError> {
        let iat = self.iat.time()?;
        let starts = [iat, self.nbf.time()?];
        if starts
            .into_iter()
            .flatten()
            .any(|start| start > now + rules.leeway_seconds)
        {
            return Err(TokenError::Invalid);
        }
        let exp = self.exp.time()?;
        if exp.is_some_and(|exp| exp > EXPIRY_MAX) {
            return Err(TokenError::Invalid);
        }
        if exp.is_some_and(|exp| exp <= now - rules.leeway_seconds) {
            return Err(TokenError::Expired);
        }
        self.check_names(rules)?;
        Ok(Checked {
            exp: exp.ok_or(TokenError::NoExpiry)?,
            jti: self.jti.text().ok_or(TokenError::NoId)?,
            iat,
            payload: self,
        })
    }

    /// By whom, for whom and about whom. An audience that nobody asked for is let be, as
    /// simplejwt does.
    fn check_names(&self, rules: &Rules) -> Result<(), TokenError> {
        let subject = if rules.user_id_claim == "sub" {
            &self.user_id
        } else {
            &self.sub
        };
        let right = rules
            .issuer
            .as_ref()
            .is_none_or(|issuer| self.iss.is(issuer))
            && rules
                .audience
                .as_ref()
                .is_none_or(|audience| self.aud.names(audience))
            && subject.is_absent_or_text()
            && self.jti.is_absent_or_text();
        if right {
            Ok(())
        } else {
            Err(TokenError::Invalid)
        }
    }
}

/// A payload that is good for some kind of token.
pub(super) struct Checked<'p> {
    pub(super) exp: i64,
    pub(super) iat: Option<i64>,
    pub(super) jti: &'p str,
    payload: &'p Payload<'p>,
}

impl Checked<'_> {
    /// That it is a token of this kind.
    pub(super) fn check_kind(&self, kind: TokenKind) -> Result<(), TokenError> {
        match &self.payload.token_type {
            Claim::Absent => Err(TokenError::NoType),
            claim if claim.is(kind.name()) => Ok(()),
            _ => Err(TokenError::WrongType),
        }
    }

    pub(super) fn user_id(&self) -> Option<UserId> {
        match &self.payload.user_id {
            Claim::Integer(id) => Some(UserId(*id)),
            Claim::Text(id) => id.parse().ok().map(UserId),
            _ => None,
        }
    }

    pub(super) fn sid(&self) -> Option<SessionId> {
        let sid = self.payload.sid.text()?;
        Some(SessionId(sid.to_owned()))
    }
}

/// One claim, as what it is.
#[derive(Default)]
enum Claim<'de> {
    #[default]
    Absent,
    Integer(i64),
    Fraction(f64),
    Text(Cow<'de, str>),
    Texts(Vec<Claim<'de>>),
    Other,
}

impl Claim<'_> {
    /// The time that it says in whole seconds, cut as Python's `int()` does.
    fn time(&self) -> Result<Option<i64>, TokenError> {
        match self {
            Claim::Absent => Ok(None),
            Claim::Integer(seconds) => Ok(Some(*seconds)),
            Claim::Fraction(seconds) => Ok(Some(*seconds as i64)), // out of range: the nearest
            Claim::Text(_) | Claim::Texts(_) | Claim::Other => Err(TokenError::Invalid),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Claim::Text(text) => Some(text),
            _ => None,
        }
    }

    fn is(&self, expected: &str) -> bool {
        self.text() == Some(expected)
    }

    fn names(&self, expected: &str) -> bool {
        match self {
            Claim::Texts(all) => {
                all.iter().all(|one| one.text().is_some()) && all.iter().any(|one| one.is(expected))
            }
            one => one.is(expected),
        }
    }

    fn is_absent_or_text(&self) -> bool {
        matches!(self, Claim::Absent | Claim::Text(_))
    }
}

/// Reads a payload where the name of the user's claim is a setting.
struct PayloadSeed<'r>(&'r Rules);

impl<'de> DeserializeSeed<'de> for PayloadSeed<'_> {
    type Value = Payload<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Payload<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PayloadSeed<'_> {
    type Value = Payload<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload<'de>, A::Error> {
        let mut payload = Payload::default();
        while let Some(Name(name)) = map.next_key::<Name<'_>>()? {
            let claim = match &*name {
                name if name == self.0.user_id_claim => &mut payload.user_id,
                "token_type" => &mut payload.token_type,
                "exp" => &mut payload.exp,
                "iat" => &mut payload.iat,
                "nbf" => &mut payload.nbf,
                "iss" => &mut payload.iss,
                "aud" => &mut payload.aud,
                "sub" => &mut payload.sub,
                "jti" => &mut payload.jti,
                "sid" => &mut payload.sid,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *claim = map.next_value()?;
        }
        Ok(payload)
    }
}

/// A claim's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'n>(#[serde(borrow)] Cow<'n, str>);

impl<'de> Deserialize<'de> for Claim<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClaimVisitor)
    }
}

struct ClaimVisitor;

impl<'de> Visitor<'de> for ClaimVisitor {
    type Value = Claim<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Claim<'de>, E> {
        Ok(Claim::Other)
    }

    fn visit_unit<E>(self) -> Result<Claim<'de>, E> {
        Ok(Claim::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Claim<'de>, E> {
        Ok(Claim::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Claim<'de>, E> {
        Ok(i64::try_from(number).map_or(Claim::Fraction(number as f64), Claim::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Claim<'de>, E> {
        Ok(Claim::Fraction(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Claim<'de>, E> {
        Ok(Claim::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Claim<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Claim::Texts(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Claim::Other)
    }
}
