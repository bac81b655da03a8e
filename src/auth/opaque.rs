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
    /// Of secrets that were in use before.
    previous: Vec<Hmac<Sha256>>,
}

impl OpaqueTokens {
    /// Tokens for one `purpose`: those of another don't verify. Those that were signed with a
    /// previous secret do.
    pub fn new(secret: &Secret, previous: &[Secret], purpose: &str) -> Self {
        let mac = |secret: &Secret| secret.mac(&format!("tertulia opaque token: {purpose}"));
        Self {
            mac: mac(secret),
            previous: previous.iter().map(mac).collect(),
        }
    }

    /// The token of a session.
    pub fn sign(&self, session_id: &str) -> String {
        let mac = self.mac.clone().chain_update(session_id);
        let signature = mac.finalize().into_bytes();
        format!("{session_id}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The session id in a token that was signed here. Compared in constant time.
    pub fn verify<'a>(&self, token: &'a str) -> Option<&'a str> {
        let (session_id, signature) = token.rsplit_once('.')?;
        let mut given = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).ok()?;
        let is_of = |mac: &Hmac<Sha256>| {
            let mac = mac.clone().chain_update(session_id);
            mac.verify_slice(&given[..length]).is_ok()
        };
        let is_ours = is_of(&self.mac) || self.previous.iter().any(is_of);
        is_ours.then_some(session_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(purpose: &str) -> OpaqueTokens {
        OpaqueTokens::new(&Secret::new("a secret"), &[], purpose)
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
        let other = OpaqueTokens::new(&Secret::new("another"), &[], "rpc");
        assert_eq!(other.verify(&token), None);
    }

    #[test]
    fn a_token_outlives_the_change_of_the_secret() {
        let previous = [Secret::new("an older secret"), Secret::new("a secret")];
        let token = tokens("rpc").sign("9f1c");
        let changed = OpaqueTokens::new(&Secret::new("a new secret"), &previous, "rpc");
        assert_eq!(changed.verify(&token), Some("9f1c"));
        assert_eq!(tokens("rpc").verify(&changed.sign("9f1c")), None);
    }
}
