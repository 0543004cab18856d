//! The one connection of this page to its server: calls out, views in.
//!
//! Knows nothing of what is shown. Lives in a thread-local because a browser's socket can not leave its
//! thread; nothing here runs while the server renders.

mod backoff;
mod connection;
mod frame;
mod socket;
mod views;

pub use connection::{call, reconnect_now, start};
pub use views::{ViewEvent, ViewHandle, watch};

use crate::rpc::RpcError;

/// Where the connection stands, for the banner. Times are ms since epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Phase {
    /// First contact, nothing to show yet.
    #[default]
    Starting,
    Ready,
    /// The connection broke; `next` is when it is tried again, unless that is happening now.
    Broken {
        since: f64,
        next: Option<f64>,
        attempts: u32,
    },
    /// The session ended: the page is on its way to the sign-in.
    SignedOut,
}

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    #[error("not connected to the Xen Orchestra server, nothing was sent")]
    Offline,
    #[error("the connection broke before the answer came; the action may have been carried out")]
    Lost,
    #[error("no answer in time; the action may still be running")]
    TimedOut,
    #[error("too many actions are waiting for an answer")]
    TooMany,
    #[error("the answer has an unexpected shape: {0}")]
    Shape(String),
    #[error(transparent)]
    Refused(#[from] RpcError),
}
