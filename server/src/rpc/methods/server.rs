//! server.*: the registered pools (contract/methods.md). The certificate's fingerprint is ours.

use crate::{
    pools::{Amendment, Registration},
    rpc::{
        error::Failure,
        registry::{Call, Method, Outcome, Permission},
        schema::{any_of, boolean, string},
    },
};
use serde_json::Value;

/// Characters of any text of a registration.
const LONGEST: usize = 1_000;

pub fn methods() -> Vec<Method> {
    let admin = Permission::Admin;
    vec![
        Method::new("server.add", admin, "register a new Xen server", add).params([
            ("label", string().or_empty().longest(LONGEST).optional()),
            ("host", string().longest(LONGEST)),
            ("username", string().longest(LONGEST)),
            ("password", string().secret().longest(LONGEST)),
            ("autoConnect", boolean().optional()),
            ("allowUnauthorized", boolean().optional()),
            (
                "httpProxy",
                string().secret().or_empty().longest(LONGEST).optional(),
            ),
            ("fingerprint", string().or_empty().longest(LONGEST).optional()),
        ]),
        Method::new("server.remove", admin, "unregister a Xen server", remove).params([("id", string())]),
        Method::new(
            "server.getAll",
            admin,
            "return all registered Xen servers",
            get_all,
        )
        .reads(),
        Method::new("server.set", admin, "change the properties of a Xen server", set).params([
            ("id", string()),
            (
                "label",
                any_of(&["null", "string"]).or_empty().longest(LONGEST).optional(),
            ),
            ("host", string().longest(LONGEST).optional()),
            ("username", string().longest(LONGEST).optional()),
            ("password", string().secret().longest(LONGEST).optional()),
            ("allowUnauthorized", boolean().optional()),
            ("readOnly", boolean().optional()),
            (
                "httpProxy",
                any_of(&["null", "string"])
                    .secret()
                    .or_empty()
                    .longest(LONGEST)
                    .optional(),
            ),
            (
                "fingerprint",
                any_of(&["null", "string"]).or_empty().longest(LONGEST).optional(),
            ),
        ]),
        Method::new("server.enable", admin, "enable a Xen server", enable).params([("id", string())]),
        Method::new("server.disable", admin, "disable a Xen server", disable).params([("id", string())]),
    ]
}

fn owned(call: &Call, param: &str) -> Option<String> {
    call.text(param).map(str::to_owned)
}

/// A param that `null` erases.
fn erasable(call: &Call, param: &str) -> Option<Option<String>> {
    call.params
        .get(param)
        .map(|value| value.as_str().map(str::to_owned))
}

async fn add(call: Call) -> Result<Outcome, Failure> {
    let registration = Registration {
        host: owned(&call, "host").unwrap_or_default(),
        username: owned(&call, "username").unwrap_or_default(),
        password: owned(&call, "password").unwrap_or_default(),
        label: owned(&call, "label"),
        allow_unauthorized: call.flag("allowUnauthorized"),
        http_proxy: owned(&call, "httpProxy"),
        fingerprint: owned(&call, "fingerprint"),
    };
    let connect = call.params.get("autoConnect") != Some(&Value::Bool(false));
    Outcome::of(call.app.pools.add(registration, connect).await?)
}

async fn remove(call: Call) -> Result<Outcome, Failure> {
    call.app.pools.remove(call.text("id").unwrap_or_default()).await?;
    Outcome::done()
}

async fn get_all(call: Call) -> Result<Outcome, Failure> {
    Outcome::of(call.app.pools.servers())
}

async fn set(call: Call) -> Result<Outcome, Failure> {
    let amendment = Amendment {
        label: erasable(&call, "label"),
        host: owned(&call, "host"),
        username: owned(&call, "username"),
        password: owned(&call, "password"),
        allow_unauthorized: call.params.get("allowUnauthorized").and_then(Value::as_bool),
        read_only: call.params.get("readOnly").and_then(Value::as_bool),
        http_proxy: erasable(&call, "httpProxy"),
        fingerprint: erasable(&call, "fingerprint"),
    };
    call.app
        .pools
        .set(call.text("id").unwrap_or_default(), amendment)
        .await?;
    Outcome::done()
}

async fn enable(call: Call) -> Result<Outcome, Failure> {
    call.app.pools.enable(call.text("id").unwrap_or_default()).await?;
    Outcome::done()
}

async fn disable(call: Call) -> Result<Outcome, Failure> {
    call.app
        .pools
        .disable(call.text("id").unwrap_or_default())
        .await?;
    Outcome::done()
}
