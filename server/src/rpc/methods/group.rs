//! group.*: groups of users (contract/methods.md).

use crate::rpc::{
    error::{Failure, invalid_param},
    registry::{Call, Method, Outcome, Permission},
    schema::{any, string},
};
use serde_json::Value;
use std::collections::BTreeSet;

pub fn methods() -> Vec<Method> {
    vec![
        Method::new("group.create", Permission::Admin, "creates a new group", create)
            .params([("name", string())]),
        Method::new(
            "group.delete",
            Permission::Admin,
            "deletes an existing group",
            delete,
        )
        .params([("id", string())]),
        Method::new(
            "group.getAll",
            Permission::Admin,
            "returns all the existing groups",
            get_all,
        )
        .reads(),
        Method::new(
            "group.setUsers",
            Permission::Admin,
            "sets the users belonging to a group",
            set_users,
        )
        .params([("id", string()), ("userIds", any())]),
        Method::new(
            "group.addUser",
            Permission::Admin,
            "adds a user to a group",
            add_user,
        )
        .params([("id", string()), ("userId", string())]),
        Method::new(
            "group.removeUser",
            Permission::Admin,
            "removes a user from a group",
            remove_user,
        )
        .params([("id", string()), ("userId", string())]),
        Method::new(
            "group.set",
            Permission::Admin,
            "changes the properties of an existing group",
            set,
        )
        .params([("id", string()), ("name", string().optional())]),
    ]
}

fn text<'a>(call: &'a Call, name: &str) -> &'a str {
    call.text(name).unwrap_or_default()
}

async fn create(call: Call) -> Result<Outcome, Failure> {
    Outcome::of(
        call.app
            .accounts
            .create_group(&call.caller()?.id, text(&call, "name"))
            .await?,
    )
}

async fn delete(call: Call) -> Result<Outcome, Failure> {
    let (id, access) = (text(&call, "id"), &call.app.access);
    let deleted = call.app.accounts.delete_group(&call.caller()?.id, id, |changes| {
        access.forget_subject(id, changes)
    });
    deleted.await?;
    access.groups_changed();
    Outcome::done()
}

async fn get_all(call: Call) -> Result<Outcome, Failure> {
    Outcome::of(call.app.accounts.groups())
}

async fn members(call: &Call, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<Outcome, Failure> {
    call.app
        .accounts
        .set_members(&call.caller()?.id, text(call, "id"), change)
        .await?;
    call.app.access.groups_changed();
    Outcome::done()
}

async fn set_users(call: Call) -> Result<Outcome, Failure> {
    let ids: Option<BTreeSet<String>> = match call.params.get("userIds") {
        Some(Value::Array(ids)) => ids.iter().map(|id| id.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let ids = ids.ok_or_else(|| invalid_param("/userIds", "must be array of ids"))?;
    members(&call, |members| *members = ids).await
}

async fn add_user(call: Call) -> Result<Outcome, Failure> {
    let user = text(&call, "userId").to_owned();
    members(&call, |members| members.extend([user])).await
}

async fn remove_user(call: Call) -> Result<Outcome, Failure> {
    let user = text(&call, "userId");
    members(&call, |members| members.retain(|member| member != user)).await
}

async fn set(call: Call) -> Result<Outcome, Failure> {
    if let Some(name) = call.text("name") {
        call.app
            .accounts
            .rename_group(&call.caller()?.id, text(&call, "id"), name)
            .await?;
    }
    Outcome::done()
}
