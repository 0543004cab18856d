//! Xen Orchestra's shared crate: entity models, filter language and JSON-RPC types, and (with the
//! feature `ui`) the Leptos web client.
//!
//! Without features this is plain data: the server, the command-line tools and the tests compile it
//! without Leptos. Nothing here opens a socket on the server's side.

// Views are deep types.
#![recursion_limit = "512"]

#[cfg(all(feature = "ui", not(erase_components)))]
compile_error!(
    "server and client must both be built with --cfg erase_components (.cargo/config.toml); \
     a RUSTFLAGS variable hides it: add it there too"
);

pub mod model;
pub mod query;
pub mod rpc;

#[cfg(feature = "ui")]
pub mod client;
#[cfg(feature = "ui")]
pub mod components;
#[cfg(feature = "ui")]
pub mod layouts;
#[cfg(feature = "ui")]
pub mod pages;
#[cfg(feature = "ui")]
pub mod routes;
#[cfg(feature = "ui")]
pub mod shell;
#[cfg(feature = "ui")]
pub mod state;
#[cfg(feature = "ui")]
pub mod ui;

#[cfg(feature = "ui")]
pub use shell::App;
