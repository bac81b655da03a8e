//! Django's session cookie: what its bytes say, and whether its project signed them.
//!
//! A session kept in the database is named by the cookie, and its row is signed; one of `signed_cookies` is in the
//! cookie itself. Both are checked with the project's `SECRET_KEY`, and with those that it had before.
//!
//! Bounded by: `SESSION_BYTES_MAX`, of what is unpacked too.

use std::{io::Read, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use flate2::read::ZlibDecoder;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Secret, secret::keyed};

/// A session that says more isn't read.
const SESSION_BYTES_MAX: u64 = 64 * 1024;
/// A session key of Django's has 32 characters; its column holds 40.
const KEY_CHARS_MAX: usize = 40;

const IN_DATABASE: &str = "django.contrib.sessions.SessionStore";
const IN_COOKIE: &str = "django.contrib.sessions.backends.signed_cookies";
const OF_PASSWORD: &str = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";

/// Reads the sessions of one project.
#[derive(Debug, Clone)]
pub struct DjangoSessions {
    secrets: Vec<Secret>,
    cookie_age: Duration,
}

/// What a cookie is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCookie {
    /// The key of a row.
    Key(String),
    /// The session itself, good until then.
    Session(DjangoSession, DateTime<Utc>),
}

/// Who signed in by a session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DjangoSession {
    /// The user's key, as text.
    #[serde(rename = "_auth_user_id")]
    pub user_id: String,
    /// Ties the session to the password that the user had then.
    #[serde(rename = "_auth_user_hash")]
    hash: String,
}

impl DjangoSessions {
    /// Those that are signed with one of these secrets; in cookies, not longer ago than `cookie_age`.
    pub fn new(secrets: Vec<Secret>, cookie_age: Duration) -> Self {
        Self {
            secrets,
            cookie_age,
        }
    }

    /// What a cookie's value is; none if it is nothing of the project's.
    pub fn cookie(&self, value: &str, now: DateTime<Utc>) -> Option<SessionCookie> {
        if !value.contains(':') {
            let is_key = !value.is_empty()
                && value.len() <= KEY_CHARS_MAX
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
            return is_key.then(|| SessionCookie::Key(value.to_owned()));
        }
        let (session, made_at) = self.open(value, IN_COOKIE)?;
        let ends_at = made_at + TimeDelta::from_std(self.cookie_age).ok()?;
        (ends_at > now && session.len() as u64 <= SESSION_BYTES_MAX).then_some(())?;
        let session = serde_json::from_slice(&session).ok()?;
        Some(SessionCookie::Session(session, ends_at))
    }

    /// Who signed in by the session that a row holds.
    pub fn row(&self, data: &str) -> Option<DjangoSession> {
        let (session, _made_at) = self.open(data, IN_DATABASE)?;
        serde_json::from_slice(&session).ok()
    }

    /// Whether a session was begun with the password that is stored like this.
    pub fn is_of_password(&self, session: &DjangoSession, stored: &str) -> bool {
        self.secrets.iter().any(|secret| {
            let tag = mac(secret, OF_PASSWORD, stored.as_bytes()).finalize();
            let hex: String = tag
                .into_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            hex.as_bytes().ct_eq(session.hash.as_bytes()).into()
        })
    }

    /// The JSON in `<data>:<time>:<signature>`, and when it was signed.
    fn open(&self, signed: &str, salt: &str) -> Option<(Vec<u8>, DateTime<Utc>)> {
        let (value, signature) = signed.rsplit_once(':')?;
        let mut given = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut given).ok()?;
        let salt = format!("{salt}signer");
        let is_right = self.secrets.iter().any(|secret| {
            let mac = mac(secret, &salt, value.as_bytes());
            mac.verify_slice(&given[..length]).is_ok()
        });
        if !is_right {
            return None;
        }
        let (data, time) = value.rsplit_once(':')?;
        let made_at = DateTime::from_timestamp(base_62(time)?, 0)?;
        let session = match data.strip_prefix('.') {
            Some(packed) => unpack(&URL_SAFE_NO_PAD.decode(packed).ok()?)?,
            None => URL_SAFE_NO_PAD.decode(data).ok()?,
        };
        Some((session, made_at))
    }
}

/// Django's `salted_hmac`: the key is the hash of salt and secret.
fn mac(secret: &Secret, salt: &str, value: &[u8]) -> Hmac<Sha256> {
    let key = Sha256::new()
        .chain_update(salt)
        .chain_update(secret.bytes())
        .finalize();
    keyed::<Hmac<Sha256>>(&key).chain_update(value)
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut bounded = ZlibDecoder::new(packed).take(SESSION_BYTES_MAX + 1);
    bounded.read_to_end(&mut unpacked).ok()?;
    (unpacked.len() as u64 <= SESSION_BYTES_MAX).then_some(unpacked)
}

fn base_62(text: &str) -> Option<i64> {
    text.bytes().try_fold(0_i64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/vectors/django_session.json")).unwrap()
    }

    fn sessions(secrets: &[&str]) -> DjangoSessions {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        DjangoSessions::new(secrets, Duration::from_secs(14 * 86_400))
    }

    #[test]
    fn djangos_own_sessions_are_read() {
        let file = vectors();
        let text = |name: &str| file[name].as_str().unwrap();
        let project = sessions(&[text("secret_key")]);
        let (mut signed_in, mut others) = (0, 0);
        for vector in file["vectors"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let data = vector["session_data"].as_str().unwrap();
            let json = project
                .open(data, IN_DATABASE)
                .map(|(json, _)| json)
                .unwrap();
            let json: Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json, vector["decoded"], "{name}");
            let made_at = project
                .open(data, IN_DATABASE)
                .map(|(_, at)| at.timestamp());
            assert_eq!(made_at, vector["timestamp"].as_i64(), "{name}");
            assert!(sessions(&["another"]).row(data).is_none());
            assert!(
                sessions(&["another", text("secret_key")])
                    .open(data, IN_DATABASE)
                    .is_some()
            );
            assert!(
                project.open(data, IN_COOKIE).is_none(),
                "a row is no cookie"
            );
            match project.row(data) {
                Some(session) => {
                    signed_in += 1;
                    assert_eq!(session.user_id, "1");
                    assert!(project.is_of_password(&session, text("user_password_column")));
                    assert!(!project.is_of_password(&session, "pbkdf2_sha256$1$a$b"));
                    assert_eq!(session.hash, text("session_auth_hash"));
                }
                None => others += 1,
            }
        }
        assert_eq!((signed_in, others), (2, 1));
    }

    /// A session as `signed_cookies` keeps it.
    pub(crate) fn cookie(secret: &str, session: &str, seconds: &str) -> String {
        let value = format!("{}:{seconds}", URL_SAFE_NO_PAD.encode(session));
        let tag = mac(
            &Secret::new(secret),
            &format!("{IN_COOKIE}signer"),
            value.as_bytes(),
        );
        format!(
            "{value}:{}",
            URL_SAFE_NO_PAD.encode(tag.finalize().into_bytes())
        )
    }

    #[test]
    fn a_cookie_is_a_key_or_a_session_that_has_not_run_out() {
        let project = sessions(&["a secret"]);
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let key = "q7w3ejd0akj2zlsoxv1k0yt8m5c4b9gh";
        assert_eq!(
            project.cookie(key, at(0)),
            Some(SessionCookie::Key(key.to_owned()))
        );
        for wrong in [
            "",
            "a b",
            "'; DROP TABLE",
            &"a".repeat(41),
            "a:b",
            "::",
            "a:b:c",
        ] {
            assert_eq!(project.cookie(wrong, at(0)), None, "{wrong}");
        }
        let session = r#"{"_auth_user_id":"5","_auth_user_hash":"abc","cart":[1]}"#;
        // 1xUcMD is 1795233945.
        let cookie = cookie("a secret", session, "1xUcMD");
        let Some(SessionCookie::Session(session, ends_at)) =
            project.cookie(&cookie, at(1_795_233_946))
        else {
            panic!("it is a session");
        };
        assert_eq!(session.user_id, "5");
        assert_eq!(ends_at, at(1_795_233_945 + 14 * 86_400));
        assert_eq!(project.cookie(&cookie, ends_at), None);
        assert_eq!(
            project.cookie(&cookie.replace("1xUcMD", "1xUcME"), at(1_795_233_946)),
            None
        );
    }

    #[test]
    fn what_unpacks_to_too_much_is_not_read() {
        use std::io::Write;
        let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 4096);
        assert_eq!(unpack(&bomb), None);
    }
}
