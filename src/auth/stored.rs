//! The stored forms of a password that Django has had, as they stand in `auth_user.password`.
//!
//! All of them verify; which one new hashes have is decided in `passwords`. A hash comes from our
//! own table, but that may have been filled by an import: one that would cost more than the limits
//! below doesn't verify.

use argon2::Argon2;
use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD, STANDARD_NO_PAD},
};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Django 6.1 writes 1,500,000.
const PBKDF2_ITERATIONS_MAX: u32 = 20_000_000;
/// Django writes 12; each one more doubles the time, and 18 takes some 15 s.
const BCRYPT_COST_MAX: u32 = 18;
/// Django writes 16 MiB for scrypt and 100 MiB for argon2.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Passes over all of the memory, times lanes. Django writes 5 for scrypt and 2 for argon2.
const PASSES_MAX: u32 = 64;

/// bcrypt's own order of the 64 characters.
pub(super) const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);

/// A stored password, taken apart.
pub(super) enum Stored<'a> {
    Pbkdf2Sha256(Pbkdf2<'a>),
    Pbkdf2Sha1(Pbkdf2<'a>),
    Argon2 {
        argon2: Argon2<'a>,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    BcryptSha256(Bcrypt),
    Bcrypt(Bcrypt),
    Scrypt {
        params: scrypt::Params,
        salt: &'a str,
        hash: Vec<u8>,
    },
    Md5 {
        salt: &'a str,
        hex: &'a str,
    },
}

pub(super) struct Pbkdf2<'a> {
    pub(super) iterations: u32,
    salt: &'a str,
    hash: Vec<u8>,
}

pub(super) struct Bcrypt {
    pub(super) cost: u32,
    pub(super) salt: [u8; 16],
    pub(super) hash: [u8; 23],
}

impl<'a> Stored<'a> {
    /// Nothing if no password can match: it is unusable (`!...`), no form of Django's, or costs
    /// too much.
    pub(super) fn parse(encoded: &'a str) -> Option<Self> {
        let (algorithm, rest) = encoded.split_once('$')?;
        match algorithm {
            "pbkdf2_sha256" => Pbkdf2::parse(rest).map(Self::Pbkdf2Sha256),
            "pbkdf2_sha1" => Pbkdf2::parse(rest).map(Self::Pbkdf2Sha1),
            "argon2" => parse_argon2(rest),
            "bcrypt_sha256" => Bcrypt::parse(rest).map(Self::BcryptSha256),
            "bcrypt" => Bcrypt::parse(rest).map(Self::Bcrypt),
            "scrypt" => parse_scrypt(rest),
            "md5" => {
                let (salt, hex) = rest.split_once('$')?;
                (!salt.is_empty()).then_some(Self::Md5 { salt, hex })
            }
            _ => None,
        }
    }

    /// True if it is the hash of this password. Compared in constant time.
    pub(super) fn matches(&self, password: &str) -> bool {
        let bytes = password.as_bytes();
        match self {
            Self::Pbkdf2Sha256(stored) => {
                let hash = pbkdf2_sha256(password, stored.salt, stored.iterations);
                same(&hash, &stored.hash)
            }
            Self::Pbkdf2Sha1(stored) => {
                let mut hash = [0; 20];
                pbkdf2::pbkdf2_hmac::<Sha1>(
                    bytes,
                    stored.salt.as_bytes(),
                    stored.iterations,
                    &mut hash,
                );
                same(&hash, &stored.hash)
            }
            Self::Argon2 { argon2, salt, hash } => {
                let mut computed = vec![0; hash.len()];
                let done = argon2.hash_password_into(bytes, salt, &mut computed);
                done.is_ok() && same(&computed, hash)
            }
            Self::BcryptSha256(stored) => stored.matches(sha256_hex(password).as_bytes()),
            Self::Bcrypt(stored) => stored.matches(bytes),
            Self::Scrypt { params, salt, hash } => {
                let mut computed = [0; 64];
                let done = scrypt::scrypt(bytes, salt.as_bytes(), params, &mut computed);
                done.is_ok() && same(&computed, hash)
            }
            Self::Md5 { salt, hex: stored } => {
                let computed = Md5::new()
                    .chain_update(salt)
                    .chain_update(password)
                    .finalize();
                same(hex(&computed).as_bytes(), stored.as_bytes())
            }
        }
    }
}

impl<'a> Pbkdf2<'a> {
    /// `<iterations>$<salt>$<base64>`
    fn parse(rest: &'a str) -> Option<Self> {
        let mut parts = rest.splitn(3, '$');
        let iterations = parts.next()?.parse().ok()?;
        let salt = parts.next()?;
        let hash = STANDARD.decode(parts.next()?).ok()?;
        (1..=PBKDF2_ITERATIONS_MAX)
            .contains(&iterations)
            .then_some(Self {
                iterations,
                salt,
                hash,
            })
    }
}

impl Bcrypt {
    /// `$2b$<cost>$<22 characters salt><31 characters hash>`
    fn parse(rest: &str) -> Option<Self> {
        let (version, rest) = rest.strip_prefix('$')?.split_once('$')?;
        let (cost, rest) = rest.split_once('$')?;
        let (salt, hash) = rest.split_at_checked(22)?;
        let cost = cost.parse().ok()?;
        // 2x marks the hashes of a faulty implementation; the others are one algorithm.
        let known = matches!(version, "2a" | "2b" | "2y") && (4..=BCRYPT_COST_MAX).contains(&cost);
        known.then_some(Self {
            cost,
            salt: BCRYPT_BASE64.decode(salt).ok()?.try_into().ok()?,
            hash: BCRYPT_BASE64.decode(hash).ok()?.try_into().ok()?,
        })
    }

    fn matches(&self, password: &[u8]) -> bool {
        same(&bcrypt_hash(self.cost, self.salt, password), &self.hash)
    }
}

/// bcrypt of the password and the NUL behind it, of which the first 72 bytes count.
pub(super) fn bcrypt_hash(cost: u32, salt: [u8; 16], password: &[u8]) -> [u8; 23] {
    let mut key = [0; 72];
    let length = password.len().min(key.len());
    key[..length].copy_from_slice(&password[..length]);
    let key = &key[..(length + 1).min(72)];
    let mut hash = [0; 23];
    hash.copy_from_slice(&bcrypt::bcrypt(cost, salt, key)[..23]);
    hash
}

/// PBKDF2 with HMAC-SHA256; the salt is taken as its text's bytes.
pub(super) fn pbkdf2_sha256(password: &str, salt: &str, iterations: u32) -> [u8; 32] {
    let mut hash = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt.as_bytes(), iterations, &mut hash);
    hash
}

/// What `bcrypt_sha256` gives to bcrypt, so that no part of a long password is cut off.
pub(super) fn sha256_hex(password: &str) -> String {
    hex(&Sha256::digest(password))
}

/// `$argon2id$v=19$m=102400,t=2,p=8$<salt>$<hash>`, the base64 without padding. Django up to 3.1
/// wrote argon2i.
fn parse_argon2(rest: &str) -> Option<Stored<'_>> {
    let mut parts = rest.split('$');
    let algorithm = parts.next()?.parse().ok()?;
    let version = parts.next()?.strip_prefix("v=")?.parse::<u32>().ok()?;
    let mut costs = parts.next()?.split(',');
    let mut cost = |name| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let (memory_kib, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
    let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    if u64::from(memory_kib) * 1024 > MEMORY_BYTES_MAX || passes > PASSES_MAX {
        return None;
    }
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(hash.len())).ok()?;
    let argon2 = Argon2::new(algorithm, version.try_into().ok()?, params);
    Some(Stored::Argon2 { argon2, salt, hash })
}

/// `<N>$<salt>$<r>$<p>$<base64>`
fn parse_scrypt(rest: &str) -> Option<Stored<'_>> {
    let mut parts = rest.splitn(5, '$');
    let n: u64 = parts.next()?.parse().ok()?;
    let salt = parts.next()?;
    let r: u32 = parts.next()?.parse().ok()?;
    let p: u32 = parts.next()?.parse().ok()?;
    let hash = STANDARD.decode(parts.next()?).ok()?;
    let memory_bytes = n.checked_mul(128)?.checked_mul(r.into())?;
    if !n.is_power_of_two() || memory_bytes > MEMORY_BYTES_MAX || p > PASSES_MAX {
        return None;
    }
    let params = scrypt::Params::new(n.ilog2() as u8, r, p).ok()?;
    Some(Stored::Scrypt { params, salt, hash })
}

fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors(json: &str) -> Vec<Value> {
        let mut file: Value = serde_json::from_str(json).unwrap();
        serde_json::from_value(file["vectors"].take()).unwrap()
    }

    fn matches(password: &str, encoded: &str) -> bool {
        Stored::parse(encoded).is_some_and(|stored| stored.matches(password))
    }

    fn check(vector: &Value) {
        let text = |name: &str| vector[name].as_str();
        let (password, encoded) = (text("password").unwrap(), text("encoded").unwrap());
        assert!(matches(password, encoded), "{encoded}");
        if let Some(also) = text("also_verifies") {
            assert!(matches(also, encoded), "{encoded}");
        }
        assert!(!matches(&format!("x{password}"), encoded), "{encoded}");
    }

    #[test]
    fn every_form_verifies_its_password_and_no_other() {
        let vectors = vectors(include_str!(
            "../../tests/vectors/password_hashes_cheap.json"
        ));
        assert!(vectors.len() > 40);
        vectors.iter().for_each(check);
    }

    /// The same at the costs that Django really writes: a minute of work for a debug build.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "slow without optimisation")]
    fn every_form_verifies_at_djangos_own_costs() {
        let vectors = vectors(include_str!("../../tests/vectors/password_hashes.json"));
        assert!(vectors.len() > 20);
        vectors.iter().for_each(check);
    }

    #[test]
    fn what_no_password_matches_is_not_taken_apart() {
        let cheap = vectors(include_str!(
            "../../tests/vectors/password_hashes_cheap.json"
        ));
        let argon2 = cheap
            .iter()
            .find(|vector| vector["algorithm"] == "argon2")
            .unwrap();
        let argon2 = argon2["encoded"].as_str().unwrap();
        for wrong in [
            "",
            "!",
            "!ygBSD9qceYCeEN7HTXBIaKjKLy2QoZLyNkfnOAe3",
            "plain text",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "md5$$5f4dcc3b5aa765d61d8327deb882cf99",
            "sha1$salt$5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
            "crypt$$ab1Hv2Lg7ltQo",
            "pbkdf2_sha256$0$salt$AAAA",
            "pbkdf2_sha256$1000$salt",
            "pbkdf2_sha256$1000$salt$not base64",
            "pbkdf2_sha256$99999999$salt$AAAA",
            "scrypt$16385$salt$8$5$AAAA",
            "scrypt$16384$salt$0$5$AAAA",
            "scrypt$16777216$salt$8$1$AAAA",
            "scrypt$18446744073709551615$salt$8$1$AAAA",
            "scrypt$16384$salt$8$999999$AAAA",
            &argon2.replace("m=64", "m=4294967295"),
            &argon2.replace("t=1", "t=4294967295"),
            &argon2.replace("p=2", "p=0"),
            &argon2.replace("v=19", "v=20"),
            &argon2.replace("argon2id", "argon2x"),
            "bcrypt$$2b$31$sYxCwWdTyoU.BOw1vYHUz.QJFoKh/VgDnzyi4TvIq67dZnwV0U9iO",
            "bcrypt$$2x$04$sYxCwWdTyoU.BOw1vYHUz.QJFoKh/VgDnzyi4TvIq67dZnwV0U9iO",
            "bcrypt$$2b$04$sYxCwWdTyoU.BOw1vYHUz.QJFoKh",
            "bcrypt$$2b$04$sYxCwWdTyoU.BOw1vYHUzЖQJFoKh/VgDnzyi4TvIq67dZnwV0U9iO",
        ] {
            assert!(Stored::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_that_was_cut_matches_nothing() {
        for vector in vectors(include_str!(
            "../../tests/vectors/password_hashes_cheap.json"
        )) {
            let encoded = vector["encoded"].as_str().unwrap();
            let password = vector["password"].as_str().unwrap();
            for length in encoded.len().saturating_sub(24)..encoded.len() {
                assert!(
                    !matches(password, &encoded[..length]),
                    "{}",
                    &encoded[..length]
                );
            }
        }
    }
}
