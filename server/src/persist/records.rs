//! The records that are kept, as they are written. A field that is added needs a default.

use super::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserRecord {
    pub email: String,
    /// PHC string.
    pub password_hash: Option<String>,
    /// `admin` or `none`.
    pub permission: String,
    pub groups: Vec<String>,
    pub preferences: Map<String, Value>,
}

impl Record for UserRecord {
    const COLLECTION: &'static str = "users";
}

/// A token; its id is the SHA-256 of the secret, which is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRecord {
    pub user_id: String,
    /// ms since epoch, as `expiration`.
    pub created_at: i64,
    pub expiration: i64,
    pub description: Option<String>,
    pub client_id: Option<String>,
    /// Address to ms since epoch.
    pub last_uses: BTreeMap<String, i64>,
}

impl Record for TokenRecord {
    const COLLECTION: &'static str = "tokens";
}

/// A registered server (one pool).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerRecord {
    pub host: String,
    pub label: Option<String>,
    pub username: String,
    /// Sealed by `persist::secrets`.
    pub sealed_password: String,
    pub allow_unauthorized: bool,
    pub read_only: bool,
    pub enabled: bool,
    /// URL of the proxy, sealed: it may hold a password.
    pub sealed_http_proxy: Option<String>,
    /// `first-use` until a certificate was met, then its fingerprint.
    pub fingerprint: Option<String>,
    pub pool_name_label: Option<String>,
    pub pool_name_description: Option<String>,
    /// Of its hosts, sorted.
    pub pool_members_addresses: Option<Vec<String>>,
    /// Of their certificates, by address; empty where the pool tells none.
    pub pool_members_fingerprints: Option<BTreeMap<String, String>>,
}

impl Record for ServerRecord {
    const COLLECTION: &'static str = "servers";
}
