//! acl.* and role.*: who has which rights (contract/methods.md, contract/acl.md).

use crate::{
    access::{Right, Rights},
    persist::records::AclRecord,
    rpc::{
        error::{Failure, invalid_param, no_such_object, unauthorized},
        registry::{Call, Caller, Method, Outcome, Permission},
        schema::string,
    },
};
use serde_json::{Map, Value, json};

/// Ids are uuids, or a pool's uuid and a number.
const LONGEST_ID: usize = 200;

pub fn methods() -> Vec<Method> {
    let entry = || {
        [
            ("subject", string().longest(LONGEST_ID)),
            ("object", string().longest(LONGEST_ID)),
            ("action", string()),
        ]
    };
    vec![
        Method::new("acl.get", Permission::Admin, "get existing ACLs", get).reads(),
        Method::new(
            "acl.getCurrentPermissions",
            Permission::SignedIn,
            "get (explicit) permissions by object for the current user",
            current,
        )
        .reads(),
        Method::new("acl.add", Permission::Admin, "add a new ACL entry", add).params(entry()),
        Method::new(
            "acl.remove",
            Permission::Admin,
            "remove an existing ACL entry",
            remove,
        )
        .params(entry()),
        Method::new(
            "acl.explain",
            Permission::SignedIn,
            "why a user may or may not do something with an object; without a user, oneself",
            explain,
        )
        .reads()
        .params([
            ("object", string().longest(LONGEST_ID)),
            (
                "permission",
                string().one_of(&["view", "operate", "administrate"]),
            ),
            ("user", string().optional()),
        ]),
        Method::new(
            "role.getAll",
            Permission::SignedIn,
            "returns the list of all existing roles",
            roles,
        )
        .reads(),
    ]
}

async fn get(call: Call) -> Result<Outcome, Failure> {
    let entries = call.app.access.list().into_iter();
    let shown = entries.map(|(id, entry)| {
        json!({ "id": id, "subject": entry.subject, "object": entry.object, "action": entry.action })
    });
    Outcome::of(shown.collect::<Vec<_>>())
}

async fn current(call: Call) -> Result<Outcome, Failure> {
    let explicit = call.app.access.explicit(call.caller()?).into_iter();
    let shown = explicit.map(|(object, rights)| {
        let granted = Right::ALL.into_iter().filter(|right| rights.has(*right));
        let permissions: Map<String, Value> = granted
            .map(|right| (right.as_str().to_owned(), json!(1)))
            .collect();
        (object, Value::from(permissions))
    });
    Outcome::of(shown.collect::<Map<_, _>>())
}

fn entry(call: &Call) -> AclRecord {
    let owned = |name| call.text(name).unwrap_or_default().to_owned();
    AclRecord {
        subject: owned("subject"),
        object: owned("object"),
        action: owned("action"),
    }
}

async fn add(call: Call) -> Result<Outcome, Failure> {
    let entry = entry(&call);
    let accounts = &call.app.accounts;
    if accounts.user(&entry.subject).is_none() && accounts.group(&entry.subject).is_none() {
        return Err(no_such_object(&entry.subject, "subject").into());
    }
    if Rights::of_action(&entry.action).is_none() {
        let expected = "must be viewer, operator, admin, view, operate or administrate";
        return Err(invalid_param("/action", expected).into());
    }
    call.app.access.add(entry).await?;
    Outcome::done()
}

async fn remove(call: Call) -> Result<Outcome, Failure> {
    call.app.access.remove(&entry(&call)).await?;
    Outcome::done()
}

async fn explain(call: Call) -> Result<Outcome, Failure> {
    let (caller, id) = (call.caller()?, call.text("object").unwrap_or_default());
    let user = match call.text("user").filter(|user| *user != caller.id) {
        None => caller.clone(),
        Some(_) if !caller.is_admin() => return Err(unauthorized(Some("admin"), None).into()),
        Some(user) => Caller {
            id: user.to_owned(),
            record: call
                .app
                .accounts
                .user(user)
                .ok_or_else(|| no_such_object(user, "user"))?,
        },
    };
    let object = call.app.inventory.get(id);
    // Whoever may not see an object is not told whether it exists.
    let visible = call
        .app
        .access
        .allows(Some(caller), object.as_deref(), Right::View);
    let Some(object) = object.filter(|_| visible) else {
        let error = if caller.is_admin() {
            no_such_object(id, "object")
        } else {
            unauthorized(Some("view"), Some(id))
        };
        return Err(error.into());
    };
    let wanted = call.text("permission").unwrap_or_default();
    let right = Right::ALL.into_iter().find(|right| right.as_str() == wanted);
    let right = right.ok_or_else(|| invalid_param("/permission", "no such permission"))?;
    Outcome::of(call.app.access.explain(&user, &object, right))
}

async fn roles(_: Call) -> Result<Outcome, Failure> {
    let role = |id: &str, name: &str, permissions: &[&str]| json!({ "id": id, "name": name, "permissions": permissions });
    Outcome::of(json!([
        role("viewer", "Viewer", &["view"]),
        role("operator", "Operator", &["view", "operate"]),
        role("admin", "Admin", &["view", "operate", "administrate"]),
    ]))
}
