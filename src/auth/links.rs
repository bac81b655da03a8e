//! Links to files, signed for the file and not for whoever follows them: who has one may fetch the file while it holds.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Secret;

/// How long a link holds.
pub const LINK_LIFETIME: Duration = Duration::from_secs(3600);

/// Signs and checks links.
#[derive(Clone)]
pub struct Links {
    mac: Hmac<Sha256>,
}

impl Links {
    /// Links under a key of their own, drawn from the secret.
    pub fn new(secret: &Secret) -> Self {
        Self {
            mac: secret.mac("tertulia attachment link"),
        }
    }

    /// The signature of a link to a file that holds until `expires`, in Unix seconds.
    pub fn sign(&self, file: i64, expires: i64) -> String {
        URL_SAFE_NO_PAD.encode(self.of(file, expires).finalize().into_bytes())
    }

    /// Whether this is the signature of such a link, and its time isn't over.
    pub fn holds(&self, file: i64, expires: i64, signature: &str, now: DateTime<Utc>) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        // In constant time.
        let is_ours = self.of(file, expires).verify_slice(&signature).is_ok();
        is_ours && now.timestamp() < expires
    }

    fn of(&self, file: i64, expires: i64) -> Hmac<Sha256> {
        let said = [file.to_be_bytes(), expires.to_be_bytes()];
        self.mac.clone().chain_update(said.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_holds_for_its_file_and_its_time_alone() {
        let links = Links::new(&Secret::new("a secret"));
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let signature = links.sign(7, 2_000);
        assert!(links.holds(7, 2_000, &signature, now));
        assert!(!links.holds(8, 2_000, &signature, now));
        assert!(!links.holds(7, 2_001, &signature, now));
        let late = DateTime::from_timestamp(2_000, 0).unwrap();
        assert!(!links.holds(7, 2_000, &signature, late));
        for wrong in ["", "x", &signature[1..], &signature.to_uppercase()] {
            assert!(!links.holds(7, 2_000, wrong, now), "{wrong}");
        }
        let others = Links::new(&Secret::new("another"));
        assert!(!others.holds(7, 2_000, &signature, now));
    }
}
