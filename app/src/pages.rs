//! One module per page.

#[cfg(feature = "ssr")]
pub mod admin;
pub mod host;
pub mod hosts;
pub mod not_found;
pub mod pool;
pub mod pools;
pub mod servers;
pub mod sign_in;
pub mod tasks;
pub mod vm;
pub mod vms;

mod gone;
