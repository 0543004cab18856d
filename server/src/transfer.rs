//! To and from today's product: its Redis, and the configuration that it exports (contract/storage.md).
//!
//! Both are read into an [`Export`]: lists of its records as it would export them. What comes of each is planned,
//! told line by line, and made in one change.

mod encryption;
mod export;
mod file;
mod import;
mod kept;
mod layout;
mod people;
mod values;

pub use encryption::Keys;
pub use export::export_config;
pub use file::{LONGEST, read};
pub use import::{Fate, Line, Plan, plan};
pub use layout::read as read_redis;

use crate::persist::{
    RawRecord, Record, Store, StoreError,
    records::{
        AclRecord, CloudConfigRecord, GroupRecord, GroupRoleRecord, IpPoolRecord, JobRecord, PluginRecord,
        PrivilegeRecord, ProxyRecord, RemoteRecord, ResourceSetRecord, RoleRecord, ScheduleRecord,
        ServerRecord, TagRecord, TokenRecord, UserRecord, UserRoleRecord,
    },
    secrets::Secrets,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// One kind of records under its three names.
pub(crate) struct Kind {
    /// In an export.
    pub entry: &'static str,
    /// In today's Redis; what has none is in a LevelDB there.
    pub namespace: Option<&'static str>,
    /// In our store.
    pub collection: &'static str,
    /// Entries that this one's records refer to.
    pub needs: &'static [&'static str],
}

const fn kind(
    entry: &'static str,
    namespace: Option<&'static str>,
    collection: &'static str,
    needs: &'static [&'static str],
) -> Kind {
    Kind {
        entry,
        namespace,
        collection,
        needs,
    }
}

pub(crate) const KINDS: &[Kind] = &[
    kind("users", Some("user"), UserRecord::COLLECTION, &[]),
    kind("groups", Some("group"), GroupRecord::COLLECTION, &["users"]),
    kind("authTokens", Some("token"), TokenRecord::COLLECTION, &[]),
    kind("acls", Some("acl"), AclRecord::COLLECTION, &["groups", "users"]),
    kind("xenServers", Some("server"), ServerRecord::COLLECTION, &[]),
    kind("tags", Some("tag"), TagRecord::COLLECTION, &[]),
    kind("remotes", Some("remote"), RemoteRecord::COLLECTION, &[]),
    kind("jobs", Some("job"), JobRecord::COLLECTION, &["users"]),
    kind(
        "schedules",
        Some("schedule"),
        ScheduleRecord::COLLECTION,
        &["jobs"],
    ),
    kind("plugins", Some("plugin-metadata"), PluginRecord::COLLECTION, &[]),
    kind(
        "cloudConfigs",
        Some("cloudConfig"),
        CloudConfigRecord::COLLECTION,
        &[],
    ),
    kind("proxies", Some("proxy"), ProxyRecord::COLLECTION, &[]),
    kind(
        "resourceSets",
        None,
        ResourceSetRecord::COLLECTION,
        &["groups", "users"],
    ),
    kind("ipPools", None, IpPoolRecord::COLLECTION, &[]),
    kind("roles", Some("acl-v2-role"), RoleRecord::COLLECTION, &[]),
    kind(
        "privileges",
        Some("acl-v2-privilege"),
        PrivilegeRecord::COLLECTION,
        &["roles"],
    ),
    kind(
        "userRole",
        Some("acl-v2-user-role"),
        UserRoleRecord::COLLECTION,
        &["users", "roles"],
    ),
    kind(
        "groupRole",
        Some("acl-v2-group-role"),
        GroupRoleRecord::COLLECTION,
        &["groups", "roles"],
    ),
];

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("this is no configuration of Xen Orchestra: {0}")]
    NotAnExport(String),
    #[error(
        "it is encrypted with OpenPGP, which is not read here. Decrypt it first, and pass it on: \
         gpg --decrypt FILE | xo-server import-xo --from-export -; or export it without a passphrase"
    )]
    OpenPgp,
    #[error("{0}")]
    Redis(String),
    #[error("there are no data of Xen Orchestra in {0}: it has no keys xo:...")]
    NothingThere(String),
    #[error("its records are encrypted: the two halves of the key are needed (--encryption-key)")]
    KeyMissing,
    #[error("its records cannot be decrypted with this key, or are damaged: {0}")]
    WrongKey(String),
    #[error("the key: {0}")]
    InvalidKey(String),
    #[error("there is no part {0:?} in a configuration")]
    UnknownEntry(String),
    #[error("{0} cannot be unsealed with our key file")]
    Sealed(String),
    #[error(
        "no administrator with a password would be left, and nobody could sign in as one: nothing is changed"
    )]
    NoAdministrator,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What today's product knows, by the names of its configuration export.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Export {
    pub(crate) entries: BTreeMap<&'static str, Vec<RawRecord>>,
    /// What was found and cannot come.
    pub notes: Vec<String>,
}

impl Export {
    /// From the parsed JSON of a configuration export.
    pub fn from_json(json: Value) -> Result<Self, TransferError> {
        let not = |reason: String| TransferError::NotAnExport(reason);
        let Value::Object(parts) = json else {
            return Err(not("it is not a JSON object".to_owned()));
        };
        let mut export = Self::default();
        let mut known = false;
        for (name, records) in parts {
            let Some(kind) = KINDS.iter().find(|kind| kind.entry == name) else {
                export
                    .notes
                    .push(format!("{name} is a part that is not known here"));
                continue;
            };
            known = true;
            let Value::Array(records) = records else {
                return Err(not(format!("{name} is not a list")));
            };
            let records = records.into_iter().map(|record| match record {
                Value::Object(record) => Ok(record),
                other => Err(not(format!(
                    "{name} holds something that is no record: {}",
                    shape(&other)
                ))),
            });
            export
                .entries
                .insert(kind.entry, records.collect::<Result<_, _>>()?);
        }
        if !known {
            return Err(not("none of its parts is known".to_owned()));
        }
        Ok(export)
    }

    pub(crate) fn take(&mut self, entry: &str) -> Vec<RawRecord> {
        self.entries.remove(entry).unwrap_or_default()
    }
}

/// Values may be secrets.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Plans and, unless it is a dry run, makes it so. The report is the same for both.
pub async fn import_config(
    store: &Store,
    secrets: &Secrets,
    export: Export,
    dry_run: bool,
) -> Result<Vec<Line>, TransferError> {
    let plan = plan(store, secrets, export).await?;
    if dry_run {
        Ok(plan.lines)
    } else {
        plan.apply(store).await
    }
}
