//! What is asked of the registry of servers, and why it says no.

use super::{LinkError, MAX_SERVERS};
use crate::persist::StoreError;
use app::model::light::LinkStatus;

/// What a registration asks for.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub host: String,
    pub username: String,
    pub password: String,
    pub label: Option<String>,
    pub allow_unauthorized: bool,
    pub http_proxy: Option<String>,
    pub fingerprint: Option<String>,
}

/// A change of a registration; the outer `None` keeps, `Some(None)` erases.
#[derive(Clone, Debug, Default)]
pub struct Amendment {
    pub label: Option<Option<String>>,
    pub host: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub allow_unauthorized: Option<bool>,
    pub read_only: Option<bool>,
    pub http_proxy: Option<Option<String>>,
    pub fingerprint: Option<Option<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("no such server {0}")]
    NoSuchServer(String),
    #[error("server already exists")]
    AlreadyExists { id: String },
    #[error("the server is {actual:?}")]
    IncorrectState {
        id: String,
        actual: LinkStatus,
        expected: LinkStatus,
    },
    #[error("at most {MAX_SERVERS} servers can be registered")]
    TooMany,
    #[error("{0}")]
    InvalidHost(#[from] xapi::InvalidHost),
    #[error("a fingerprint is 32 bytes in hexadecimal, AA:BB:..., or first-use")]
    InvalidFingerprint,
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
