//! Codes by which whoever has lost a password proves that an account is theirs.
//!
//! What is stored of one is its HMAC under a key of the service's: nobody who reads the database finds the code.

use hmac::{Hmac, Mac};
use rand::{TryRngCore, rngs::OsRng};
use sha2::Sha256;

use super::Secret;

/// Base32 (RFC 4648): no letter that is mistaken for a digit.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 50 bits.
const CODE_CHARS: usize = 10;

/// Makes codes, and what is stored of them.
#[derive(Clone)]
pub struct RecoveryCodes {
    mac: Hmac<Sha256>,
}

impl RecoveryCodes {
    /// Those of one service.
    pub fn new(secret: &Secret) -> Self {
        Self {
            mac: secret.mac("tertulia recovery code"),
        }
    }

    /// A code that nobody knows yet.
    ///
    /// # Panics
    /// Where the operating system has no random numbers.
    pub fn fresh(&self) -> String {
        let mut bytes = [0; CODE_CHARS];
        OsRng
            .try_fill_bytes(&mut bytes)
            .expect("the operating system's random numbers");
        let letter = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
        bytes.into_iter().map(letter).collect()
    }

    /// What is stored of a user's code, as typed: in small letters, with blanks and hyphens, it is the same.
    pub fn stored(&self, user: i64, code: &str) -> String {
        let typed = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let code: String = typed.flat_map(char::to_uppercase).collect();
        let mac = self.mac.clone().chain_update(format!("{user}:{code}"));
        let bytes = mac.finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_user_s_however_it_is_typed() {
        let codes = RecoveryCodes::new(&Secret::new("a secret"));
        let code = codes.fresh();
        assert!(code.len() == 10 && code.bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_ne!(code, codes.fresh());
        let stored = codes.stored(7, &code);
        assert_eq!(stored.len(), 64);
        let typed = format!(" {}-{} ", code[..5].to_lowercase(), &code[5..]);
        assert_eq!(codes.stored(7, &typed), stored);
        assert_ne!(codes.stored(8, &code), stored);
        let other = RecoveryCodes::new(&Secret::new("another"));
        assert_ne!(other.stored(7, &code), stored);
    }
}
