//! Password hashes: argon2id, off the asynchronous threads and few at a time, so that a flood of sign-ins
//! cannot take the processors from everybody else.

use crate::persist::StoreError;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// OWASP's second recommendation: 19 MiB, two passes. About 20 ms.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const AT_A_TIME: usize = 2;
/// Sign-ins that may wait for a turn; one more is told to come back later.
const WAITING: usize = 32;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);
static PLACES: Semaphore = Semaphore::const_new(AT_A_TIME + WAITING);

/// More passwords are being checked than can be in reasonable time.
#[derive(Debug)]
pub struct Busy;

/// What an unknown user's password is compared with, so that the answer takes as long as for a known one.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash_now(&uuid::Uuid::new_v4().to_string()).unwrap_or_default());

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &str) -> Result<String, StoreError> {
    let hash = argon2().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| StoreError::Unusable(format!("password: {error}")))
}

/// The PHC string of a password.
pub async fn hash(password: String) -> Result<String, StoreError> {
    off_thread(move || hash_now(&password)).await?
}

/// Whether the password is the one of the hash; takes as long without a hash.
pub async fn verify(password: String, hash: Option<String>) -> Result<Result<bool, Busy>, StoreError> {
    let Ok(_place) = PLACES.try_acquire() else {
        return Ok(Err(Busy));
    };
    off_thread(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let parsed = PasswordHash::new(&hash);
        let matches =
            parsed.is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok());
        Ok(known && matches)
    })
    .await
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let stopped = |error: &dyn std::fmt::Display| StoreError::Unusable(format!("password: {error}"));
    let _turn = TURNS.acquire().await.map_err(|error| stopped(&error))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| stopped(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = hash("correct horse".to_owned()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(
            verify("correct horse".to_owned(), Some(hash.clone()))
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("battery staple".to_owned(), Some(hash))
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("anything".to_owned(), None)
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("anything".to_owned(), Some("damaged".to_owned()))
                .await
                .expect("ran")
                .expect("compared")
        );
    }
}
