//! A client of the Xen management API (XAPI).
//!
//! It knows XAPI's wire forms, records and events, and nothing of Xen Orchestra's objects. The pieces,
//! from the wire up: [`wire`] (JSON-RPC and XML-RPC), [`records`] (typed, forgiving), [`tls`] (whom to
//! trust), [`endpoint`] (where a host is), [`client`] (one session, calls), [`stream`] (what is no call), [`cache`] (the records of one pool), [`watch`] (keeps a cache
//! equal to the pool through `event.from`).

pub mod cache;
pub mod client;
pub mod endpoint;
pub mod error;
mod events;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod records;
pub mod reference;
pub mod stream;
pub mod tls;
pub mod watch;
pub mod wire;

pub use cache::{Cache, Change, Slot};
pub use client::Client;
pub use endpoint::{Endpoint, InvalidHost};
pub use error::{CallError, Fault};
pub use records::{Class, Record};
pub use reference::{OpaqueRef, Ref, Uuid};
