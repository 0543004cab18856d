//! api.*: the connections to this server (contract/methods.md).

use crate::rpc::{
    error::Failure,
    registry::{Call, Method, Outcome, Permission},
};
use serde_json::{Value, json};

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "api.getConnections",
            Permission::Admin,
            "get a list of all current connections to this API",
            connections,
        )
        .reads(),
        Method::new(
            "api.closeAllConnections",
            Permission::Admin,
            "close all current connections to this API except the current one",
            close_all,
        ),
    ]
}

async fn connections(call: Call) -> Result<Outcome, Failure> {
    let open = call.app.connections.list();
    let shown = open.iter().map(|connection| {
        let mut shown = json!({ "user_ip": connection.address });
        if let Some(user) = connection.signed_in() {
            shown["user_id"] = user.user_id.into();
            if let Some(expires) = user.expires {
                shown["expiration"] = expires.into();
            }
        }
        shown
    });
    Outcome::of(shown.collect::<Vec<Value>>())
}

async fn close_all(call: Call) -> Result<Outcome, Failure> {
    let open = call.app.connections.list();
    let others = open.iter().filter(|other| other.id != call.connection.id);
    others.for_each(|other| other.closing.cancel());
    Outcome::done()
}
