//! The methods, a file per namespace (contract/methods.md).

mod acl;
mod api;
mod audit;
mod group;
pub mod missing;
mod server;
mod session;
pub mod system;
mod tag;
mod task;
mod token;
mod user;
mod view;
mod vm;
mod xo;

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
        user::methods(),
        group::methods(),
        acl::methods(),
        api::methods(),
        audit::methods(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
