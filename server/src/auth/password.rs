//! Password hashes: argon2id, off the asynchronous threads and few at a time, so that a flood of sign-ins
//! cannot take the processors from everybody else.
//!
//! Users who come from today's product bring its hashes (argon2 in all its forms, bcrypt). They are compared
//! as they are, and replaced when their password is known: [`is_current`].

use crate::persist::StoreError;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use std::sync::LazyLock;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// OWASP's second recommendation: 19 MiB, two passes. About 20 ms.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const AT_A_TIME: usize = 2;
/// Sign-ins that may wait for a turn; one more is told to come back later.
const WAITING: usize = 32;

/// What a hash may ask for, whoever made it: a check takes a turn from somebody else.
const MOST_MEMORY_KIB: u32 = 512 * 1024;
const MOST_PASSES: u32 = 20;
const MOST_BCRYPT_COST: u32 = 14;

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
    off_thread((), move || hash_now(&password)).await?
}

/// Whether the password is the one of the hash; takes as long without a hash. `held` is let go when that is done, also
/// when nobody waits for it any more.
pub async fn verify(
    password: String,
    hash: Option<String>,
    held: impl Send + 'static,
) -> Result<Result<bool, Busy>, StoreError> {
    let Ok(place) = PLACES.try_acquire() else {
        return Ok(Err(Busy));
    };
    off_thread((held, place), move || Ok(verify_now(&password, hash.as_deref()))).await
}

/// A password is compared in any case: without a usable hash with nobody's, and that does not match.
fn verify_now(password: &str, hash: Option<&str>) -> bool {
    let usable = hash.and_then(|hash| read(hash).ok());
    let known = usable.is_some();
    let matches = match usable {
        Some(hash) => hash.matches(password),
        None => read(&NOBODY).is_ok_and(|hash| hash.matches(password)),
    };
    known && matches
}

/// A hash that we can compare with.
enum Readable<'a> {
    Argon2(Box<(PasswordHash, Params)>),
    /// With the mark of a version that the library knows.
    Bcrypt(&'a str),
    /// The first version, which left the terminating zero out: cost, salt and hash.
    FirstBcrypt(u32, &'a str),
}

/// Why a hash is of no use here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it is neither argon2 nor bcrypt")]
    Unknown,
    #[error("it is damaged")]
    Damaged,
    #[error("it takes more time or memory than a sign-in may")]
    TooCostly,
}

/// Whether a password can be compared with the hash.
pub fn check(hash: &str) -> Result<(), Unusable> {
    read(hash).map(drop)
}

/// Whether a new hash would be no better. A stronger one of today's product stays.
pub fn is_current(hash: &str) -> bool {
    let Ok(Readable::Argon2(readable)) = read(hash) else {
        return false;
    };
    let (parsed, params) = *readable;
    parsed.algorithm.as_str() == "argon2id"
        && parsed.version == Some(u32::from(Version::V0x13))
        && params.m_cost() >= MEMORY_KIB
        && params.t_cost() >= PASSES
}

fn read(hash: &str) -> Result<Readable<'_>, Unusable> {
    if hash.starts_with("$argon2") {
        let parsed = PasswordHash::new(hash).map_err(|_| Unusable::Damaged)?;
        let params = Params::try_from(&parsed).map_err(|_| Unusable::Damaged)?;
        if parsed.hash.is_none() || parsed.salt.is_none() {
            return Err(Unusable::Damaged);
        }
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES {
            return Err(Unusable::TooCostly);
        }
        return Ok(Readable::Argon2(Box::new((parsed, params))));
    }
    let (first, rest) = match hash.strip_prefix("$2$") {
        Some(rest) => (true, rest),
        None => {
            let rest = ["$2a$", "$2b$", "$2x$", "$2y$"]
                .iter()
                .find_map(|mark| hash.strip_prefix(mark));
            (false, rest.ok_or(Unusable::Unknown)?)
        }
    };
    let (cost, rest) = rest.split_once('$').ok_or(Unusable::Damaged)?;
    let cost = cost.parse().map_err(|_| Unusable::Damaged)?;
    if rest.len() != 53 || !rest.is_ascii() || cost < 4 {
        return Err(Unusable::Damaged);
    }
    if cost > MOST_BCRYPT_COST {
        return Err(Unusable::TooCostly);
    }
    Ok(if first {
        Readable::FirstBcrypt(cost, rest)
    } else {
        Readable::Bcrypt(hash)
    })
}

impl Readable<'_> {
    fn matches(&self, password: &str) -> bool {
        #[cfg(test)]
        tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
        match self {
            Self::Argon2(hash) => argon2().verify_password(password.as_bytes(), &hash.0).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::FirstBcrypt(cost, rest) => {
                let (salt, hash) = rest.split_at(22);
                let mut bytes = [0; 16];
                if BCRYPT.decode_slice(salt, &mut bytes).is_err() {
                    return false;
                }
                let password = &password.as_bytes()[..password.len().min(72)];
                // An empty one was refused before.
                !password.is_empty() && {
                    let found = bcrypt::bcrypt(*cost, bytes, password);
                    let found = BCRYPT.encode(&found[..23]);
                    found.as_bytes().ct_eq(hash.as_bytes()).into()
                }
            }
        }
    }
}

/// bcrypt's own order of the 64 characters; the last one of a salt holds bits that mean nothing.
const BCRYPT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// The turn, and what else is held, lasts as long as the work does: it goes on when whoever wanted it hangs up.
async fn off_thread<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let stopped = |error: &dyn std::fmt::Display| StoreError::Unusable(format!("password: {error}"));
    let turn = TURNS.acquire().await.map_err(|error| stopped(&error))?;
    let work = move || {
        let done = work();
        drop((turn, held));
        done
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| stopped(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::Cell;

    thread_local! {
        /// Passwords that were compared with a hash, on this thread.
        pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn an_unknown_name_costs_what_a_known_one_costs() {
        let hash = hash_now("correct horse").expect("hashed");
        for known in [Some(hash.as_str()), None, Some("damaged")] {
            let before = COMPARED.get();
            assert!(!verify_now("battery staple", known));
            assert_eq!(COMPARED.get(), before + 1, "{known:?}");
        }
    }

    #[tokio::test]
    async fn what_a_check_holds_is_held_while_it_works() {
        struct Held(std::sync::mpsc::Sender<std::thread::ThreadId>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0
                    .send(std::thread::current().id())
                    .expect("somebody listens");
            }
        }
        let (let_go, was_let_go) = std::sync::mpsc::channel();
        let verifying = verify("correct horse".to_owned(), None, Held(let_go));
        assert!(verifying.now_or_never().is_none(), "and nobody waits for it");
        let by = was_let_go.recv().expect("it is let go");
        assert_ne!(by, std::thread::current().id(), "by whoever worked");
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let hash = hash("correct horse".to_owned()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(
            verify("correct horse".to_owned(), Some(hash.clone()), ())
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("battery staple".to_owned(), Some(hash), ())
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("anything".to_owned(), None, ())
                .await
                .expect("ran")
                .expect("compared")
        );
        assert!(
            !verify("anything".to_owned(), Some("damaged".to_owned()), ())
                .await
                .expect("ran")
                .expect("compared")
        );
    }

    /// Made by the npm package `argon2`, which today's product uses, by `argon2-cffi`, and by libxcrypt; the
    /// one of the first bcrypt by the npm packages `bcrypt` and `bcryptjs`.
    const OF_OTHERS: &[(&str, &str)] = &[
        (
            "pässword of yore",
            "$argon2i$v=19$m=8192,t=2,p=2$tRUjvgrB36KNMghM8CWpbw$UBMCAgv8KYbt4VdLwKLLv1bo0paAMgSwUyf1jHC3ynQ",
        ),
        (
            "pässword of yore",
            "$argon2d$v=19$m=8192,t=2,p=2$NfdQ0vBBx8FUi3wP1wTQ6g$4dUu/cywdOYNtWfY47vCJO+5DYLaes62s+FM3I0xE/g",
        ),
        (
            "pässword of yore",
            "$argon2id$v=19$m=8192,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$hHo7o9z45wRO94BNmMUZv28tD7Uzyg/u1mJKTeacFO8",
        ),
        (
            "old",
            "$argon2i$v=16$m=8192,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$2x7mYr/xX7IPd5QsX58eGWIDpfw5I6fxtOaOJl0TZ9M",
        ),
        (
            "pässword of yore",
            "$2a$04$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
        ),
        (
            "pässword of yore",
            "$2b$04$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
        ),
        (
            "pässword of yore",
            "$2y$04$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
        ),
        (
            "password of yore",
            "$2x$04$abcdefghijklmnopqrstuucvux0JnN5tosUe.IZu1tKQbaciM2OhG",
        ),
        (
            "password of yore",
            "$2$04$abcdefghijklmnopqrstuuSoFBctOQP9LDu.bN5maaU.QJWnHdine",
        ),
    ];
    const TODAY: &str =
        "$argon2id$v=19$m=65536,t=3,p=4$XGlHPd8fOCrIgwbQGr6IkA$pfCGdlToqo96zV5ciXjg0XPyHV58pXN6wYR+eLhCuzo";

    async fn opens(password: &str, hash: &str) -> bool {
        let compared = verify(password.to_owned(), Some(hash.to_owned()), ()).await;
        compared.expect("ran").expect("compared")
    }

    #[tokio::test]
    async fn hashes_of_today_are_compared_and_the_weaker_ones_are_to_be_replaced() {
        for (password, hash) in OF_OTHERS {
            assert_eq!(check(hash), Ok(()), "{hash}");
            assert!(opens(password, hash).await, "{hash}");
            assert!(!opens("password of yesterday", hash).await, "{hash}");
            assert!(!opens("", hash).await, "{hash}");
            assert!(!is_current(hash), "{hash}");
        }
        assert!(opens("pässword of yore", TODAY).await && is_current(TODAY));
        assert!(is_current(&hash("new".to_owned()).await.expect("hashed")));
        // As far as bcrypt reads.
        let long = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
        assert!(opens(&"x".repeat(80), long).await && opens(&"x".repeat(72), long).await);
        assert!(!opens(&"x".repeat(71), long).await);
    }

    #[tokio::test]
    async fn hashes_that_are_no_use_are_told_and_never_match() {
        use Unusable::{Damaged, TooCostly, Unknown};
        let costly = TODAY.replace("m=65536", "m=4194304");
        let slow = TODAY.replace("t=3", "t=1000");
        let salt = "$2$04$abcdefghijklmnop!rstuuSoFBctOQP9LDu.bN5maaU.QJWnHdine";
        for (hash, why) in [
            ("", Some(Unknown)),
            ("plain", Some(Unknown)),
            ("$1$salt$hash", Some(Unknown)),
            ("$2c$04$abc", Some(Unknown)),
            ("$argon2id$v=19$m=65536,t=3,p=4", Some(Damaged)),
            ("$argon2id$v=19$m=8,t=3,p=4$c2FsdA$aGFzaA", Some(Damaged)),
            ("$2b$04$short", Some(Damaged)),
            (
                "$2b$xx$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
                Some(Damaged),
            ),
            (
                "$2b$31$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
                Some(TooCostly),
            ),
            (&costly, Some(TooCostly)),
            (&slow, Some(TooCostly)),
            (salt, None),
        ] {
            assert_eq!(check(hash).err(), why, "{hash}");
            assert!(!opens("password of yore", hash).await, "{hash}");
        }
    }
}
