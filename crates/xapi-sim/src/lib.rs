//! Simulated XenServer pools: the real XAPI protocol over real sockets, in front of a made-up world.
//!
//! What is real: HTTP/1.1 with keep-alive (and TLS), XML-RPC and JSON-RPC in XAPI's exact shapes, sessions, tasks,
//! `event.from` with its tokens, coalescing and bounded deletion history, the generated accessors of all classes,
//! relations kept at both ends, the VM life cycle with its intermediate states and error codes. What is made up:
//! the world itself, grown from a seed - the same seed gives the same uuids, references and names - and the time
//! that operations take ([`PoolConfig::time_scale`]).
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use xapi_sim::{PoolConfig, SimPool};
//! let pool = SimPool::start(PoolConfig { vms: 20, time_scale: 0.0, ..PoolConfig::default() }).await?;
//! let url = pool.url(); // http://127.0.0.1:<port>, credentials root / password
//! let vms = pool.read(|db| db.count("VM"));
//! pool.cut_connections(); // what does the client do now?
//! pool.stop().await;
//! # Ok(()) }
//! ```
//!
//! Map: `model` (the data model) -> `db` (tables, generations, relations) -> `rpc` (names, types, sessions, tasks,
//! events) -> `ops` (hand-written operations) ; `wire` (JSON and XML), `http` (connections) and `pool` (life of one
//! pool) around them; `world` seeds the database, `churn` keeps it moving.

pub mod churn;
pub mod clock;
pub mod consistency;
pub mod control;
pub mod db;
mod disks;
pub mod fault;
mod faults;
mod http;
pub mod model;
mod ops;
mod pem;
mod pool;
mod rpc;
mod rrd;
mod seed;
mod streams;
mod trouble;
mod value;
mod wire;
mod world;

pub use churn::ChurnKind;
pub use consistency::contradictions;
pub use db::{Db, Ref};
pub use fault::Fault;
pub use faults::{ALL, Countdown, Faults};
pub use http::Limits;
pub use ops::unimplemented_messages;
pub use pool::members::Member;
pub use pool::{PoolConfig, SimPool, Stats};
pub use rpc::rbac::{ROLES, User};
pub use trouble::{OF_A_HOST, TROUBLES, Trouble};
pub use value::{NULL_REF, Value};
pub use wire::{UNKNOWN_FIELD, UNKNOWN_MEMBER};
pub use world::load::parse as parse_records;
