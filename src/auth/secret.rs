//! The service's secret, and the keys drawn from it.
//!
//! Only tokens are signed with the secret itself, because Django's are. Every other use has a key
//! of its own, so that what one part signs means nothing to another.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

/// The bytes of `SECRET_KEY`. It has no way into a log: `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the secret's bytes, as they stand in the setting or in its file.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into_boxed_slice())
    }

    /// The key for one use, named by `label`: HKDF-SHA256 (RFC 5869) without a salt.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(label.as_bytes(), &mut key)
            .expect("32 bytes are far below HKDF-SHA256's limit of 8160");
        key
    }

    /// HMAC-SHA256 under the key for one use.
    pub(super) fn mac(&self, label: &str) -> Hmac<Sha256> {
        keyed(&self.derive(label))
    }

    /// Whether it is a key as PEM, by its first line.
    pub fn is_pem(&self) -> bool {
        self.0.trim_ascii_start().starts_with(b"-----BEGIN")
    }

    /// Whether it is a private key as PEM, by its first line.
    pub fn is_private_pem(&self) -> bool {
        let text = self.0.trim_ascii_start();
        let first = text.split(|byte| *byte == b'\n').next();
        let is_private = |line: &[u8]| line.windows(11).any(|word| word == b"PRIVATE KEY");
        self.is_pem() && first.is_some_and(is_private)
    }

    /// The bytes themselves: what a token is signed with.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// HMAC with its key.
pub(super) fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_a_key_of_its_own_and_always_the_same() {
        let secret = Secret::new("a secret");
        assert_eq!(secret.derive("tickets"), secret.derive("tickets"));
        assert_ne!(secret.derive("tickets"), secret.derive("sessions"));
        assert_ne!(
            secret.derive("tickets"),
            Secret::new("another").derive("tickets")
        );
    }

    /// RFC 5869, test case 3: no salt, no info; its first 32 bytes.
    #[test]
    fn keys_are_drawn_as_rfc_5869_says() {
        let key = Secret::new([0x0b; 22]).derive("");
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }

    #[test]
    fn a_log_learns_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret");
    }
}
