//! tag.*: labels of objects (contract/methods.md).

use crate::rpc::{
    error::Failure,
    registry::{Call, Method, Outcome, Permission, Resolve, Right},
    schema::string,
};
use app::model::ObjectType;
use serde_json::json;

pub fn methods() -> Vec<Method> {
    const TAGGED: &[Resolve] = &[Resolve {
        param: "id",
        types: &[],
        right: Right::Administrate,
    }];
    vec![
        Method::new("tag.add", Permission::SignedIn, "add a new tag to an object", add)
            .params([("tag", string()), ("id", string())])
            .resolve(TAGGED),
        Method::new(
            "tag.remove",
            Permission::SignedIn,
            "remove an existing tag from an object",
            remove,
        )
        .params([("tag", string().or_empty()), ("id", string())])
        .resolve(TAGGED),
    ]
}

async fn add(call: Call) -> Result<Outcome, Failure> {
    change(&call, "add_tags").await
}

async fn remove(call: Call) -> Result<Outcome, Failure> {
    change(&call, "remove_tags").await
}

async fn change(call: &Call, message: &str) -> Result<Outcome, Failure> {
    let object = call.object("id")?;
    let class = match object.kind {
        ObjectType::Vm | ObjectType::VmController | ObjectType::VmSnapshot | ObjectType::VmTemplate => "VM",
        ObjectType::Host => "host",
        ObjectType::Pool => "pool",
        ObjectType::Sr => "SR",
        ObjectType::Vdi | ObjectType::VdiSnapshot | ObjectType::VdiUnmanaged => "VDI",
        ObjectType::Network => "network",
        other => return Err(Failure::internal(format!("a {other} cannot have tags"))),
    };
    let pool = call.app.pool_of(object)?;
    let params = [json!(object.reference), json!(call.text("tag"))];
    pool.call(&format!("{class}.{message}"), &params).await?;
    Outcome::done()
}
