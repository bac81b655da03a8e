//! Tokens as an attacker or a clock would have them: made with a key of one's own, or by a server's
//! key with other claims.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// The key that the stories' servers sign with, so that a story can sign too.
pub(crate) const SECRET: &str = "the stories' own key, of more than thirty-two bytes";

/// What a token claims.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a token of three parts");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims in JSON")
}

/// A token with these claims, signed with `key`.
pub(crate) fn signed(claims: &Value, key: &str) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key will do");
    mac.update(signed.as_bytes());
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// `token` again, by the server's own key, but expired an hour ago.
pub(crate) fn expired(token: &str) -> String {
    let mut claims = claims(token);
    for moment in ["exp", "iat"] {
        let then = claims[moment].as_i64().expect("a moment");
        claims[moment] = json!(then - 24 * 3600);
    }
    signed(&claims, SECRET)
}

/// `token` again, by somebody who doesn't have the server's key.
pub(crate) fn forged(token: &str) -> String {
    signed(
        &claims(token),
        "a key that nobody has given to the server, long enough",
    )
}

/// `token` again, unsigned, as `alg: none`.
pub(crate) fn unsigned(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let payload = token.split('.').nth(1).expect("a token of three parts");
    format!("{header}.{payload}.")
}
