//! api.*: the connections to this server (contract/methods.md).

use crate::rpc::{
    error::{Failure, no_such_object},
    registry::{Call, Method, Outcome, Permission},
    schema::integer,
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
        Method::new(
            "api.closeConnection",
            Permission::Admin,
            "close one connection to this API, by its id of api.getConnections",
            close,
        )
        .params([("id", integer())]),
    ]
}

async fn connections(call: Call) -> Result<Outcome, Failure> {
    let open = call.app.connections.list();
    let shown = open.iter().map(|connection| {
        let mut shown = json!({ "id": connection.id, "user_ip": connection.address });
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

async fn close(call: Call) -> Result<Outcome, Failure> {
    let id = call.params.get("id").and_then(Value::as_u64);
    let open = call.app.connections.list();
    let Some(connection) = open.iter().find(|connection| Some(connection.id) == id) else {
        let id = call.params.get("id").map(Value::to_string).unwrap_or_default();
        return Err(no_such_object(&id, "connection").into());
    };
    connection.closing.cancel();
    Outcome::done()
}
