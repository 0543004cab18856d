//! Xen Orchestra's server: keeps connections to Xen pools, knows their state, and lets people steer them.
//!
//! Rows of modules, each using only its own folder and the rows below it:
//!
//! ```text
//!  http  rpc          edges: only these know HTTP and JSON-RPC
//!  ops  transfer      what a start or a snapshot means in XAPI calls; to and from today's product
//!  pools  access  audit   links to pools; who may do what; who did it
//!  inventory  auth    what is known of pools; who is who
//!  persist  config    what survives a restart; what an operator sets
//!  limits  listen     what nobody sets; connections
//! ```
//! `app` puts them together.

pub mod access;
pub mod app;
pub mod audit;
pub mod auth;
pub mod config;
pub mod http;
pub mod inventory;
pub mod limits;
mod listen;
mod neighbours;
pub mod ops;
pub mod persist;
pub mod pools;
pub mod rpc;
pub mod tls;
pub mod transfer;
