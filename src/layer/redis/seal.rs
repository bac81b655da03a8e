//! What goes over Redis can be encrypted: a Fernet token, whose key is made of the given text as channels_redis does it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use fernet::{Fernet, MultiFernet};
use sha2::{Digest, Sha256};

use crate::layer::MessageError;

/// A token from further ahead than this is refused, where ages are looked at: so does Python's `cryptography`.
const AHEAD_MAX: u64 = 60;

/// Seals and opens; without keys it leaves everything as it is.
pub(super) struct Seal {
    fernet: Option<MultiFernet>,
}

impl Seal {
    pub(super) fn new(keys: &[String]) -> Self {
        let fernets: Vec<Fernet> = keys
            .iter()
            .filter_map(|key| Fernet::new(&URL_SAFE.encode(Sha256::digest(key))))
            .collect();
        let fernet = (!fernets.is_empty()).then(|| MultiFernet::new(fernets));
        Seal { fernet }
    }

    pub(super) fn seal(&self, body: Bytes) -> Bytes {
        match &self.fernet {
            Some(fernet) => fernet.encrypt(&body).into_bytes().into(),
            None => body,
        }
    }

    /// Opens what was sealed `age_max` ago at most, where that matters; `now` is in seconds since 1970.
    pub(super) fn open(
        &self,
        sealed: Bytes,
        age_max: Option<(Duration, f64)>,
    ) -> Result<Bytes, MessageError> {
        let Some(fernet) = &self.fernet else {
            return Ok(sealed);
        };
        let token = std::str::from_utf8(&sealed).map_err(|_| MessageError::Sealed)?;
        if let Some((age_max, now)) = age_max {
            let (sealed_at, now) = (sealed_at(token).ok_or(MessageError::Sealed)?, now as u64);
            // Whoever wrote it isn't known yet: its time may be any number.
            let good_until = sealed_at.saturating_add(age_max.as_secs());
            if good_until < now || sealed_at > now.saturating_add(AHEAD_MAX) {
                return Err(MessageError::Sealed);
            }
        }
        let opened = fernet.decrypt(token).map_err(|_| MessageError::Sealed)?;
        Ok(opened.into())
    }
}

/// A token's seconds since 1970: a version, then eight bytes.
fn sealed_at(token: &str) -> Option<u64> {
    let head = URL_SAFE.decode(token.get(..12)?).ok()?;
    let seconds = head.get(1..9)?.try_into().ok()?;
    Some(u64::from_be_bytes(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "test-only-channel-key-1";

    fn seal(keys: &[&str]) -> Seal {
        Seal::new(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn any_of_the_keys_opens_and_the_first_one_seals() {
        let body = Bytes::from_static(b"\x81\xa4type\xa1x");
        let old = seal(&["older-key"]).seal(body.clone());
        assert_eq!(
            seal(&[FIRST, "older-key"]).open(old.clone(), None),
            Ok(body.clone())
        );
        assert_eq!(seal(&[FIRST]).open(old, None), Err(MessageError::Sealed));
        let new = seal(&[FIRST, "older-key"]).seal(body.clone());
        assert_eq!(seal(&[FIRST]).open(new, None), Ok(body.clone()));
        assert_eq!(
            seal(&[]).seal(body.clone()),
            body,
            "without keys nothing is sealed"
        );
        assert_eq!(seal(&[FIRST]).open(body, None), Err(MessageError::Sealed));
    }

    #[test]
    fn an_old_token_is_refused_where_ages_are_looked_at() {
        let seal = seal(&[FIRST]);
        let token = seal.seal(Bytes::from_static(b"body"));
        let made = sealed_at(std::str::from_utf8(&token).expect("ASCII")).expect("a time") as f64;
        let limit = Duration::from_secs(70);
        for (later, is_good) in [
            (0.0, true),
            (70.5, true),
            (71.0, false),
            (-60.0, true),
            (-61.0, false),
        ] {
            let opened = seal.open(token.clone(), Some((limit, made + later)));
            assert_eq!(opened.is_ok(), is_good, "{later} s later");
        }
        assert!(seal.open(token, None).is_ok());
    }

    #[test]
    fn a_token_of_the_end_of_time_is_refused_like_any_other() {
        let age_max = Some((Duration::from_secs(70), 1_700_000_000.0));
        for seconds in [u64::MAX, u64::MAX - 69] {
            let forged = [&[0x80], &seconds.to_be_bytes()[..], &[0; 64]].concat();
            let token = URL_SAFE.encode(forged);
            assert_eq!(sealed_at(&token), Some(seconds));
            let opened = seal(&[FIRST]).open(token.into(), age_max);
            assert_eq!(opened, Err(MessageError::Sealed));
        }
    }

    #[test]
    fn tokens_of_channels_redis_open() {
        let keys = [FIRST, "older-key"];
        let mut opened = 0;
        for (file, token_key) in [
            (
                include_str!("../../../tests/vectors/pubsub_layer_payloads.json"),
                "payload_text",
            ),
            (
                include_str!("../../../tests/vectors/core_layer_payloads.json"),
                "fernet_token",
            ),
        ] {
            let vectors: serde_json::Value = serde_json::from_str(file).expect("JSON");
            for vector in vectors["vectors"].as_array().expect("vectors") {
                let Some(plain) = vector["plaintext_hex"].as_str() else {
                    continue;
                };
                assert_eq!(vector["symmetric_encryption_keys"], serde_json::json!(keys));
                let token = vector[token_key].as_str().expect("a token").to_owned();
                let at = sealed_at(&token);
                assert_eq!(at, vector["fernet_timestamp"].as_u64());
                let body = seal(&keys).open(token.into(), None).expect("it opens");
                let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(hex, plain);
                opened += 1;
            }
        }
        assert_eq!(opened, 4);
    }
}
