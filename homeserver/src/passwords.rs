//! Passwords: hashing and checking them, off the async threads and only a few at a time.

use std::num::NonZeroUsize;
use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use engine::account::Secret;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::entropy::Entropy;
use crate::http::ApiError;

/// Bytes of a password: a whole book hashes no safer, and takes memory.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Hashes passwords with Argon2id. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Each hashing takes its memory, so there is room for as many as there are processors.
    permits: Arc<Semaphore>,
    /// What is compared with where there is no hash, so that the answer takes the same time: random bytes in a hash's form.
    nobody: Arc<str>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// With so much memory (KiB) and so many passes; [OWASP](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html)'s
    /// minimum is 19,456 and 2.
    ///
    /// # Errors
    /// A sentence for the operator when Argon2 cannot work with these.
    pub fn new(memory_kib: u32, passes: u32, entropy: Entropy) -> Result<Self, String> {
        let params =
            Params::new(memory_kib, passes, 1, None).map_err(|error| format!("passwords cannot be hashed so: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let (salt, output) = (STANDARD_NO_PAD.encode(entropy.bytes::<16>()), STANDARD_NO_PAD.encode(entropy.bytes::<32>()));
        let nobody = format!("$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${output}").into();
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Self { argon2, permits: Arc::new(Semaphore::new(processors)), nobody })
    }

    /// The hash of a new password, in PHC form.
    ///
    /// # Errors
    /// 400 for a password that is empty or longer than 1,024 bytes.
    pub async fn hash(&self, password: Secret, entropy: Entropy) -> Result<String, ApiError> {
        let length = password.expose().len();
        if length == 0 || length > PASSWORD_BYTES_MAX {
            let message = "a password has between 1 and 1,024 bytes";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "M_WEAK_PASSWORD", message));
        }
        let argon2 = self.argon2.clone();
        self.work(move || hash(&argon2, password.expose(), entropy)).await?.map_err(ApiError::internal)
    }

    /// Whether the password matches the hash. Without a hash it never does, in the same time.
    ///
    /// # Errors
    /// When the server is ending.
    pub async fn matches(&self, password: Secret, hash: Option<&str>) -> Result<bool, ApiError> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let argon2 = self.argon2.clone();
        let matches = self.work(move || argon2.verify_password(password.expose().as_bytes(), hash.as_str()).is_ok()).await?;
        Ok(known && matches)
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(ApiError::internal)?;
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        worked.await.map_err(ApiError::internal)
    }
}

fn hash(argon2: &Argon2<'_>, password: &str, entropy: Entropy) -> Result<String, String> {
    let hashed = argon2.hash_password_with_salt(password.as_bytes(), &entropy.bytes::<16>());
    hashed.map(|hash| hash.to_string()).map_err(|error| format!("a password could not be hashed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(64, 1, Entropy).unwrap();
        let secret = |text: &str| Secret::new(text.to_owned());
        let hash = passwords.hash(secret("correct horse"), Entropy).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(secret("correct horse"), Entropy).await.unwrap(), "salted");
        assert!(passwords.matches(secret("correct horse"), Some(&hash)).await.unwrap());
        assert!(!passwords.matches(secret("wrong horse"), Some(&hash)).await.unwrap());
        assert!(!passwords.matches(secret("correct horse"), None).await.unwrap());
        assert_eq!(passwords.hash(secret(""), Entropy).await.unwrap_err().errcode(), "M_WEAK_PASSWORD");
        assert_eq!(passwords.hash(secret(&"x".repeat(1_025)), Entropy).await.unwrap_err().errcode(), "M_WEAK_PASSWORD");
    }

    #[test]
    fn who_has_no_password_costs_a_hashing_as_well() {
        let passwords = Passwords::new(64, 1, Entropy).unwrap();
        // Another error would mean that nothing was hashed.
        let refused = passwords.argon2.verify_password(b"correct horse", &*passwords.nobody);
        assert_eq!(refused, Err(argon2::password_hash::Error::PasswordInvalid));
    }
}
