//! user.*: people (contract/methods.md).

use crate::{
    auth::{people::UserChange, tokens::now_ms},
    rpc::{
        error::{Failure, invalid_param, unauthorized},
        methods::token::public as public_token,
        registry::{Call, Method, Outcome, Permission},
        schema::{object, string},
    },
};
use serde_json::Value;

pub fn methods() -> Vec<Method> {
    vec![
        Method::new("user.create", Permission::Admin, "creates a new user", create).params([
            ("email", string()),
            ("password", string().secret()),
            ("permission", string().optional()),
        ]),
        Method::new(
            "user.delete",
            Permission::Admin,
            "deletes an existing user",
            delete,
        )
        .params([("id", string())]),
        Method::new(
            "user.getAll",
            Permission::Admin,
            "returns all the existing users",
            get_all,
        )
        .reads(),
        Method::new(
            "user.getAuthenticationTokens",
            Permission::SignedIn,
            "own authentication tokens; their secrets are told only once",
            tokens,
        )
        .reads(),
        Method::new(
            "user.set",
            Permission::SignedIn,
            "changes the properties of an existing user",
            set,
        )
        .params([
            ("id", string()),
            ("email", string().optional()),
            ("password", string().secret().optional()),
            ("permission", string().optional()),
            ("preferences", object().optional()),
        ]),
        Method::new(
            "user.changePassword",
            Permission::SignedIn,
            "change the own password, which must be given",
            change_password,
        )
        .params([
            ("oldPassword", string().secret()),
            ("newPassword", string().secret()),
        ]),
        Method::new(
            "user.removeAuthProvider",
            Permission::Admin,
            "removes an authentication provider of a user",
            remove_auth_provider,
        )
        .params([("authProvider", string()), ("id", string())]),
    ]
}

fn text<'a>(call: &'a Call, name: &str) -> &'a str {
    call.text(name).unwrap_or_default()
}

async fn create(call: Call) -> Result<Outcome, Failure> {
    let permission = call.text("permission").unwrap_or("none");
    let (email, password, by) = (text(&call, "email"), text(&call, "password"), &call.caller()?.id);
    let created = call.app.accounts.create_by(Some(by), email, password, permission);
    Outcome::of(created.await?)
}

async fn delete(call: Call) -> Result<Outcome, Failure> {
    let id = text(&call, "id");
    if id == call.caller()?.id {
        return Err(invalid_param("/id", "a user cannot delete itself").into());
    }
    let access = &call.app.access;
    let deleted = call.app.accounts.delete_user(id, &call.caller()?.id, |changes| {
        access.forget_subject(id, changes)
    });
    deleted.await?;
    call.app.end_sessions_of_change(&[]);
    Outcome::done()
}

async fn get_all(call: Call) -> Result<Outcome, Failure> {
    Outcome::of(call.app.accounts.users())
}

async fn tokens(call: Call) -> Result<Outcome, Failure> {
    let mut own = call.app.accounts.tokens.list(Some(&call.caller()?.id)).await?;
    let now = now_ms();
    own.retain(|(_, token)| token.expiration > now);
    let shown: Vec<Value> = own.iter().map(|(id, token)| public_token(id, token)).collect();
    Outcome::of(shown)
}

async fn set(call: Call) -> Result<Outcome, Failure> {
    let (id, caller) = (text(&call, "id"), call.caller()?);
    let owned = |name: &str| call.text(name).map(str::to_owned);
    let change = UserChange {
        email: owned("email"),
        password: owned("password"),
        permission: owned("permission"),
        preferences: match call.params.get("preferences") {
            Some(Value::Object(preferences)) => preferences.clone(),
            _ => Default::default(),
        },
        keeps: own_token(&call),
        instead_of: None,
    };
    let own = id == caller.id;
    let only_preferences = change.email.is_none() && change.password.is_none() && change.permission.is_none();
    let allowed = caller.is_admin() || (own && only_preferences);
    if !allowed {
        return Err(unauthorized(Some("admin"), None).into());
    }
    if own && change.permission.is_some() {
        return Err(invalid_param("/permission", "one cannot change one's own permission").into());
    }
    let by = caller.is_admin().then_some(caller.id.as_str());
    let ended = call.app.accounts.change_user(id, change, by).await?;
    if own {
        call.connection.renew(&call.app.accounts);
    }
    call.app.end_sessions_of_change(&ended);
    Outcome::done()
}

async fn change_password(call: Call) -> Result<Outcome, Failure> {
    let caller = call.caller()?;
    let (old, new) = (text(&call, "oldPassword"), text(&call, "newPassword"));
    let changed =
        call.app
            .accounts
            .change_password(&caller.id, old, new, &call.connection.address, own_token(&call));
    let ended = changed.await?;
    // Whoever was in with the old one, but the caller, has to know the new one.
    call.connection.renew(&call.app.accounts);
    call.app.end_sessions_of_change(&ended);
    Outcome::done()
}

fn own_token(call: &Call) -> Option<String> {
    call.connection.signed_in().and_then(|user| user.token)
}

async fn remove_auth_provider(call: Call) -> Result<Outcome, Failure> {
    let removed = call.app.accounts.remove_auth_provider(
        &call.caller()?.id,
        text(&call, "id"),
        text(&call, "authProvider"),
    );
    removed.await?;
    Outcome::done()
}
