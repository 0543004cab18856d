//! Long answers, above all listings of objects as one text, which may have a hundred megabytes: who asks at the same revision for everything
//! shares one; and what all of them take until they are read has a limit, for each user and for the server.

use super::{
    error::Failure,
    feed::quoted,
    room::{Room, Rooms},
};
use crate::inventory::{self, Object};
use app::rpc::{ErrorCode, RpcError};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{task::JoinError, time::Instant};

/// Answers that are no longer need no room: of one client there are not many.
const SMALL: usize = 4 << 10;

pub struct Listings {
    rooms: Arc<Rooms>,
    /// A listing for which there is no room waits so long for it.
    patience: Duration,
    /// The last whole listing, as long as a client is still being sent it.
    whole: Mutex<Kept>,
}

/// A text that keeps its room until the last client was sent it.
struct Held {
    text: Vec<u8>,
    _room: Option<Room>,
}

struct Shared(Arc<Held>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Listings {
    /// `most`: bytes of all of them.
    pub fn new(most: usize, patience: Duration) -> Self {
        Self {
            rooms: Rooms::new(most),
            patience,
            whole: Mutex::default(),
        }
    }

    async fn room(&self, user_id: &str, size: usize) -> Result<Option<Room>, Failure> {
        // What is more than a user's share must be listed all the same, one at a time.
        let size = size.min(self.rooms.share());
        let room = self.rooms.take(user_id, size, Instant::now() + self.patience);
        room.await.map_err(|_| {
            let message = "other listings are not read yet: read them first, or ask again later";
            RpcError::new(ErrorCode::OPERATION_FAILED, message).into()
        })
    }

    /// An answer, which keeps its room until it is sent; the same when there is no room for it. Nobody waits: who has
    /// so many answers unread does not read.
    pub fn keep(&self, user_id: &str, answer: String) -> Result<Bytes, String> {
        if answer.len() <= SMALL {
            return Ok(answer.into());
        }
        match self.rooms.try_take(user_id, answer.len()) {
            Some(room) => {
                let held = Held {
                    text: answer.into_bytes(),
                    _room: Some(room),
                };
                Ok(Bytes::from_owner(Shared(Arc::new(held))))
            }
            None => Err(answer),
        }
    }

    /// These objects, for this user.
    pub async fn of(&self, user_id: &str, objects: Vec<Arc<Object>>) -> Result<Bytes, Failure> {
        let room = self.room(user_id, size(&objects)).await?;
        let joining = tokio::task::spawn_blocking(move || {
            let text = join(&objects);
            Bytes::from_owner(Shared(Arc::new(Held { text, _room: room })))
        });
        joining
            .await
            .map_err(|error| Failure::internal(error.to_string()))
    }

    /// All objects.
    pub async fn whole(
        self: &Arc<Self>,
        user_id: &str,
        inventory: &Arc<inventory::Store>,
    ) -> Result<Bytes, Failure> {
        // Whoever makes one holds the lock meanwhile: not to be waited for here.
        let shared = self
            .whole
            .try_lock()
            .ok()
            .and_then(|kept| current(&kept, inventory));
        if let Some(shared) = shared {
            return Ok(shared);
        }
        let internal = |error: JoinError| Failure::internal(error.to_string());
        let all = inventory.clone();
        let sizing = tokio::task::spawn_blocking(move || size(&all.all().1));
        let room = self.room(user_id, sizing.await.map_err(internal)?).await?;
        let (listings, inventory) = (self.clone(), inventory.clone());
        let joining = tokio::task::spawn_blocking(move || {
            let mut kept = listings.whole.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(shared) = current(&kept, &inventory) {
                return shared;
            }
            let (revision, all) = inventory.all();
            let held = Held {
                text: join(&all),
                _room: room,
            };
            let held = Arc::new(held);
            *kept = Some((revision, Arc::downgrade(&held)));
            Bytes::from_owner(Shared(held))
        });
        joining.await.map_err(internal)
    }
}

type Kept = Option<(u64, Weak<Held>)>;

/// The one that is kept, if it shows the inventory as it is.
fn current(kept: &Kept, inventory: &inventory::Store) -> Option<Bytes> {
    let (revision, text) = kept.as_ref()?;
    let text = text.upgrade()?;
    (*revision == inventory.revision()).then(|| Bytes::from_owner(Shared(text)))
}

fn size(objects: &[Arc<Object>]) -> usize {
    let sizes = objects
        .iter()
        .map(|object| object.json.len() + object.id.len() + 4);
    sizes.sum::<usize>() + 2
}

/// `{"id": object, ...}` in one piece.
fn join(objects: &[Arc<Object>]) -> Vec<u8> {
    let mut text = Vec::with_capacity(size(objects));
    text.push(b'{');
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(quoted(&object.id).as_bytes());
        text.push(b':');
        text.extend_from_slice(&object.json);
    }
    text.push(b'}');
    text
}
