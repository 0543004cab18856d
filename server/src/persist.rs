//! What must survive a restart: users, tokens, servers.
//!
//! A [`Backend`] keeps opaque records by collection and id, and applies a list of changes all or nothing.
//! What is above it (typed records, schema version, sealed secrets) is the same for every backend.

pub mod dump;
pub mod embedded;
pub mod memory;
mod migrations;
mod murmur;
pub mod records;
pub mod redis;
pub mod secrets;

use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, path::Path, pin::Pin, sync::Arc};

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Layout of the records. A store of a later version is not touched; an earlier one is migrated.
pub const SCHEMA_VERSION: u32 = 3;
/// Bytes of one change of the store: Redis holds it three times while it is made.
pub const MAX_COMMIT: usize = 64 << 20;
const META: &str = "meta";
const SCHEMA: &str = "schema";
/// There while values that a migration replaced may still be read in the backend's free space.
const SCRUB: &str = "scrub";

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store is not usable: {0}")]
    Unusable(String),
    #[error(
        "the store was written by a later version (schema {found}, this program knows up to {SCHEMA_VERSION})"
    )]
    TooNew { found: u32 },
    /// It may be back soon; nothing was changed.
    #[error("the store cannot be reached: {0}")]
    Away(String),
    #[error("the connection to the store was lost: whether the change was made is not known")]
    Unknown,
    /// What was acknowledged is no longer there. It is not taken for a new store: that is for a person to decide.
    #[error(
        "the store has lost data ({0}): bring the data back, or restart the server to go on with what is there"
    )]
    Lost(String),
    #[error("the store is in use: {0}")]
    InUse(String),
    #[error("a change of {size} bytes is too large for the store: at most {MAX_COMMIT} are accepted")]
    TooLarge { size: usize },
    #[error("record {id} of {collection} cannot be read")]
    Unreadable {
        collection: &'static str,
        id: String,
        source: serde_json::Error,
    },
}

impl StoreError {
    /// The same, for somebody else who asks.
    fn again(&self) -> Self {
        match self {
            Self::Unusable(text) => Self::Unusable(text.clone()),
            Self::TooNew { found } => Self::TooNew { found: *found },
            Self::Away(text) => Self::Away(text.clone()),
            Self::Unknown => Self::Unknown,
            Self::Lost(text) => Self::Lost(text.clone()),
            Self::InUse(text) => Self::InUse(text.clone()),
            Self::TooLarge { size } => Self::TooLarge { size: *size },
            Self::Unreadable { .. } => Self::Unusable(self.to_string()),
        }
    }
}

/// Every collection that a store may hold.
fn collections() -> impl ExactSizeIterator<Item = &'static str> + Clone {
    let all = std::iter::once(&META).chain(records::COLLECTIONS);
    let all: Vec<&'static str> = all.copied().collect();
    all.into_iter()
}

/// How a store is doing, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub kind: &'static str,
    /// Without passwords.
    pub place: String,
    /// Why it is of no use now.
    pub problem: Option<String>,
    /// What an operator should see to.
    pub warnings: Vec<String>,
}

/// One change of one record; `None` removes it.
#[derive(Clone, Debug)]
pub struct Change {
    pub collection: &'static str,
    pub id: String,
    pub value: Option<Vec<u8>>,
}

impl Change {
    pub fn put<T: Record>(id: &str, record: &T) -> Self {
        // Records are plain data with text keys: serialising them cannot fail.
        let value = serde_json::to_vec(record).unwrap_or_default();
        Self {
            collection: T::COLLECTION,
            id: id.to_owned(),
            value: Some(value),
        }
    }

    pub fn put_raw(collection: &'static str, id: &str, record: RawRecord) -> Self {
        Self {
            collection,
            id: id.to_owned(),
            value: Some(serde_json::Value::Object(record).to_string().into_bytes()),
        }
    }

    fn size(&self) -> usize {
        self.id.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    pub fn remove<T: Record>(id: &str) -> Self {
        Self {
            collection: T::COLLECTION,
            id: id.to_owned(),
            value: None,
        }
    }
}

/// A record whose kind does not matter.
pub type RawRecord = serde_json::Map<String, serde_json::Value>;

/// A place that keeps records. Acknowledged changes survive a crash.
pub trait Backend: Send + Sync {
    fn get(&self, collection: &'static str, id: &str) -> Pending<'_, Option<Vec<u8>>>;
    fn list(&self, collection: &'static str) -> Pending<'_, Vec<(String, Vec<u8>)>>;
    /// All changes or none.
    fn commit(&self, changes: Vec<Change>) -> Pending<'_, ()>;
    /// Leaves no trace of what was replaced or removed before.
    fn scrub(&self) -> Pending<'_, ()>;
    fn status(&self) -> Status;
    /// Waits until the store holds a change of which the caller was told that its outcome is not known: what is in
    /// memory is to be read anew, and nothing is changed before [`Backend::has_read_anew`].
    fn surprise(&self) -> Pending<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn has_read_anew(&self) {}
    /// Leaves it to the next one who comes. What is not closed is left, too, only later.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// The backend that an operator chose: Redis, or a file in the folder, which is made if it is not there.
pub async fn backend(folder: &Path, place: &redis::Place) -> Result<Arc<dyn Backend>, StoreError> {
    make_folder(folder).map_err(|error| {
        StoreError::Unusable(format!(
            "the data directory {} cannot be made: {error}",
            folder.display()
        ))
    })?;
    let file = folder.join("xo.redb");
    if !place.is_set() {
        return Ok(Arc::new(embedded::Embedded::open(&file)?));
    }
    if file.exists() {
        tracing::warn!(
            "{} is not used, since the store is in Redis: move it aside when nothing in it is needed",
            file.display()
        );
    }
    let (address, owner) = (redis::Address::new(place)?, redis::Owner::of(folder)?);
    let waits = redis::Waits::default();
    Ok(Arc::new(redis::Redis::open(address, owner, waits).await?))
}

/// Only we read a data directory that we make. One that is there stays as it is: it may be somebody's home,
/// and what we write into it is closed to others in any case.
pub(crate) fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

/// A kind of record.
pub trait Record: Serialize + DeserializeOwned {
    const COLLECTION: &'static str;
}

/// The store as the rest of the server sees it.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

impl Store {
    /// Opens a backend: checks its schema version and brings an earlier one up to date.
    pub async fn open(backend: Arc<dyn Backend>, secrets: &secrets::Secrets) -> Result<Self, StoreError> {
        let store = Self { backend };
        let found: u32 = match store.backend.get(META, SCHEMA).await? {
            Some(value) => serde_json::from_slice(&value).map_err(|source| StoreError::Unreadable {
                collection: META,
                id: SCHEMA.to_owned(),
                source,
            })?,
            None => 0,
        };
        if found > SCHEMA_VERSION {
            return Err(StoreError::TooNew { found });
        }
        if found < SCHEMA_VERSION {
            // In one step with the number: a migration is done, or not begun.
            let mut changes = migrations::changes(&*store.backend, secrets, found).await?;
            let note = |id: &str, value: Option<String>| Change {
                collection: META,
                id: id.to_owned(),
                value: value.map(String::into_bytes),
            };
            let replaces = !changes.is_empty();
            changes.push(note(SCHEMA, Some(SCHEMA_VERSION.to_string())));
            if replaces {
                changes.push(note(SCRUB, Some("true".to_owned())));
            }
            store.commit(changes).await?;
        }
        if store.backend.get(META, SCRUB).await?.is_some() {
            store.backend.scrub().await?;
            let done = Change {
                collection: META,
                id: SCRUB.to_owned(),
                value: None,
            };
            store.commit(vec![done]).await?;
        }
        Ok(store)
    }

    pub async fn get<T: Record>(&self, id: &str) -> Result<Option<T>, StoreError> {
        let value = self.backend.get(T::COLLECTION, id).await?;
        value.map(|value| read(id, &value)).transpose()
    }

    pub async fn list<T: Record>(&self) -> Result<Vec<(String, T)>, StoreError> {
        let values = self.backend.list(T::COLLECTION).await?;
        values
            .into_iter()
            .map(|(id, value)| read(&id, &value).map(|record| (id, record)))
            .collect()
    }

    pub async fn put<T: Record>(&self, id: &str, record: &T) -> Result<(), StoreError> {
        self.commit(vec![Change::put(id, record)]).await
    }

    pub async fn remove<T: Record>(&self, id: &str) -> Result<(), StoreError> {
        self.commit(vec![Change::remove::<T>(id)]).await
    }

    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let size = changes.iter().map(Change::size).sum();
        if size > MAX_COMMIT {
            return Err(StoreError::TooLarge { size });
        }
        self.backend.commit(changes).await
    }

    /// A record as it is kept, for tools that move all kinds of records.
    pub async fn list_raw(&self, collection: &'static str) -> Result<Vec<(String, RawRecord)>, StoreError> {
        let values = self.backend.list(collection).await?;
        let read = |(id, value): (String, Vec<u8>)| match serde_json::from_slice(&value) {
            Ok(record) => Ok((id, record)),
            Err(source) => Err(StoreError::Unreadable {
                collection,
                id,
                source,
            }),
        };
        values.into_iter().map(read).collect()
    }

    /// The records with secrets that cannot be unsealed, as `collection/id`: after a loss of the key file.
    pub async fn unreadable_secrets(&self, secrets: &secrets::Secrets) -> Result<Vec<String>, StoreError> {
        let mut unreadable = Vec::new();
        for collection in records::COLLECTIONS {
            for (id, mut record) in self.list_raw(collection).await? {
                if secrets.unseal_members(&mut record).is_err() {
                    unreadable.push(format!("{collection}/{id}"));
                }
            }
        }
        Ok(unreadable)
    }

    pub fn status(&self) -> Status {
        self.backend.status()
    }

    /// Whether something can be kept now: to be asked before something is done that would have to be noted afterwards.
    pub fn check(&self) -> Result<(), StoreError> {
        self.status()
            .problem
            .map_or(Ok(()), |why| Err(StoreError::Away(why)))
    }

    /// See [`Backend::surprise`].
    pub async fn surprise(&self) -> Result<(), StoreError> {
        self.backend.surprise().await
    }

    pub fn has_read_anew(&self) {
        self.backend.has_read_anew();
    }

    /// The last thing that is done with a store.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.backend.close().await
    }
}

fn read<T: Record>(id: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|source| StoreError::Unreadable {
        collection: T::COLLECTION,
        id: id.to_owned(),
        source,
    })
}
