//! The whole store as one file, to move it from one kind of store, or one machine, to another.
//!
//! Secrets stay sealed in it: with the key file of the installation, which then has to travel beside it, or
//! with a passphrase.

use super::{
    Backend, Change, RawRecord, SCHEMA_VERSION, Store, StoreError,
    memory::Memory,
    records::COLLECTIONS,
    secrets::{Derivation, Secrets},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const FORMAT: &str = "xo-store";
const VERSION: u32 = 1;
/// What is sealed to see whether the key is the right one.
const CHECK: &str = "the right key";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    format: String,
    version: u32,
    /// Of the records.
    schema: u32,
    sealed: Sealed,
    /// By collection and id.
    records: BTreeMap<String, BTreeMap<String, RawRecord>>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "with", rename_all = "lowercase", deny_unknown_fields)]
enum Sealed {
    /// The key file of where it was exported.
    Key {
        check: String,
    },
    Passphrase {
        derivation: Derivation,
        check: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("this is not an export of a store: {0}")]
    NotADump(String),
    #[error(
        "it was exported by a later version (format {version}, schema {schema}; this program knows up to {VERSION} and {SCHEMA_VERSION})"
    )]
    TooNew { version: u32, schema: u32 },
    #[error("its secrets are sealed with a passphrase: give it")]
    PassphraseMissing,
    #[error("this is not the passphrase that its secrets were sealed with")]
    WrongPassphrase,
    #[error(
        "its secrets are sealed with the key file of another installation: bring that file, or export again with a passphrase"
    )]
    OtherKey,
    #[error(
        "{member} of {id} in {collection} cannot be unsealed: it was sealed with another key file, or is damaged"
    )]
    Unsealable {
        collection: String,
        id: String,
        member: String,
    },
    #[error("it holds a collection that this program does not know: {0}")]
    UnknownCollection(String),
    #[error(
        "the store is not empty ({0} records): a store can be imported into an empty one, or replace what is there"
    )]
    NotEmpty(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many records of which collection.
pub type Counts = BTreeMap<String, usize>;

impl Dump {
    pub fn counts(&self) -> Counts {
        let count = |(name, records): (&String, &BTreeMap<_, _>)| (name.clone(), records.len());
        self.records.iter().map(count).collect()
    }

    pub fn read(bytes: &[u8]) -> Result<Self, DumpError> {
        /// Enough to tell a file of a later version from no such file at all.
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
            schema: u32,
        }
        let not = |error: serde_json::Error| DumpError::NotADump(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(not)?;
        if head.format != FORMAT {
            return Err(DumpError::NotADump(format!("its format is {:?}", head.format)));
        }
        if head.version > VERSION || head.schema > SCHEMA_VERSION {
            return Err(DumpError::TooNew {
                version: head.version,
                schema: head.schema,
            });
        }
        serde_json::from_slice(bytes).map_err(not)
    }
}

/// Unseals with the one and seals with the other.
fn reseal(
    collection: &str,
    id: &str,
    record: &mut RawRecord,
    from: &Secrets,
    to: &Secrets,
) -> Result<(), DumpError> {
    from.unseal_members(record)
        .map_err(|member| DumpError::Unsealable {
            collection: collection.to_owned(),
            id: id.to_owned(),
            member,
        })?;
    to.seal_members(record);
    Ok(())
}

/// Everything that the store holds.
pub async fn export(store: &Store, secrets: &Secrets, passphrase: Option<&str>) -> Result<Dump, DumpError> {
    let other = match passphrase {
        None => None,
        Some(passphrase) => {
            let derivation = Derivation::new();
            let sealing =
                Secrets::of_passphrase(passphrase, &derivation).ok_or(DumpError::WrongPassphrase)?;
            Some((derivation, sealing))
        }
    };
    let mut records = BTreeMap::new();
    for collection in COLLECTIONS {
        let mut of_collection = BTreeMap::new();
        for (id, mut record) in store.list_raw(collection).await? {
            if let Some((_, sealing)) = &other {
                reseal(collection, &id, &mut record, secrets, sealing)?;
            }
            of_collection.insert(id, record);
        }
        if !of_collection.is_empty() {
            records.insert((*collection).to_owned(), of_collection);
        }
    }
    let sealed = match other {
        None => Sealed::Key {
            check: secrets.seal(CHECK),
        },
        Some((derivation, sealing)) => Sealed::Passphrase {
            check: sealing.seal(CHECK),
            derivation,
        },
    };
    Ok(Dump {
        format: FORMAT.to_owned(),
        version: VERSION,
        schema: SCHEMA_VERSION,
        sealed,
        records,
    })
}

/// How an import is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Import<'a> {
    pub passphrase: Option<&'a str>,
    /// Removes what is there.
    pub replace: bool,
    /// Everything but the change.
    pub dry_run: bool,
}

/// Makes the store what the file says, in one step.
pub async fn import(
    store: &Store,
    secrets: &Secrets,
    dump: Dump,
    import: Import<'_>,
) -> Result<Counts, DumpError> {
    let counts = dump.counts();
    let sealing = match &dump.sealed {
        Sealed::Key { check } => {
            secrets.unseal(check).ok_or(DumpError::OtherKey)?;
            None
        }
        Sealed::Passphrase { derivation, check } => {
            let passphrase = import.passphrase.ok_or(DumpError::PassphraseMissing)?;
            let sealing = Secrets::of_passphrase(passphrase, derivation)
                .ok_or_else(|| DumpError::NotADump("its key derivation is out of bounds".to_owned()))?;
            sealing.unseal(check).ok_or(DumpError::WrongPassphrase)?;
            Some(sealing)
        }
    };
    let from = sealing.as_ref().unwrap_or(secrets);
    let there = migrated(dump, from).await?;
    let mut changes = Vec::new();
    for collection in COLLECTIONS {
        for (id, _) in store.list_raw(collection).await? {
            changes.push(Change {
                collection,
                id,
                value: None,
            });
        }
    }
    if !changes.is_empty() && !import.replace {
        return Err(DumpError::NotEmpty(changes.len()));
    }
    for collection in COLLECTIONS {
        for (id, mut record) in there.list_raw(collection).await? {
            if sealing.is_some() {
                reseal(collection, &id, &mut record, from, secrets)?;
            }
            changes.push(Change::put_raw(collection, &id, record));
        }
    }
    if !import.dry_run {
        store.commit(changes).await?;
    }
    Ok(counts)
}

/// The records as this version writes them.
async fn migrated(dump: Dump, secrets: &Secrets) -> Result<Store, DumpError> {
    let memory = Arc::new(Memory::default());
    let mut changes = vec![Change {
        collection: super::META,
        id: super::SCHEMA.to_owned(),
        value: Some(dump.schema.to_string().into_bytes()),
    }];
    for (name, records) in dump.records {
        let Some(collection) = COLLECTIONS.iter().find(|collection| **collection == name) else {
            return Err(DumpError::UnknownCollection(name));
        };
        let records = records.into_iter();
        changes.extend(records.map(|(id, record)| Change::put_raw(collection, &id, record)));
    }
    memory.commit(changes).await?;
    Ok(Store::open(memory, secrets).await?)
}
