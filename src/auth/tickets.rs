//! WebSocket tickets: what stands in a URL in the place of a token, for [`TICKET_LIFETIME`].
//!
//! A ticket carries all that it says and is checked without a store. That it is used only once is
//! for the caller to see to, by its nonce.
//!
//! As bytes, then base64url: user id (8), expiry and the access token's expiry in milliseconds
//! (8 each), nonce (16), session id (the rest), HMAC-SHA256 over all of it (32).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use entity::{SessionId, UserId};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::Secret;

/// How long a ticket may be used.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);

/// No ticket is longer, as text: one with a session id of 36 characters has 144.
const TICKET_CHARS_MAX: usize = 1024;

const HEAD: usize = 8 + 8 + 8 + 16;
const SIGNATURE: usize = 32;

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Whose ticket it is.
    pub user_id: UserId,
    /// The session of the access token that it was given for, where that had one.
    pub sid: Option<SessionId>,
    /// Names this ticket: one that has been used is refused from then on.
    pub nonce: Uuid,
    /// When the ticket ends. After that its nonce may be forgotten.
    pub expires_at: DateTime<Utc>,
    /// When the access token ends that it was given for.
    pub token_expires_at: DateTime<Utc>,
}

/// Why a ticket isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It isn't one that was signed here.
    #[error("Ticket is invalid")]
    Invalid,
    /// It came too late.
    #[error("Ticket is expired")]
    Expired,
}

/// Signs and checks tickets.
#[derive(Clone)]
pub struct Tickets {
    mac: Hmac<Sha256>,
}

impl Tickets {
    /// Tickets under a key of their own, drawn from the secret.
    pub fn new(secret: &Secret) -> Self {
        Self {
            mac: secret.mac("tertulia ticket"),
        }
    }

    /// A new ticket for whoever holds an access token. It never outlives that token.
    pub fn issue(
        &self,
        user_id: UserId,
        sid: Option<&SessionId>,
        token_expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> (String, Ticket) {
        let ticket = Ticket {
            user_id,
            sid: sid.cloned(),
            nonce: Uuid::new_v4(),
            expires_at: whole_millis((now + TICKET_LIFETIME).min(token_expires_at)),
            token_expires_at: whole_millis(token_expires_at),
        };
        (self.encode(&ticket), ticket)
    }

    fn encode(&self, ticket: &Ticket) -> String {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(ticket.user_id.0.to_be_bytes());
        bytes.extend(ticket.expires_at.timestamp_millis().to_be_bytes());
        bytes.extend(ticket.token_expires_at.timestamp_millis().to_be_bytes());
        bytes.extend(ticket.nonce.as_bytes());
        bytes.extend(ticket.sid.iter().flat_map(|sid| sid.0.bytes()));
        let signature = self.mac.clone().chain_update(&bytes).finalize();
        bytes.extend(signature.into_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a ticket says, if it was signed here and its time isn't over.
    pub fn verify(&self, ticket: &str, now: DateTime<Utc>) -> Result<Ticket, TicketError> {
        let ticket = self.open(ticket).ok_or(TicketError::Invalid)?;
        if ticket.expires_at <= now {
            return Err(TicketError::Expired);
        }
        Ok(ticket)
    }

    fn open(&self, ticket: &str) -> Option<Ticket> {
        if ticket.len() > TICKET_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let (said, signature) = bytes.split_last_chunk::<SIGNATURE>()?;
        let mac = self.mac.clone().chain_update(said);
        mac.verify(signature.into()).ok()?;

        let (head, sid) = said.split_first_chunk::<HEAD>()?;
        let number = |at: usize| {
            let bytes: [u8; 8] = head[at..at + 8].try_into().ok()?;
            Some(i64::from_be_bytes(bytes))
        };
        let sid = std::str::from_utf8(sid).ok()?;
        Some(Ticket {
            user_id: UserId(number(0)?),
            sid: (!sid.is_empty()).then(|| SessionId(sid.to_owned())),
            nonce: Uuid::from_slice(&head[24..]).ok()?,
            expires_at: DateTime::from_timestamp_millis(number(8)?)?,
            token_expires_at: DateTime::from_timestamp_millis(number(16)?)?,
        })
    }
}

/// The time as a ticket can say it.
fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn tickets() -> Tickets {
        Tickets::new(&Secret::new("a secret"))
    }

    fn session() -> SessionId {
        SessionId("9f1c".to_owned())
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_795_176_000 + seconds)
    }

    #[test]
    fn a_ticket_says_what_it_was_given_for() {
        let (text, issued) = tickets().issue(UserId(7), Some(&session()), at(900), at(0));
        let ticket = tickets().verify(&text, at(29)).unwrap();
        assert_eq!(ticket, issued);
        assert_eq!(ticket.user_id, UserId(7));
        assert_eq!(ticket.sid, Some(session()));
        assert_eq!(ticket.expires_at, at(30));
        assert_eq!(ticket.token_expires_at, at(900));
        let in_a_url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(text.chars().all(in_a_url), "{text}");
    }

    #[test]
    fn a_token_without_a_session_gives_a_ticket_without_one() {
        let (text, _) = tickets().issue(UserId(7), None, at(900), at(0));
        assert_eq!(tickets().verify(&text, at(0)).unwrap().sid, None);
    }

    #[test]
    fn it_ends_after_thirty_seconds() {
        let (text, _) = tickets().issue(UserId(7), Some(&session()), at(900), at(0));
        let late = tickets().verify(&text, at(30));
        assert_eq!(late, Err(TicketError::Expired));
    }

    #[test]
    fn it_ends_with_its_token() {
        let (text, _) = tickets().issue(UserId(7), Some(&session()), at(5), at(0));
        assert!(tickets().verify(&text, at(4)).is_ok());
        let late = tickets().verify(&text, at(5));
        assert_eq!(late, Err(TicketError::Expired));
    }

    #[test]
    fn no_two_tickets_have_the_same_nonce() {
        let (_, one) = tickets().issue(UserId(7), Some(&session()), at(900), at(0));
        let (_, two) = tickets().issue(UserId(7), Some(&session()), at(900), at(0));
        assert_ne!(one.nonce, two.nonce);
    }

    #[test]
    fn a_single_changed_bit_anywhere_spoils_it() {
        let (text, _) = tickets().issue(UserId(7), Some(&session()), at(900), at(0));
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for at_byte in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at_byte] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            let verdict = tickets().verify(&changed, at(0));
            assert_eq!(verdict, Err(TicketError::Invalid), "byte {at_byte}");
        }
    }

    #[test]
    fn what_isnt_a_ticket_is_invalid() {
        let (foreign, _) =
            Tickets::new(&Secret::new("another")).issue(UserId(7), None, at(900), at(0));
        let long = "A".repeat(TICKET_CHARS_MAX + 1);
        for wrong in ["", "A", "AAAA", "%2e", "not base64!", &foreign, &long] {
            let verdict = tickets().verify(wrong, at(0));
            assert_eq!(verdict, Err(TicketError::Invalid), "{wrong}");
        }
    }
}
