//! The embedded store: one redb file, nothing to install. A commit is on disk when it is acknowledged.

use super::{Backend, Change, Pending, Status, StoreError};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

/// Key: collection, NUL, id. Collections are ours and hold no NUL.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

pub struct Embedded {
    path: PathBuf,
    /// Replaced only by [`Backend::scrub`].
    database: Arc<RwLock<Database>>,
}

fn unusable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(error.to_string())
}

impl Embedded {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            database: Arc::new(RwLock::new(database_at(path)?)),
        })
    }

    /// Runs on a thread that may wait for the disk.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<'_, T> {
        let database = self.database.clone();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                work(&database.read().unwrap_or_else(PoisonError::into_inner))
            })
            .await
            .map_err(unusable)?
        })
    }
}

fn database_at(path: &Path) -> Result<Database, StoreError> {
    let fail = |error: &dyn std::fmt::Display| unusable(format!("{}: {error}", path.display()));
    keep_to_ourselves(path).map_err(|error| fail(&error))?;
    let database = Database::create(path).map_err(|error| fail(&error))?;
    let transaction = database.begin_write().map_err(unusable)?;
    transaction.open_table(RECORDS).map_err(unusable)?;
    transaction.commit().map_err(unusable)?;
    Ok(database)
}

/// Makes the file if it is not there, and closes it to others: they could guess passwords at leisure.
fn keep_to_ourselves(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Another file with the same records takes the place of this one: pages that are free keep what was in them.
fn rewrite(database: &mut Database, path: &Path) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    let copy = database_at(&aside)?;
    let transaction = copy.begin_write().map_err(unusable)?;
    {
        let mut to = transaction.open_table(RECORDS).map_err(unusable)?;
        let from = database.begin_read().map_err(unusable)?;
        let from = from.open_table(RECORDS).map_err(unusable)?;
        for entry in from.iter().map_err(unusable)? {
            let (key, value) = entry.map_err(unusable)?;
            to.insert(key.value(), value.value()).map_err(unusable)?;
        }
    }
    transaction.commit().map_err(unusable)?;
    fs::rename(&aside, path).map_err(unusable)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(unusable)?;
    folder.sync_all().map_err(unusable)?;
    *database = copy;
    Ok(())
}

fn key(collection: &str, id: &str) -> Vec<u8> {
    [collection.as_bytes(), &[0], id.as_bytes()].concat()
}

impl Backend for Embedded {
    fn get(&self, collection: &'static str, id: &str) -> Pending<'_, Option<Vec<u8>>> {
        let key = key(collection, id);
        self.run(move |database| {
            let table = database
                .begin_read()
                .map_err(unusable)?
                .open_table(RECORDS)
                .map_err(unusable)?;
            let value = table.get(key.as_slice()).map_err(unusable)?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    fn list(&self, collection: &'static str) -> Pending<'_, Vec<(String, Vec<u8>)>> {
        self.run(move |database| {
            let table = database
                .begin_read()
                .map_err(unusable)?
                .open_table(RECORDS)
                .map_err(unusable)?;
            let (start, end) = (key(collection, ""), [collection.as_bytes(), &[1]].concat());
            let mut records = Vec::new();
            for entry in table.range(start.as_slice()..end.as_slice()).map_err(unusable)? {
                let (key, value) = entry.map_err(unusable)?;
                let id = String::from_utf8_lossy(&key.value()[start.len()..]).into_owned();
                records.push((id, value.value().to_vec()));
            }
            Ok(records)
        })
    }

    fn commit(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        self.run(move |database| {
            let transaction = database.begin_write().map_err(unusable)?;
            {
                let mut table = transaction.open_table(RECORDS).map_err(unusable)?;
                for change in changes {
                    let key = key(change.collection, &change.id);
                    match change.value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice()).map_err(unusable)?,
                        None => table.remove(key.as_slice()).map_err(unusable)?,
                    };
                }
            }
            transaction.commit().map_err(unusable)
        })
    }

    fn scrub(&self) -> Pending<'_, ()> {
        let (database, path) = (self.database.clone(), self.path.clone());
        Box::pin(async move {
            let work = move || {
                rewrite(
                    &mut database.write().unwrap_or_else(PoisonError::into_inner),
                    &path,
                )
            };
            tokio::task::spawn_blocking(work).await.map_err(unusable)?
        })
    }

    fn status(&self) -> Status {
        Status {
            kind: "embedded",
            place: self.path.display().to_string(),
            ..Status::default()
        }
    }
}
