//! `/account`

use super::{
    tokens,
    visit::{Fields, Own, OwnForm, Page, Visit, Wrong},
};
use crate::http::tickets;
use ::app::{
    pages::admin::account::{Account, AccountPage, AccountPageProps},
    routes,
    rpc::{ErrorCode, RpcError},
};
use serde_json::{Value, json};

/// Names the secret of a new token, which is shown once.
const SECRET: &str = "new-token";

pub async fn show(Own(visit): Own) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let (id, record) = (&visit.caller.id, &visit.caller.record);
    let waiting = &visit.app.waiting.secrets;
    let ticket = visit.cookie(SECRET).filter(|ticket| !ticket.is_empty());
    let secret = ticket.as_deref().and_then(|ticket| waiting.take(ticket));
    let groups = record.groups.iter().map(|group| visit.subject_named(group).name);
    let account = Account {
        name: record.email.clone(),
        is_admin: visit.caller.is_admin(),
        groups: groups.collect(),
        has_otp: record.sealed_otp.is_some(),
        elsewhere: !record.auth_providers.is_empty(),
        tokens: tokens::of(visit, Some(id)).await?,
        // Another user may have signed in meanwhile.
        secret: secret.filter(|(owner, _)| owner == id).map(|(_, secret)| secret),
        entered: wrong.entered.clone(),
    };
    let mut page = visit.page("My account", routes::ACCOUNT, &wrong, || {
        AccountPage(AccountPageProps { account })
    })?;
    if ticket.is_some() {
        visit.set_cookie(&mut page, SECRET, "", 0);
    }
    Ok(page)
}

pub async fn change(OwnForm(visit, form): OwnForm) -> Page {
    let result = match form.get("form") {
        "otp-begin" => return super::otp::begin(&visit),
        "create-token" => create_token(&visit, &form).await.map(Some),
        "password" if form.raw("newPassword") != form.raw("again") => {
            let wrong = Wrong::field(&form, "again", "This is another password than the one before.");
            return page(&visit, wrong).await;
        }
        _ => run(&visit, &form).await.map(|()| None),
    };
    let notice = match form.get("form") {
        "password" => "password-set",
        "otp-off" => "otp-off",
        "revoke" => "token-revoked",
        "create-token" => "token-made",
        _ => return visit.unknown_form(),
    };
    match result {
        Ok(ticket) => {
            let mut done = visit.done(routes::ACCOUNT, notice)?;
            if let Some(ticket) = ticket {
                let age = tickets::VALIDITY.as_secs();
                visit.set_cookie(&mut done, SECRET, &ticket, i64::try_from(age).unwrap_or(60));
            }
            Ok(done)
        }
        Err(error) => {
            let blamed = [(ErrorCode::INVALID_CREDENTIALS, "oldPassword")];
            page(&visit, Wrong::of(&error, &form, &blamed)).await
        }
    }
}

async fn run(visit: &Visit, form: &Fields) -> Result<(), RpcError> {
    let (method, params) = match form.get("form") {
        "password" => {
            let (old, new) = (form.raw("oldPassword"), form.raw("newPassword"));
            (
                "user.changePassword",
                json!({ "oldPassword": old, "newPassword": new }),
            )
        }
        "otp-off" => (
            "user.set",
            json!({ "id": visit.caller.id, "preferences": { "otp": null } }),
        ),
        "revoke" => ("token.deleteOwn", json!({ "tokens": [form.get("token")] })),
        _ => return Ok(()),
    };
    visit.call(method, params).await.map(drop)
}

/// The name of the ticket that waits with the secret.
async fn create_token(visit: &Visit, form: &Fields) -> Result<String, RpcError> {
    let params = form.params(&["description", "expiresIn"], &[]);
    let Value::String(secret) = visit.call("token.create", params).await? else {
        return Err(super::failure::internal("the token has no secret"));
    };
    Ok(visit.app.waiting.secrets.issue((visit.caller.id.clone(), secret)))
}
