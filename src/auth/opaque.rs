//! Tokens that say nothing: `<session id>.<HMAC>`, for dialects whose clients keep one for long.
//!
//! The signature only spares the database from made-up ids; whether the session still lives is for
//! the caller to ask. There is no expiry in it: the session's own is the one that counts.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Secret;

/// Signs and checks the opaque tokens of one purpose.
#[derive(Clone)]
pub struct OpaqueTokens {
    mac: Hmac<Sha256>,
}

impl OpaqueTokens {
    /// Tokens for one `purpose`: those of another don't verify.
    pub fn new(secret: &Secret, purpose: &str) -> Self {
        Self {
            mac: secret.mac(&format!("tertulia opaque token: {purpose}")),
        }
    }

    /// The token of a session.
    pub fn sign(&self, session_id: &str) -> String {
        let signature = self.mac_of(session_id).finalize().into_bytes();
        format!("{session_id}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The session id in a token that was signed here. Compared in constant time.
    pub fn verify<'a>(&self, token: &'a str) -> Option<&'a str> {
        let (session_id, signature) = token.rsplit_once('.')?;
        let mut given = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).ok()?;
        self.mac_of(session_id)
            .verify_slice(&given[..length])
            .ok()?;
        Some(session_id)
    }

    fn mac_of(&self, session_id: &str) -> Hmac<Sha256> {
        self.mac.clone().chain_update(session_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(purpose: &str) -> OpaqueTokens {
        OpaqueTokens::new(&Secret::new("a secret"), purpose)
    }

    #[test]
    fn a_token_gives_its_session_back() {
        let token = tokens("rpc").sign("9f1c");
        assert!(token.starts_with("9f1c."));
        assert_eq!(tokens("rpc").verify(&token), Some("9f1c"));
    }

    #[test]
    fn a_changed_token_gives_nothing() {
        let token = tokens("rpc").sign("9f1c");
        let signature = &token[5..];
        for wrong in [
            format!("9f1d.{signature}"),
            format!("9f1c.{}", &signature[..42]),
            format!("9f1c.{signature}A"),
            format!("9f1c.{signature}="),
            "9f1c.".to_owned(),
            "9f1c".to_owned(),
            String::new(),
        ] {
            assert_eq!(tokens("rpc").verify(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_of_another_purpose_or_secret_gives_nothing() {
        let token = tokens("rpc").sign("9f1c");
        assert_eq!(tokens("support").verify(&token), None);
        let other = OpaqueTokens::new(&Secret::new("another"), "rpc");
        assert_eq!(other.verify(&token), None);
    }
}
