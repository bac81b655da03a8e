//! Authentication as arithmetic: bytes in, claims out.
//!
//! Here: access and refresh tokens ([`tokens`], simplejwt's form), password hashes ([`passwords`],
//! Django's stored forms) and the rules for new passwords ([`policy`]), WebSocket tickets
//! ([`tickets`]), opaque session tokens ([`opaque`]), recovery codes ([`recovery`]) and the keys that all of them hang on
//! ([`secret`]).
//!
//! Not here: who may sign in, which sessions are revoked, how often a password may be tried
//! (`chat`), rows (`store`), status codes and texts of an edge (`rest`, `ws`).
//! Relies on: nothing of ours. No I/O and no clock: whoever asks says what time it is.
//! Bounded by: [`tokens::TOKEN_BYTES_MAX`] per token, [`hashing::WAITING_MAX`] passwords that wait
//! for a core, and the limits in `stored` on what a stored hash may cost to check.

mod claims;
mod django_session;
pub mod hashing;
mod jwks;
mod keys;
pub mod links;
pub mod opaque;
pub mod passwords;
pub mod policy;
pub mod recovery;
pub mod secret;
mod stored;
pub mod tickets;
pub mod tokens;

pub use django_session::{DjangoSession, DjangoSessions, SessionCookie};
pub use hashing::{Busy, PasswordHasher};
pub use opaque::OpaqueTokens;
pub use passwords::{PasswordCost, PasswordForm, Passwords};
pub use policy::{PasswordPolicy, Person};
pub use recovery::RecoveryCodes;
pub use secret::Secret;
pub use tickets::{Ticket, TicketError, Tickets};
pub use tokens::{Algorithm, Claims, KeyError, TokenError, TokenKeys, TokenKind};
