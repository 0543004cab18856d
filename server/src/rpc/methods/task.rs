//! task.*: XAPI's tasks (contract/methods.md).

use crate::rpc::{
    error::Failure,
    registry::{Call, Method, Outcome, Permission, Resolve, Right},
    schema::string,
};
use app::model::ObjectType;
use serde_json::json;

pub fn methods() -> Vec<Method> {
    const TASK: &[Resolve] = &[Resolve {
        param: "id",
        types: &[ObjectType::Task],
        right: Right::Administrate,
    }];
    vec![
        Method::new("task.cancel", Permission::SignedIn, "cancel a task", cancel)
            .params([("id", string())])
            .resolve(TASK),
        Method::new("task.destroy", Permission::SignedIn, "destroy a task", destroy)
            .params([("id", string())])
            .resolve(TASK),
    ]
}

async fn cancel(call: Call) -> Result<Outcome, Failure> {
    run(&call, "task.cancel").await
}

async fn destroy(call: Call) -> Result<Outcome, Failure> {
    run(&call, "task.destroy").await
}

async fn run(call: &Call, method: &str) -> Result<Outcome, Failure> {
    let task = call.object("id")?;
    call.app
        .pool_of(task)?
        .call(method, &[json!(task.reference)])
        .await?;
    Outcome::done()
}
