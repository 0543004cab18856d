//! view.*: the typed subscription of our own web client (`app::rpc::view`).

use crate::rpc::{
    error::{Failure, invalid_param},
    registry::{Call, Method, Outcome, Permission},
    schema::{boolean, integer, object},
    views::MAX_VIEWS,
};
use app::rpc::view::{SubscribeParams, Subscribed, ViewSpec};
use serde_json::{Value, json};

/// A pool's id, and an id within it, with room to spare.
const LONGEST_ID: usize = 200;

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "view.subscribe",
            Permission::SignedIn,
            "watch lists or an object; rows come as `view` notifications",
            subscribe,
        )
        .reads()
        .params([
            ("view", object()),
            ("since", object().optional()),
            ("compress", boolean().optional()),
        ]),
        Method::new(
            "view.unsubscribe",
            Permission::SignedIn,
            "stop watching",
            unsubscribe,
        )
        .reads()
        .params([("view", integer())]),
    ]
}

async fn subscribe(call: Call) -> Result<Outcome, Failure> {
    let params: SubscribeParams = serde_json::from_value(Value::Object(call.params.clone()))
        .map_err(|error| invalid_param("/view", &error.to_string()))?;
    if let ViewSpec::Object { id } = &params.view
        && id.len() > LONGEST_ID
    {
        return Err(invalid_param("/view/id", "no object has so long an id").into());
    }
    let app = &call.app;
    let revision = app.inventory.revision();
    let eye = app.access.eye(call.caller()?);
    let since = params
        .since
        .filter(|since| since.epoch == app.epoch && !eye.has_forgotten(since.revision));
    let compress = params.compress && call.connection.transport.takes_binary();
    let since = since.map(|since| since.revision);
    let opened = call
        .connection
        .views()
        .open(params.view, since, revision, compress);
    let view =
        opened.map_err(|_| Failure::internal(format!("at most {MAX_VIEWS} views can be open at a time")))?;
    app.feed.open(revision);
    call.connection.attention.notify_one();
    Outcome::of(Subscribed {
        view,
        epoch: app.epoch,
    })
}

async fn unsubscribe(call: Call) -> Result<Outcome, Failure> {
    let number = call
        .params
        .get("view")
        .and_then(Value::as_u64)
        .and_then(|number| u32::try_from(number).ok());
    Ok(Outcome::Value(json!(
        number.is_some_and(|number| call.connection.views().close(number))
    )))
}
