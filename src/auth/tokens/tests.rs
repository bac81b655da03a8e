use chrono::TimeDelta;
use serde_json::json;

use super::*;

const KEY: &str = "test-only-secret-key-0123456789-abcdefghijklmnopqrstuvwxyz-XYZ";

/// 2026-11-20T12:00:00Z, when the vectors were made.
const MADE_AT: i64 = 1_795_176_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn now() -> DateTime<Utc> {
    at(MADE_AT)
}

fn settings() -> TokenSettings {
    TokenSettings::new(Secret::new(KEY))
}

fn keys() -> TokenKeys {
    TokenKeys::new(settings()).unwrap()
}

/// A token with any header and payload, rightly signed with HMAC-SHA256.
fn signed_with(header: Value, payload: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let key = SigningKey::new(Algorithm::HS256, &Secret::new(KEY)).unwrap();
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{signature}")
}

fn signed(payload: Value) -> String {
    signed_with(json!({"alg": "HS256", "typ": "JWT"}), &payload.to_string())
}

/// A good access token's payload, with some claims changed and others (null) taken out.
fn payload(changes: Value) -> Value {
    let mut payload = json!({
        "token_type": "access", "exp": MADE_AT + 900, "iat": MADE_AT, "jti": "a", "user_id": "1",
    });
    for (claim, value) in changes.as_object().unwrap() {
        payload[claim] = value.clone();
    }
    payload
}

fn access(keys: &TokenKeys, token: &str) -> Result<Claims, TokenError> {
    keys.verify(token, TokenKind::Access, now())
}

fn said(verdict: Result<impl Sized, TokenError>) -> String {
    verdict.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

#[test]
fn every_token_of_simplejwt_gets_simplejwts_verdict() {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/jwt_tokens.json")).unwrap();
    let keys = keys();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 20);
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap();
        let (name, token) = (text("name"), text("token"));
        for (asked, verdict) in vector["simplejwt_result"].as_object().unwrap() {
            let told = match asked.as_str() {
                "as_access" => said(access(&keys, token)),
                "as_refresh" => said(keys.verify(token, TokenKind::Refresh, now())),
                _ => said(keys.verify_untyped(token, now())),
            };
            let nameless = ["no user_id", "user_id that is no integer"];
            let expected = match verdict.as_str().unwrap() {
                // simplejwt looks for the user later, and answers what follows with a status 500.
                "ok" if asked == "as_access" && nameless.contains(&name) => {
                    "Token contained no recognizable user identification"
                }
                "UNCAUGHT KeyError" => "Token has no id",
                "UNCAUGHT TypeError" => "Token is invalid",
                verdict => verdict,
            };
            assert_eq!(told, expected, "{name}, {asked}");
        }
    }
}

#[test]
fn every_algorithm_takes_pyjwts_token_and_its_own() {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/jwt_algorithms.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all: Vec<(Algorithm, TokenKeys, String)> = vectors
        .iter()
        .map(|vector| {
            let settings = TokenSettings {
                algorithm: text(&vector["algorithm"]).parse().unwrap(),
                key: Secret::new(text(&vector["key"])),
                public_key: vector["public_key"].as_str().map(Secret::new),
                ..settings()
            };
            // The public key may be left out, and be the only one that is left.
            let computed = TokenSettings {
                public_key: None,
                ..settings.clone()
            };
            let foreign = TokenSettings {
                key: settings.key.clone(),
                previous_keys: Vec::from_iter(settings.public_key.clone()),
                ..settings.clone()
            };
            for settings in [computed, foreign] {
                let keys = TokenKeys::new(settings).unwrap();
                assert!(access(&keys, &text(&vector["token"])).is_ok());
            }
            let algorithm = settings.algorithm;
            (
                algorithm,
                TokenKeys::new(settings).unwrap(),
                text(&vector["token"]),
            )
        })
        .collect();
    assert_eq!(all.len(), 9);

    for (algorithm, keys, pyjwts) in &all {
        let claims = access(keys, pyjwts).unwrap();
        assert_eq!(claims.user_id, UserId(1), "{algorithm:?}");
        let token = NewToken {
            user_id: UserId(1),
            sid: None,
            jti: &"a".repeat(32),
            issued_at: now(),
            lifetime: Duration::from_secs(4_948_776_000 - MADE_AT as u64),
        };
        let ours = keys.sign_access(&token).unwrap();
        assert_eq!(access(keys, &ours).unwrap(), claims, "{algorithm:?}");
        // The same claims in the same order, and but for ECDSA's randomness the same signature.
        let message = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(message(&ours), message(pyjwts), "{algorithm:?}");
        assert_eq!(keys.sign_access(&token).unwrap(), ours, "{algorithm:?}");

        for (other, other_keys, _) in &all {
            let verdict = access(other_keys, pyjwts);
            assert_eq!(
                verdict.is_ok(),
                other == algorithm,
                "{algorithm:?} by {other:?}"
            );
        }
    }
}

#[test]
fn what_is_signed_here_says_all_that_it_was_given() {
    let sid = SessionId("9f1c".to_owned());
    let keys = TokenKeys::new(TokenSettings {
        issuer: Some("a \"quoted\" issuer".to_owned()),
        audience: Some("chat".to_owned()),
        ..settings()
    })
    .unwrap();
    let jti = new_jti();
    let token = NewToken {
        user_id: UserId(42),
        sid: Some(&sid),
        jti: &jti,
        issued_at: now() + TimeDelta::milliseconds(999),
        lifetime: Duration::from_secs(900),
    };
    let text = keys.sign_refresh(&token).unwrap();
    let claims = keys.verify(&text, TokenKind::Refresh, now()).unwrap();
    let expected = Claims {
        kind: TokenKind::Refresh,
        user_id: UserId(42),
        jti: jti.clone(),
        sid: Some(sid),
        exp: MADE_AT + 900,
        iat: Some(MADE_AT),
    };
    assert_eq!(claims, expected);

    let payload = text.split('.').nth(1).unwrap();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(
        payload,
        format!(
            r#"{{"token_type":"refresh","exp":{},"iat":{MADE_AT},"jti":"{jti}","user_id":"42","sid":"9f1c","aud":"chat","iss":"a \"quoted\" issuer"}}"#,
            MADE_AT + 900
        )
    );
}

#[test]
fn a_jti_is_a_random_uuid_in_hex() {
    let jti = new_jti();
    assert_eq!(jti.len(), 32);
    assert!(
        jti.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
    assert_eq!(&jti[12..13], "4");
    assert_ne!(jti, new_jti());
}

#[test]
fn a_token_ends_when_its_second_comes_and_the_leeway_lets_it_live_on() {
    let token = signed(payload(json!({})));
    let keys = keys();
    let lenient = TokenKeys::new(TokenSettings {
        leeway: Duration::from_secs(10),
        ..settings()
    });
    let lenient = lenient.unwrap();
    for (keys, end) in [(&keys, 900), (&lenient, 910)] {
        let just_before = at(MADE_AT + end) - TimeDelta::milliseconds(1);
        assert!(keys.verify(&token, TokenKind::Access, just_before).is_ok());
        let verdict = keys.verify(&token, TokenKind::Access, at(MADE_AT + end));
        assert_eq!(verdict, Err(TokenError::Expired));
    }
}

#[test]
fn a_token_from_the_future_is_invalid_but_within_the_leeway() {
    let lenient = TokenKeys::new(TokenSettings {
        leeway: Duration::from_secs(10),
        ..settings()
    });
    let lenient = lenient.unwrap();
    for claim in ["iat", "nbf"] {
        let early = signed(payload(json!({ claim: MADE_AT + 10 })));
        assert_eq!(access(&keys(), &early), Err(TokenError::Invalid), "{claim}");
        assert!(access(&lenient, &early).is_ok(), "{claim}");
        let earlier = signed(payload(json!({ claim: MADE_AT + 11 })));
        assert_eq!(
            access(&lenient, &earlier),
            Err(TokenError::Invalid),
            "{claim}"
        );
    }
}

#[test]
fn cve_2026_25537_a_time_that_is_no_number_does_not_count_as_absent() {
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!("4948776000"),
            json!("soon"),
            json!([1]),
            json!({}),
            json!(true),
            json!(null),
        ] {
            let mut odd = payload(json!({}));
            odd[claim] = value.clone();
            let verdict = access(&keys(), &signed(odd));
            assert_eq!(verdict, Err(TokenError::Invalid), "{claim} {value}");
        }
    }
}

#[test]
fn an_expiry_beyond_all_calendars_is_invalid() {
    for far in [json!(253_402_300_800_i64), json!(u64::MAX), json!(1e300)] {
        let verdict = access(&keys(), &signed(payload(json!({ "exp": far }))));
        assert_eq!(verdict, Err(TokenError::Invalid), "{far}");
    }
    let last = access(
        &keys(),
        &signed(payload(json!({"exp": 253_402_300_799_i64}))),
    );
    assert_eq!(last.map(|claims| claims.exp), Ok(253_402_300_799));
    let past = access(&keys(), &signed(payload(json!({"exp": -1e300}))));
    assert_eq!(past, Err(TokenError::Expired));
}

#[test]
fn of_several_faults_simplejwts_first_is_told() {
    use TokenError::*;
    let without = |claims: &[&str], mut payload: Value| {
        for claim in claims {
            payload.as_object_mut().unwrap().remove(*claim);
        }
        signed(payload)
    };
    let expired = payload(json!({"exp": MADE_AT - 1, "token_type": "refresh"}));
    let early = payload(json!({"exp": MADE_AT - 1, "iat": MADE_AT + 1}));
    let good = || payload(json!({}));
    let refresh = payload(json!({"token_type": "refresh"}));
    for (token, told) in [
        (without(&[], early), Invalid),
        (without(&["jti", "user_id"], expired), Expired),
        (
            without(&["exp", "jti", "token_type", "user_id"], good()),
            NoExpiry,
        ),
        (without(&["exp"], payload(json!({"sub": 1}))), Invalid),
        (without(&["jti", "token_type", "user_id"], good()), NoId),
        (without(&["token_type", "user_id"], good()), NoType),
        (without(&["user_id"], refresh), WrongType),
        (without(&["user_id"], good()), NoUser),
    ] {
        assert_eq!(access(&keys(), &token), Err(told));
    }
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    for odd in [
        json!({"jti": 5}),
        json!({"jti": null}),
        json!({"sub": 5}),
        json!({"sub": null}),
    ] {
        let verdict = access(&keys(), &signed(payload(odd.clone())));
        assert_eq!(verdict, Err(TokenError::Invalid), "{odd}");
    }
    for odd in [
        json!(5),
        json!(null),
        json!(["access"]),
        json!("sliding"),
        json!("Access"),
    ] {
        let verdict = access(&keys(), &signed(payload(json!({ "token_type": odd }))));
        assert_eq!(verdict, Err(TokenError::WrongType), "{odd}");
    }
    for odd in [
        json!("abc"),
        json!(""),
        json!(null),
        json!(1.5),
        json!(true),
        json!(u64::MAX),
    ] {
        let verdict = access(&keys(), &signed(payload(json!({ "user_id": odd }))));
        assert_eq!(verdict, Err(TokenError::NoUser), "{odd}");
    }
    let verdict = access(&keys(), &signed(payload(json!({"sid": 5}))));
    assert_eq!(verdict.map(|claims| claims.sid), Ok(None));
}

#[test]
fn issuer_and_audience_are_asked_for_where_they_are_set() {
    let keys = TokenKeys::new(TokenSettings {
        issuer: Some("us".to_owned()),
        audience: Some("chat".to_owned()),
        ..settings()
    })
    .unwrap();
    for right in [
        json!({"iss": "us", "aud": "chat"}),
        json!({"iss": "us", "aud": ["mail", "chat"]}),
    ] {
        assert!(
            access(&keys, &signed(payload(right.clone()))).is_ok(),
            "{right}"
        );
    }
    for wrong in [
        json!({}),
        json!({"iss": "us"}),
        json!({"aud": "chat"}),
        json!({"iss": "them", "aud": "chat"}),
        json!({"iss": ["us"], "aud": "chat"}),
        json!({"iss": "us", "aud": "mail"}),
        json!({"iss": "us", "aud": []}),
        json!({"iss": "us", "aud": ["chat", 5]}),
        json!({"iss": "us", "aud": {"chat": "chat"}}),
    ] {
        let verdict = access(&keys, &signed(payload(wrong.clone())));
        assert_eq!(verdict, Err(TokenError::Invalid), "{wrong}");
    }
}

#[test]
fn the_claim_that_names_the_user_is_a_setting() {
    let named = |claim: &str| {
        TokenKeys::new(TokenSettings {
            user_id_claim: claim.to_owned(),
            ..settings()
        })
        .unwrap()
    };
    let token = signed(payload(json!({"account": 7, "sub": "9"})));
    assert_eq!(
        access(&named("account"), &token).unwrap().user_id,
        UserId(7)
    );
    assert_eq!(access(&named("sub"), &token).unwrap().user_id, UserId(9));
    // As `sub` it is held to that claim's own rule too.
    let number = signed(payload(json!({"sub": 9})));
    assert_eq!(access(&named("sub"), &number), Err(TokenError::Invalid));
}

#[test]
fn the_previous_keys_verify_and_sign_no_more() {
    let old = TokenKeys::new(TokenSettings::new(Secret::new("the old key"))).unwrap();
    let both = TokenKeys::new(TokenSettings {
        previous_keys: vec![Secret::new("an older key"), Secret::new("the old key")],
        ..settings()
    })
    .unwrap();
    let token = NewToken {
        user_id: UserId(1),
        sid: None,
        jti: "a",
        issued_at: now(),
        lifetime: Duration::from_secs(900),
    };
    assert!(access(&both, &old.sign_access(&token).unwrap()).is_ok());
    let new = both.sign_access(&token).unwrap();
    assert!(access(&both, &new).is_ok());
    assert_eq!(access(&old, &new), Err(TokenError::Invalid));
    assert_eq!(new, keys().sign_access(&token).unwrap());
}

#[test]
fn only_a_header_that_means_the_same_is_taken() {
    let body = payload(json!({})).to_string();
    for right in [
        json!({"alg": "HS256"}),
        json!({"typ": "at+jwt", "alg": "HS256", "kid": "1", "x": {"y": []}}),
    ] {
        let token = signed_with(right.clone(), &body);
        assert!(access(&keys(), &token).is_ok(), "{right}");
    }
    for wrong in [
        json!({"typ": "JWT"}),
        json!({"alg": "none"}),
        json!({"alg": "HS384"}),
        json!({"alg": "RS256"}),
        json!({"alg": "hs256"}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "kid": 1}),
        json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
        json!({"alg": "HS256", "crit": null}),
        json!({"alg": "HS256", "b64": false}),
        json!(["HS256"]),
    ] {
        let verdict = access(&keys(), &signed_with(wrong.clone(), &body));
        assert_eq!(verdict, Err(TokenError::Invalid), "{wrong}");
    }
}

/// The recorded keys and tokens of one algorithm.
fn recorded(algorithm: &str) -> Value {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/jwt_algorithms.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let named = |vector: &&Value| vector["algorithm"] == algorithm;
    vectors.iter().find(named).unwrap().clone()
}

/// The public half of a recorded key, as a set of keys has it.
fn jwk(algorithm: &str, changes: Value) -> Value {
    use jsonwebtoken::{DecodingKey, jwk::Jwk};
    let pem = recorded(algorithm)["public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let key = match &algorithm[..2] {
        "RS" => DecodingKey::from_rsa_pem(pem.as_bytes()),
        "ES" => DecodingKey::from_ec_pem(pem.as_bytes()),
        _ => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    let jwk = Jwk::from_decoding_key(&key.unwrap(), None).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn with_set(keys: Value) -> Result<TokenKeys, KeyError> {
    TokenKeys::new(TokenSettings {
        key_set: Some(json!({ "keys": keys }).to_string()),
        ..settings()
    })
}

#[test]
fn a_set_of_keys_takes_each_key_s_tokens_and_our_own() {
    let others = ["RS256", "ES256", "ES384", "EdDSA"];
    let set: Vec<Value> = others.iter().map(|name| jwk(name, json!({}))).collect();
    let keys = with_set(json!(set)).unwrap();
    for name in others {
        let token = recorded(name)["token"].as_str().unwrap().to_owned();
        assert!(access(&keys, &token).is_ok(), "{name}");
    }
    let ours = signed(payload(json!({})));
    assert!(access(&keys, &ours).is_ok());
    // RS512 by the key of RS256: a key has one algorithm.
    let key = jwk("RS512", json!({}));
    let token = recorded("RS512")["token"].as_str().unwrap().to_owned();
    let verdict = access(&with_set(json!([key])).unwrap(), &token);
    assert_eq!(verdict, Err(TokenError::Invalid));
    let named = jwk("RS512", json!({"alg": "RS512"}));
    assert!(access(&with_set(json!([named])).unwrap(), &token).is_ok());
}

#[test]
fn a_key_id_that_is_another_s_is_not_tried() {
    let sign = |kid: Option<&str>| {
        let key = recorded("ES256")["key"].as_str().unwrap().to_owned();
        let key = SigningKey::new(Algorithm::ES256, &Secret::new(key)).unwrap();
        let mut header = json!({"alg": "ES256", "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let payload = URL_SAFE_NO_PAD.encode(payload(json!({})).to_string());
        let message = format!("{header}.{payload}");
        let signature = key.sign(message.as_bytes()).unwrap();
        format!("{message}.{signature}")
    };
    let keys = with_set(json!([jwk("ES256", json!({"kid": "summer"}))])).unwrap();
    assert!(access(&keys, &sign(Some("summer"))).is_ok());
    assert!(access(&keys, &sign(None)).is_ok());
    assert_eq!(
        access(&keys, &sign(Some("winter"))),
        Err(TokenError::Invalid)
    );
}

#[test]
fn a_public_key_verifies_no_hmac() {
    let public = recorded("RS256")["public_key"].as_str().unwrap().to_owned();
    let keys = TokenKeys::new(TokenSettings {
        others: vec![(Algorithm::RS256, Secret::new(public.clone()))],
        ..settings()
    })
    .unwrap();
    let rsa = recorded("RS256")["token"].as_str().unwrap().to_owned();
    assert!(access(&keys, &rsa).is_ok());
    let message = signed(payload(json!({})));
    let (message, _) = message.rsplit_once('.').unwrap();
    let mut mac: hmac::Hmac<sha2::Sha256> = super::super::secret::keyed(public.as_bytes());
    hmac::Mac::update(&mut mac, message.as_bytes());
    let tag = hmac::Mac::finalize(mac).into_bytes();
    let confused = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(access(&keys, &confused), Err(TokenError::Invalid));
}

#[test]
fn a_set_without_a_usable_key_is_refused_at_start() {
    let oct = json!({"kty": "oct", "k": "c2VjcmV0"});
    let encrypts = jwk("RS256", json!({"use": "enc"}));
    for keys in [
        json!([]),
        json!([encrypts]),
        json!([{"kty": "odd"}]),
        json!([oct]),
    ] {
        let refused = with_set(keys.clone()).err();
        assert!(matches!(refused, Some(KeyError::Set(_))), "{keys}");
    }
    // One that isn't understood is passed over where others are.
    let mixed = json!([{"kty": "odd"}, jwk("ES256", json!({}))]);
    assert!(with_set(mixed).is_ok());
}

#[test]
fn a_private_key_that_was_in_use_before_verifies_what_it_signed() {
    let text = |algorithm: &str, name: &str| {
        Secret::new(recorded(algorithm)[name].as_str().unwrap().to_owned())
    };
    for name in ["RS256", "ES256", "EdDSA"] {
        let keys = TokenKeys::new(TokenSettings {
            others: vec![(name.parse().unwrap(), text(name, "key"))],
            ..settings()
        });
        let token = recorded(name)["token"].as_str().unwrap().to_owned();
        assert!(access(&keys.unwrap(), &token).is_ok(), "{name}");
    }
}

#[test]
fn an_rsa_public_key_is_no_shared_secret() {
    let pem = "\n-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
    let confused = TokenKeys::new(TokenSettings::new(Secret::new(pem)));
    assert!(matches!(
        confused,
        Err(KeyError::PemAsSecret(Algorithm::HS256))
    ));
}

#[test]
fn a_key_that_can_not_do_its_work_is_refused_at_start() {
    let file: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/jwt_algorithms.json")).unwrap();
    let pem = |algorithm: &str, which: &str| {
        let vectors = file["vectors"].as_array().unwrap();
        let vector = vectors
            .iter()
            .find(|vector| vector["algorithm"] == algorithm)
            .unwrap();
        Secret::new(vector[which].as_str().unwrap())
    };
    let refused = |algorithm: Algorithm, key: Secret, public_key: Option<Secret>| {
        let settings = TokenSettings {
            algorithm,
            key,
            public_key,
            ..settings()
        };
        TokenKeys::new(settings)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        refused(Algorithm::HS512, Secret::new(""), None),
        "the key is empty"
    );
    for (algorithm, name) in [
        (Algorithm::RS256, "RS256"),
        (Algorithm::ES256, "ES256"),
        (Algorithm::ES384, "ES384"),
        (Algorithm::EdDSA, "EdDSA"),
    ] {
        for wrong in [
            Secret::new("no PEM"),
            pem(name, "public_key"),
            broken(&pem(name, "key")),
        ] {
            let told = refused(algorithm, wrong, None);
            assert!(
                told.starts_with(&format!("not a private key for {name}")),
                "{told}"
            );
        }
        let key = || pem(name, "key");
        for wrong in [Secret::new("no PEM"), broken(&pem(name, "public_key"))] {
            let told = refused(algorithm, key(), Some(wrong));
            assert!(
                told.starts_with(&format!("not a public key for {name}")),
                "{told}"
            );
        }
    }
    let told = refused(Algorithm::ES384, pem("ES256", "key"), None);
    assert!(told.starts_with("not a private key for ES384"), "{told}");
    let told = refused(
        Algorithm::ES256,
        pem("ES256", "key"),
        Some(pem("ES384", "public_key")),
    );
    assert!(told.starts_with("not a public key for ES256"), "{told}");
    let told = refused(
        Algorithm::RS256,
        pem("RS256", "key"),
        Some(pem("RS384", "public_key")),
    );
    assert_eq!(told, "the public key isn't that of the private key");
}

/// The same PEM with its second half of bytes gone, and its outer lengths right.
fn broken(pem: &Secret) -> Secret {
    let text = std::str::from_utf8(pem.bytes()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let body = base64::engine::general_purpose::STANDARD
        .decode(lines[1..lines.len() - 1].concat())
        .unwrap();
    let half = base64::engine::general_purpose::STANDARD.encode(&body[..body.len() / 2]);
    Secret::new(format!("{first}\n{half}\n{last}\n"))
}

#[test]
fn what_is_no_token_is_invalid() {
    let good = signed(payload(json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let long = format!("{message}.{}", "A".repeat(TOKEN_BYTES_MAX));
    for wrong in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "ы.ы.ы",
        message,
        &format!("{message}."),
        &format!("{message}.{}", &signature[1..]),
        &format!("{message}.{signature}="),
        &format!("{message}.{signature}AAAA"),
        &format!("{good}.{signature}"),
        &format!(" {good}"),
        &format!("{good}\n"),
        &long,
    ] {
        assert_eq!(access(&keys(), wrong), Err(TokenError::Invalid), "{wrong}");
    }
}

#[test]
fn a_payload_that_is_no_object_is_invalid() {
    let header = || json!({"alg": "HS256", "typ": "JWT"});
    let good = payload(json!({})).to_string();
    for wrong in [
        "",
        "null",
        "[]",
        "5",
        "\"a\"",
        "{",
        "{\"exp\": NaN}",
        "{\"exp\":1}}",
        &format!("{good} {good}"),
    ] {
        let verdict = access(&keys(), &signed_with(header(), wrong));
        assert_eq!(verdict, Err(TokenError::Invalid), "{wrong}");
    }
    let deep = format!("{{\"aud\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(
        access(&keys(), &signed_with(header(), &deep)),
        Err(TokenError::Invalid)
    );
}

#[test]
fn names_may_be_escaped_and_of_two_the_last_one_counts() {
    let header = || json!({"alg": "HS256", "typ": "JWT"});
    let text = format!(
        r#"{{"token_type":"access","\u0065xp":1,"exp":{},"jti":"\u0061\n","user_id":"1","s\u0069d":"9f1c"}}"#,
        MADE_AT + 900
    );
    let claims = access(&keys(), &signed_with(header(), &text)).unwrap();
    assert_eq!((claims.jti.as_str(), claims.iat), ("a\n", None));
    assert_eq!(claims.sid, Some(SessionId("9f1c".to_owned())));
    let twice = text.replace("\"exp\"", "\"x\"");
    assert_eq!(
        access(&keys(), &signed_with(header(), &twice)),
        Err(TokenError::Expired)
    );
}

#[test]
fn a_payload_too_large_for_the_stack_is_read_as_well() {
    for size in 900..1100 {
        let token = signed(payload(json!({"note": "x".repeat(size)})));
        assert!(access(&keys(), &token).is_ok(), "{size}");
    }
}
