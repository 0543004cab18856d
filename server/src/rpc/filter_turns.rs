//! Whose filter runs: one of a user at a time, and few of all, so that nobody's questions stop the server.

use super::error::Failure;
use app::rpc::{ErrorCode, RpcError};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const OF_ALL: usize = 2;
/// Those that wait, of one user; one more is told to come back later.
const WAITING: usize = 64;

static ALL: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(OF_ALL)));
static OWN: LazyLock<Mutex<HashMap<String, Weak<Semaphore>>>> = LazyLock::new(Mutex::default);

/// The semaphore of the user lives as long as somebody holds or awaits it.
pub struct Turn {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _semaphore: Arc<Semaphore>,
}

pub async fn of(user: &str) -> Result<Turn, Failure> {
    let semaphore = {
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|_, semaphore| semaphore.strong_count() > 0);
        match own.get(user).and_then(Weak::upgrade) {
            Some(semaphore) => semaphore,
            None => {
                let semaphore = Arc::new(Semaphore::new(1));
                own.insert(user.to_owned(), Arc::downgrade(&semaphore));
                semaphore
            }
        }
    };
    if Arc::strong_count(&semaphore) > WAITING {
        let words = "too many filters of this user wait for their turn";
        return Err(RpcError::new(ErrorCode::OPERATION_FAILED, words).into());
    }
    let closed = |error: tokio::sync::AcquireError| Failure::internal(error.to_string());
    let own = semaphore.clone().acquire_owned().await.map_err(closed)?;
    let all = ALL.clone().acquire_owned().await.map_err(closed)?;
    Ok(Turn {
        _all: all,
        _own: own,
        _semaphore: semaphore,
    })
}
