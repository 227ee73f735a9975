//! Logging in by a JSON Web Token that the platform signs (`org.matrix.login.jwt`, as Synapse has it), instead of a login token
//! that it asks for: RFC 7519, signed with HS256 (RFC 7515) or Ed25519 (`EdDSA`, RFC 8037).
//!
//! Stricter than a bearer token has to be, since a page's copy of it may leak: it lives minutes, names one user, and is used once.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use config::Config;
use engine::Reject;
use engine::account::{LoginProof, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use journal::Timestamp;
use ruma::{OwnedUserId, ServerName, UserId};
use serde::Deserialize;
use sha2::Sha256;
use vodozemac::{Ed25519PublicKey, Ed25519Signature};

use crate::start::StartError;

/// How far ahead a token may end: whatever lives longer is no key for one page.
const LIFETIME_MS_MAX: u64 = 300_000;

/// How far the platform's clock may be off, on either side.
const SKEW_MS: u64 = 30_000;

/// Bytes of a token: its claims are a few.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Bytes of an HS256 secret at least (RFC 7518 § 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// What a token has to be signed with, and say.
#[derive(Debug)]
pub struct Jwt {
    key: Key,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Debug)]
enum Key {
    Hs256(Secret),
    Ed25519(Ed25519PublicKey),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that have to be understood (RFC 7515 § 4.1.11): none is.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    exp: u64,
    nbf: Option<u64>,
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Several(audiences) => audiences.iter().any(|audience| audience == wanted),
        }
    }
}

impl Jwt {
    /// As the configuration says; `None` without a key.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(path) = &config.jwt.key else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| StartError::Path { path: path.clone(), problem: error.to_string() })?;
        let key = parse_key(path, text.trim())?;
        Ok(Some(Self { key, issuer: config.jwt.issuer.clone(), audience: config.jwt.audience.clone() }))
    }

    /// Who may log in with `token` at `now`.
    ///
    /// # Errors
    /// `M_FORBIDDEN`, with what is wrong: the platform's developer reads it.
    pub fn check(&self, token: &str, server: &ServerName, now: Timestamp) -> Result<LoginProof, Reject> {
        let wrong = |what: &'static str| Reject::forbidden(what);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(wrong("this token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| wrong("this is no JSON Web Token"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| wrong("this is no JSON Web Token"))?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return Err(wrong("this token's header names an extension that is not known here"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong("this is no JSON Web Token"))?;
        if !self.key.has_signed(&header.alg, signed, &signature) {
            return Err(wrong("this token's signature does not hold, or is of another kind than the key"));
        }
        let claims: Claims = part(claims)?;
        let ends = Timestamp::from_ms(claims.exp.saturating_mul(1_000));
        if ends.plus_ms(SKEW_MS) <= now {
            return Err(wrong("this token has run out (`exp`)"));
        }
        if ends > now.plus_ms(LIFETIME_MS_MAX + SKEW_MS) {
            return Err(wrong("this token lives longer than five minutes (`exp`)"));
        }
        if claims.nbf.is_some_and(|nbf| Timestamp::from_ms(nbf.saturating_mul(1_000)) > now.plus_ms(SKEW_MS)) {
            return Err(wrong("this token is not valid yet (`nbf`)"));
        }
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(wrong("this token is of another issuer (`iss`)"));
        }
        if self.audience.as_ref().is_some_and(|wanted| !claims.aud.as_ref().is_some_and(|audience| audience.has(wanted))) {
            return Err(wrong("this token is for another audience (`aud`)"));
        }
        let user_id = user(&claims.sub, server).ok_or_else(|| wrong("`sub` is not a user of this server"))?;
        if claims.jti.is_empty() {
            return Err(wrong("this token has no id (`jti`): it could be used again"));
        }
        Ok(LoginProof::Jwt { user_id, id: Secret::new(claims.jti), expires: ends.plus_ms(SKEW_MS) })
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Reject> {
    let parsed = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    parsed.ok_or_else(|| Reject::forbidden("this is no JSON Web Token, or it lacks `sub`, `jti` or `exp`"))
}

/// A whole user id, or the part before the colon.
fn user(subject: &str, server: &ServerName) -> Option<OwnedUserId> {
    let user_id = UserId::parse_with_server_name(subject, server).ok()?;
    (user_id.server_name() == server).then_some(user_id)
}

impl Key {
    fn has_signed(&self, algorithm: &str, signed: &str, signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Hs256(secret), "HS256") => {
                let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
                mac.is_ok_and(|mac| mac.chain_update(signed.as_bytes()).verify_slice(signature).is_ok())
            }
            (Self::Ed25519(key), "EdDSA" | "Ed25519") => Ed25519Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed.as_bytes(), &signature).is_ok()),
            _ => false,
        }
    }
}

fn parse_key(path: &Path, text: &str) -> Result<Key, StartError> {
    let wrong = |problem: &str| StartError::Path { path: path.to_owned(), problem: problem.to_owned() };
    match text.split_once(':') {
        Some(("hs256", secret)) if secret.len() >= SECRET_BYTES_MIN => Ok(Key::Hs256(Secret::new(secret.to_owned()))),
        Some(("hs256", _)) => Err(wrong("an HS256 secret has at least 32 characters")),
        Some(("ed25519", key)) => Ed25519PublicKey::from_base64(key)
            .map(Key::Ed25519)
            .map_err(|_| wrong("this is no Ed25519 public key in base64")),
        _ => Err(wrong("write `hs256:` and the secret, or `ed25519:` and the public key in base64")),
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::{Value, json};
    use vodozemac::Ed25519SecretKey;

    use super::*;

    const SECRET: &str = "a secret of more than thirty-two characters";
    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn jwt(key: Key) -> Jwt {
        Jwt { key, issuer: Some("platform".to_owned()), audience: Some("chat".to_owned()) }
    }

    fn hs256() -> Jwt {
        jwt(Key::Hs256(Secret::new(SECRET.to_owned())))
    }

    fn claims() -> Value {
        json!({ "sub": "h_abc", "jti": "1", "exp": 1_800_000_060, "iss": "platform", "aud": ["other", "chat"] })
    }

    fn signed(algorithm: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({ "alg": algorithm, "typ": "JWT" })), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn by_secret(bytes: &[u8]) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.chain_update(bytes).finalize().into_bytes().to_vec()
    }

    fn check(jwt: &Jwt, token: &str) -> Result<String, Reject> {
        match jwt.check(token, server_name!("example.org"), NOW)? {
            LoginProof::Jwt { user_id, .. } => Ok(user_id.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_that_holds_names_its_user() {
        let token = signed("HS256", &claims(), by_secret);
        assert_eq!(check(&hs256(), &token).as_deref(), Ok("@h_abc:example.org"));
        let secret = Ed25519SecretKey::new();
        let ed25519 = jwt(Key::Ed25519(secret.public_key()));
        let token = signed("EdDSA", &claims(), |bytes| secret.sign(bytes).to_bytes().to_vec());
        assert_eq!(check(&ed25519, &token).as_deref(), Ok("@h_abc:example.org"));
    }

    #[test]
    fn any_other_does_not() {
        let changed = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            signed("HS256", &claims, by_secret)
        };
        let (mut without, all) = (claims(), signed("HS256", &claims(), by_secret));
        without.as_object_mut().expect("an object").remove("jti");
        for (what, token) in [
            ("no token", String::new()),
            ("two parts", "a.b".to_owned()),
            ("unsigned", signed("none", &claims(), |_| Vec::new())),
            ("another algorithm", signed("HS512", &claims(), by_secret)),
            ("another key", signed("HS256", &claims(), |bytes| by_secret(&bytes[1..]))),
            ("a changed claim", all.replacen('.', ".e", 1)),
            ("over", changed("exp", json!(1_799_999_000))),
            ("too long", changed("exp", json!(1_800_004_000))),
            ("not yet", changed("nbf", json!(1_800_000_050))),
            ("another issuer", changed("iss", json!("somebody"))),
            ("another audience", changed("aud", json!("other"))),
            ("another server's user", changed("sub", json!("@h_abc:elsewhere.example"))),
            ("an empty id", changed("jti", json!(""))),
            ("no id", signed("HS256", &without, by_secret)),
        ] {
            assert!(matches!(check(&hs256(), &token), Err(Reject::Forbidden(_))), "{what}");
        }
        // A public key is no HMAC secret, whatever the header says.
        let secret = Ed25519SecretKey::new();
        let public = secret.public_key().to_base64();
        let forged = signed("HS256", &claims(), |bytes| {
            let mac = Hmac::<Sha256>::new_from_slice(public.as_bytes()).expect("a key");
            mac.chain_update(bytes).finalize().into_bytes().to_vec()
        });
        assert!(check(&jwt(Key::Ed25519(secret.public_key())), &forged).is_err());
    }

    #[test]
    fn keys_say_what_they_are() {
        let parse = |text: &str| parse_key(Path::new("jwt.key"), text);
        assert!(parse(&format!("hs256:{SECRET}")).is_ok());
        assert!(parse(&format!("ed25519:{}", Ed25519SecretKey::new().public_key().to_base64())).is_ok());
        for wrong in ["", SECRET, "hs256:short", "ed25519:x", "rs256:x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
