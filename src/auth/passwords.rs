//! Passwords as they are stored, in Django's forms. Every form verifies; new ones have the form
//! that the settings name, by default `bcrypt_sha256`, which has none of bcrypt's limit of 72 bytes.
//!
//! Each of these functions takes a core for as long as it is meant to be hard: from async code go
//! through [`PasswordHasher`](super::PasswordHasher).

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use rand::Rng;

use super::stored::{BCRYPT_BASE64, Stored, bcrypt_hash, pbkdf2_sha256, sha256_hex};

/// Letters and digits of a salt, as Django makes them.
const SALT_CHARS: usize = 22;
/// PBKDF2's rounds at the default cost: what Django 5.2 takes.
const PBKDF2_ITERATIONS: u32 = 1_000_000;
/// argon2's memory at the default cost, in KiB, its passes over it and its lanes: what Django takes.
const ARGON2_KIB: u32 = 102_400;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 8;

/// The form in which new passwords are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PasswordForm {
    /// bcrypt over the password's SHA-256.
    #[default]
    BcryptSha256,
    /// What Django writes unless told otherwise.
    Pbkdf2Sha256,
    /// argon2id, which needs memory besides time.
    Argon2,
}

/// What a hash costs, on bcrypt's scale: each one more doubles the time (of argon2 the memory, too).
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

    /// What is `at_default` at the default cost.
    fn scales(self, at_default: u32) -> u32 {
        match self.0.checked_sub(Self::DEFAULT.0) {
            Some(more) => at_default << more,
            None => at_default >> (Self::DEFAULT.0 - self.0),
        }
    }
}

/// Makes and checks stored passwords.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    form: PasswordForm,
    cost: PasswordCost,
}

impl Passwords {
    /// New hashes will have this cost, and the default form.
    pub fn new(cost: PasswordCost) -> Self {
        Self::stored_as(PasswordForm::default(), cost)
    }

    /// New hashes will have this form and cost.
    pub fn stored_as(form: PasswordForm, cost: PasswordCost) -> Self {
        Self { form, cost }
    }

    /// A new hash, as it is stored: `bcrypt_sha256$$2b$<cost>$<salt and hash>` or another form.
    pub fn hash(&self, password: &str) -> String {
        let prefix = self.prefix();
        match self.form {
            PasswordForm::BcryptSha256 => {
                let salt: [u8; 16] = rand::rng().random();
                let hash = bcrypt_hash(self.cost.0, salt, sha256_hex(password).as_bytes());
                let (salt, hash) = (BCRYPT_BASE64.encode(salt), BCRYPT_BASE64.encode(hash));
                format!("{prefix}{salt}{hash}")
            }
            PasswordForm::Pbkdf2Sha256 => {
                let salt = fresh_salt();
                let hash = pbkdf2_sha256(password, &salt, self.iterations());
                format!("{prefix}{salt}${}", STANDARD.encode(hash))
            }
            PasswordForm::Argon2 => {
                let salt = fresh_salt();
                let hash = self.argon2(password, salt.as_bytes());
                let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
                format!("{prefix}{salt}${hash}")
            }
        }
    }

    /// What all hashes of today's making begin with: algorithm and cost.
    fn prefix(&self) -> String {
        match self.form {
            PasswordForm::BcryptSha256 => format!("bcrypt_sha256$$2b${:02}$", self.cost.0),
            PasswordForm::Pbkdf2Sha256 => format!("pbkdf2_sha256${}$", self.iterations()),
            PasswordForm::Argon2 => format!(
                "argon2$argon2id$v=19$m={},t={ARGON2_PASSES},p={ARGON2_LANES}$",
                self.cost.scales(ARGON2_KIB)
            ),
        }
    }

    fn iterations(&self) -> u32 {
        self.cost.scales(PBKDF2_ITERATIONS)
    }

    fn argon2(&self, password: &str, salt: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        let memory_kib = self.cost.scales(ARGON2_KIB);
        let params = Params::new(memory_kib, ARGON2_PASSES, ARGON2_LANES, Some(hash.len()))
            .expect("the smallest cost has 50 KiB a lane, more than argon2's least");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, &mut hash)
            .expect("the salt has argon2's length, and a password is shorter than 4 GiB");
        hash
    }

    /// True if `encoded` is a hash of this password. One that nothing can match takes as long as
    /// any other.
    pub fn verify(&self, password: &str, encoded: &str) -> bool {
        let Some(stored) = Stored::parse(encoded) else {
            self.verify_nobody(password);
            return false;
        };
        let right = stored.matches(password);
        if !right {
            self.make_up_for(&stored);
        }
        right
    }

    /// The work of checking a password, for a user that there isn't: the answer must not come
    /// sooner than the one for a wrong password.
    pub fn verify_nobody(&self, password: &str) {
        std::hint::black_box(self.hash(password));
    }

    /// Adds to a check at a lower cost what it lacks. Else, after the cost was raised, the time of
    /// a wrong password would tell existing users from invented ones.
    fn make_up_for(&self, stored: &Stored<'_>) {
        match (stored, self.form) {
            (Stored::BcryptSha256(old) | Stored::Bcrypt(old), PasswordForm::BcryptSha256) => {
                for missing in old.cost..self.cost.0 {
                    std::hint::black_box(bcrypt_hash(missing, [0; 16], b""));
                }
            }
            (Stored::Pbkdf2Sha256(old), PasswordForm::Pbkdf2Sha256) => {
                let missing = self.iterations().saturating_sub(old.iterations);
                if missing > 0 {
                    std::hint::black_box(pbkdf2_sha256("", "", missing));
                }
            }
            _ => {}
        }
    }

    /// True if the next successful sign-in should store the password anew, because new hashes are
    /// made in another way now.
    pub fn needs_rehash(&self, encoded: &str) -> bool {
        !encoded.starts_with(&self.prefix())
    }

    /// What is stored for a user who can't sign in by password: `!` and 40 random characters.
    pub fn unusable() -> String {
        let random = rand::rng().sample_iter(rand::distr::Alphanumeric);
        std::iter::once('!')
            .chain(random.take(40).map(char::from))
            .collect()
    }
}

fn fresh_salt() -> String {
    let random = rand::rng().sample_iter(rand::distr::Alphanumeric);
    random.take(SALT_CHARS).map(char::from).collect()
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
    fn every_form_can_be_the_one_of_new_passwords_and_the_others_are_stored_anew() {
        let of = |form, cost| Passwords::stored_as(form, PasswordCost::new(cost).unwrap());
        for (form, prefix) in [
            (PasswordForm::BcryptSha256, "bcrypt_sha256$$2b$04$"),
            (PasswordForm::Pbkdf2Sha256, "pbkdf2_sha256$3906$"),
            (PasswordForm::Argon2, "argon2$argon2id$v=19$m=400,t=2,p=8$"),
        ] {
            let stored = of(form, 4).hash("correct horse");
            assert!(stored.starts_with(prefix), "{stored}");
            assert!(stored.len() <= 128, "wider than Django's column: {stored}");
            for (other, cost) in [
                (PasswordForm::BcryptSha256, 4),
                (PasswordForm::Pbkdf2Sha256, 4),
                (PasswordForm::Argon2, 4),
                (form, 5),
            ] {
                let passwords = of(other, cost);
                assert!(passwords.verify("correct horse", &stored), "{stored}");
                assert!(!passwords.verify("wrong horse", &stored), "{stored}");
                assert_eq!(passwords.needs_rehash(&stored), (other, cost) != (form, 4));
            }
        }
        let today = |form| of(form, 12).prefix();
        assert_eq!(today(PasswordForm::Pbkdf2Sha256), "pbkdf2_sha256$1000000$");
        assert_eq!(
            today(PasswordForm::Argon2),
            "argon2$argon2id$v=19$m=102400,t=2,p=8$"
        );
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
