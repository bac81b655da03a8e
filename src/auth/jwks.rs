//! Sets of public keys (JWKS, RFC 7517), as identity services publish them.
//!
//! A key verifies its own algorithm alone: the one that it names, else the one that its type has. Keys for encryption
//! and those of a kind that isn't known are passed over; a shared secret in a set of public keys is refused.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use super::keys::{Accepted, KeyError, VerifyingKey};

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set that can verify tokens.
pub(super) fn read(text: &str) -> Result<Vec<Accepted>, KeyError> {
    let set: Set = serde_json::from_str(text).map_err(|cause| KeyError::Set(cause.to_string()))?;
    let mut accepted = Vec::new();
    let mut passed_over = Vec::new();
    for (place, key) in set.keys.into_iter().enumerate() {
        if key["kty"] == "oct" {
            let problem =
                format!("key {place} is a shared secret, which belongs in no published set");
            return Err(KeyError::Set(problem));
        }
        match accept(key) {
            Ok(key) => accepted.push(key),
            Err(reason) => passed_over.push(format!("key {place}: {reason}")),
        }
    }
    match accepted.is_empty() {
        true => Err(KeyError::Set(passed_over.join("; "))),
        false => Ok(accepted),
    }
}

fn accept(key: Value) -> Result<Accepted, String> {
    let jwk: Jwk = serde_json::from_value(key).map_err(|cause| cause.to_string())?;
    if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return Err("it is for encryption".to_owned());
    }
    let algorithm = match jwk.common.key_algorithm {
        Some(named) => Algorithm::try_from(named).map_err(|cause| cause.to_string())?,
        None => algorithm_of(&jwk).ok_or("its algorithm isn't known")?,
    };
    let key = DecodingKey::from_jwk(&jwk).map_err(|cause| cause.to_string())?;
    let key = VerifyingKey::public(algorithm, key).map_err(|cause| cause.to_string())?;
    Ok(Accepted::new(algorithm, jwk.common.key_id, key))
}

fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Some(Algorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => Some(Algorithm::EdDSA),
            _ => None,
        },
        _ => None,
    }
}
