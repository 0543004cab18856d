//! The methods, a file per namespace (contract/methods.md).

pub mod missing;
mod server;
mod session;
mod system;
mod tag;
mod task;
mod token;
mod view;
mod vm;
mod xo;

pub use xo::join;

use super::registry::Method;

/// Every method that is served.
pub fn all() -> Vec<Method> {
    [
        session::methods(),
        system::methods(),
        server::methods(),
        token::methods(),
        xo::methods(),
        vm::methods(),
        task::methods(),
        tag::methods(),
        view::methods(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
