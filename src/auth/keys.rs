//! The keys that tokens are signed and verified with, prepared once.
//!
//! HMAC is the hot path: its key schedule is done beforehand and cloned per token, and a signature
//! is decoded on the stack. What has a public key goes through `jsonwebtoken`, which reads the key
//! anew for each token: a small part of what RSA and ECDSA cost anyway.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, crypto, errors::Error, jwk::Jwk,
};
use sha2::{Sha256, Sha384, Sha512};

use super::secret::{Secret, keyed};

/// Why a key can't be used. Told at start, with the name of the setting that it came from.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("the key is empty")]
    Empty,
    /// Whoever has the public half could then sign tokens with it.
    #[error("a PEM key can't be the shared secret of {0:?}")]
    PemAsSecret(Algorithm),
    /// It can't sign with this algorithm.
    #[error("not a private key for {0:?} (PEM, PKCS#8; for RSA PKCS#1 too): {1}")]
    Private(Algorithm, Error),
    /// It can't verify with this algorithm.
    #[error("not a public key for {0:?} (PEM): {1}")]
    Public(Algorithm, Error),
    /// What the one signs, the other doesn't verify.
    #[error("the public key isn't that of the private key")]
    Mismatch,
    /// A set of public keys holds none that can verify a token.
    #[error("no usable public key in the set (JWKS): {0}")]
    Set(String),
    /// Signing failed, although the key signed when it was loaded.
    #[error("signing failed: {0}")]
    Signing(Error),
}

/// A key that signs.
pub(super) enum SigningKey {
    Shared(Box<SharedKey>),
    Private(Algorithm, EncodingKey),
}

impl SigningKey {
    pub(super) fn new(algorithm: Algorithm, key: &Secret) -> Result<Self, KeyError> {
        let read = match algorithm.family() {
            AlgorithmFamily::Hmac => return Ok(Self::Shared(SharedKey::new(algorithm, key)?)),
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(key.bytes()),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(key.bytes()),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(key.bytes()),
        };
        let key = read.map_err(|cause| KeyError::Private(algorithm, cause))?;
        // The PEM's envelope may be right and its inside not: it shows in the first signature.
        crypto::sign(b"", &key, algorithm).map_err(|cause| KeyError::Private(algorithm, cause))?;
        Ok(Self::Private(algorithm, key))
    }

    /// The key that verifies what this one signs.
    pub(super) fn verifying(&self) -> Result<VerifyingKey, KeyError> {
        match self {
            Self::Shared(key) => Ok(VerifyingKey::Shared(key.clone())),
            Self::Private(algorithm, key) => Jwk::from_encoding_key(key, *algorithm)
                .and_then(|public| DecodingKey::from_jwk(&public))
                .map(|public| VerifyingKey::Public(*algorithm, public))
                .map_err(|cause| KeyError::Private(*algorithm, cause)),
        }
    }

    /// The signature of `message`, as it stands in a token.
    pub(super) fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        match self {
            Self::Shared(key) => Ok(URL_SAFE_NO_PAD.encode(key.sign(message))),
            Self::Private(algorithm, key) => {
                crypto::sign(message, key, *algorithm).map_err(KeyError::Signing)
            }
        }
    }
}

/// A key by which tokens are taken, those of its own algorithm only. Where both name a key id, the
/// token's must be this one's.
pub(super) struct Accepted {
    /// As headers say it.
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    pub(super) key: VerifyingKey,
}

impl Accepted {
    pub(super) fn new(algorithm: Algorithm, kid: Option<String>, key: VerifyingKey) -> Self {
        Self {
            // `Debug` prints the variants, which are named as RFC 7518 names the algorithms.
            algorithm: format!("{algorithm:?}"),
            kid,
            key,
        }
    }

    /// Whether a token with such a header may be this key's.
    pub(super) fn may_verify(&self, algorithm: &str, kid: Option<&str>) -> bool {
        let is_other = |of_key: &String| kid.is_some_and(|kid| kid != of_key);
        self.algorithm == algorithm && !self.kid.as_ref().is_some_and(is_other)
    }
}

/// A key that verifies.
pub(super) enum VerifyingKey {
    Shared(Box<SharedKey>),
    Public(Algorithm, DecodingKey),
}

impl VerifyingKey {
    /// For the HMAC algorithms the shared secret, else a public key as PEM.
    pub(super) fn new(algorithm: Algorithm, key: &Secret) -> Result<Self, KeyError> {
        let read = match algorithm.family() {
            AlgorithmFamily::Hmac => return Ok(Self::Shared(SharedKey::new(algorithm, key)?)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(key.bytes()),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(key.bytes()),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(key.bytes()),
        };
        // Reading a PEM looks at its envelope only. The rest is read here, so that a broken key is
        // told of at start and not by refusing every token. RSA's parts are read first because
        // its verifier takes a key that it can't read for a wrong signature.
        read.and_then(|key| Self::public(algorithm, key))
            .map_err(|cause| KeyError::Public(algorithm, cause))
    }

    /// A key that was in use before: what [`new`](Self::new) takes, or the private key itself.
    pub(super) fn earlier(algorithm: Algorithm, key: &Secret) -> Result<Self, KeyError> {
        match Self::new(algorithm, key) {
            Err(KeyError::Public(..)) if key.is_private_pem() => {
                SigningKey::new(algorithm, key)?.verifying()
            }
            read => read,
        }
    }

    pub(super) fn public(algorithm: Algorithm, key: DecodingKey) -> Result<Self, Error> {
        Jwk::from_decoding_key(&key, None)?;
        crypto::verify("", b"", &key, algorithm)?;
        Ok(Self::Public(algorithm, key))
    }

    /// True if `signature`, as it stands in a token, is this key's for `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        match self {
            Self::Shared(key) => {
                let mut given = [0; 64];
                match URL_SAFE_NO_PAD.decode_slice(signature, &mut given) {
                    Ok(length) => key.verifies(message, &given[..length]),
                    Err(_) => false,
                }
            }
            Self::Public(algorithm, key) => {
                crypto::verify(signature, message, key, *algorithm).unwrap_or(false)
            }
        }
    }
}

/// A shared secret, with HMAC's two key blocks hashed already.
#[derive(Clone)]
pub(super) enum SharedKey {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl SharedKey {
    /// Boxed, because its hashers' states take ten times the room of any other key.
    fn new(algorithm: Algorithm, secret: &Secret) -> Result<Box<Self>, KeyError> {
        let bytes = secret.bytes();
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if secret.is_pem() {
            return Err(KeyError::PemAsSecret(algorithm));
        }
        Ok(Box::new(match algorithm {
            Algorithm::HS384 => Self::Sha384(keyed(bytes)),
            Algorithm::HS512 => Self::Sha512(keyed(bytes)),
            _ => Self::Sha256(keyed(bytes)),
        }))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        fn tag(mac: impl Mac, message: &[u8]) -> Vec<u8> {
            mac.chain_update(message).finalize().as_bytes().to_vec()
        }
        match self {
            Self::Sha256(mac) => tag(mac.clone(), message),
            Self::Sha384(mac) => tag(mac.clone(), message),
            Self::Sha512(mac) => tag(mac.clone(), message),
        }
    }

    /// Compared in constant time.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Sha256(mac) => mac.clone().chain_update(message).verify_slice(signature),
            Self::Sha384(mac) => mac.clone().chain_update(message).verify_slice(signature),
            Self::Sha512(mac) => mac.clone().chain_update(message).verify_slice(signature),
        }
        .is_ok()
    }
}
