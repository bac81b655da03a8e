//! Passwords as they are stored, in Django's forms. Every form verifies; new ones are
//! `bcrypt_sha256`, which has none of bcrypt's limit of 72 bytes.
//!
//! Each of these functions takes a core for as long as it is meant to be hard: from async code go
//! through [`PasswordHasher`](super::PasswordHasher).

use base64::Engine;
use rand::Rng;

use super::stored::{BCRYPT_BASE64, Stored, bcrypt_hash, sha256_hex};

/// bcrypt's cost: each one more doubles the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PasswordCost(u32);

impl PasswordCost {
    /// The fastest: for tests.
    pub const MIN: Self = Self(4);
    /// What Django takes, about a quarter of a second.
    pub const DEFAULT: Self = Self(12);
    /// The slowest, about two seconds.
    pub const MAX: Self = Self(15);

    /// A cost from 4 to 15.
    pub fn new(cost: u32) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&cost)
            .then_some(Self(cost))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Makes and checks stored passwords.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    cost: PasswordCost,
}

impl Passwords {
    /// New hashes will have this cost.
    pub fn new(cost: PasswordCost) -> Self {
        Self { cost }
    }

    /// A new hash: `bcrypt_sha256$$2b$<cost>$<salt and hash>`.
    pub fn hash(&self, password: &str) -> String {
        let salt: [u8; 16] = rand::rng().random();
        let hash = bcrypt_hash(self.cost.0, salt, sha256_hex(password).as_bytes());
        format!(
            "bcrypt_sha256$$2b${:02}${}{}",
            self.cost.0,
            BCRYPT_BASE64.encode(salt),
            BCRYPT_BASE64.encode(hash)
        )
    }

    /// True if `encoded` is a hash of this password. One that nothing can match takes as long as
    /// any other.
    pub fn verify(&self, password: &str, encoded: &str) -> bool {
        let Some(stored) = Stored::parse(encoded) else {
            self.verify_nobody(password);
            return false;
        };
        let right = stored.matches(password);
        if !right && let Stored::BcryptSha256(old) | Stored::Bcrypt(old) = &stored {
            self.make_up_for(old.cost);
        }
        right
    }

    /// The work of checking a password, for a user that there isn't: the answer must not come
    /// sooner than the one for a wrong password.
    pub fn verify_nobody(&self, password: &str) {
        let hash = bcrypt_hash(self.cost.0, [0; 16], sha256_hex(password).as_bytes());
        std::hint::black_box(hash);
    }

    /// Adds to a check at a lower cost what it lacks. Else, after the cost was raised, the time of
    /// a wrong password would tell existing users from invented ones.
    fn make_up_for(&self, cost: u32) {
        for missing in cost..self.cost.0 {
            std::hint::black_box(bcrypt_hash(missing, [0; 16], b""));
        }
    }

    /// True if the next successful sign-in should store the password anew, because new hashes are
    /// made in another way now.
    pub fn needs_rehash(&self, encoded: &str) -> bool {
        !matches!(Stored::parse(encoded), Some(Stored::BcryptSha256(stored)) if stored.cost == self.cost.0)
    }

    /// What is stored for a user who can't sign in by password: `!` and 40 random characters.
    pub fn unusable() -> String {
        let random = rand::rng().sample_iter(rand::distr::Alphanumeric);
        std::iter::once('!')
            .chain(random.take(40).map(char::from))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(PasswordCost::MIN)
    }

    #[test]
    fn a_new_hash_has_djangos_form_and_verifies() {
        let stored = passwords().hash("correct horse");
        assert!(stored.starts_with("bcrypt_sha256$$2b$04$"), "{stored}");
        assert_eq!(stored.len(), "bcrypt_sha256$".len() + 60);
        assert!(passwords().verify("correct horse", &stored));
        assert!(!passwords().verify("Correct horse", &stored));
        assert_ne!(passwords().hash("correct horse"), stored);
    }

    #[test]
    fn no_part_of_a_long_password_is_cut_off() {
        let long = "0123456789".repeat(20);
        let stored = passwords().hash(&long);
        assert!(passwords().verify(&long, &stored));
        assert!(!passwords().verify(&long[..199], &stored));
    }

    #[test]
    fn only_a_hash_of_todays_making_is_kept() {
        let today = passwords().hash("correct horse");
        assert!(!passwords().needs_rehash(&today));
        let dearer = Passwords::new(PasswordCost::new(5).unwrap());
        assert!(dearer.needs_rehash(&today));
        assert!(dearer.verify("correct horse", &today));
        assert!(!dearer.verify("wrong horse", &today));
        for other in ["md5$salt$0123", "bcrypt$$2b$04$", "!unusable", ""] {
            assert!(passwords().needs_rehash(other), "{other}");
        }
        let old = today.replace("bcrypt_sha256", "bcrypt");
        assert!(passwords().needs_rehash(&old));
    }

    #[test]
    fn an_unusable_password_is_matched_by_nothing() {
        let stored = Passwords::unusable();
        assert_eq!(stored.len(), 41);
        for password in ["", "!", &stored, &stored[1..]] {
            assert!(!passwords().verify(password, &stored));
        }
        assert_ne!(Passwords::unusable(), stored);
    }

    #[test]
    fn a_cost_out_of_bounds_is_none() {
        assert_eq!(PasswordCost::new(3), None);
        assert_eq!(PasswordCost::new(4), Some(PasswordCost::MIN));
        assert_eq!(PasswordCost::new(15), Some(PasswordCost::MAX));
        assert_eq!(PasswordCost::new(16), None);
        assert_eq!(PasswordCost::DEFAULT.get(), 12);
    }
}
