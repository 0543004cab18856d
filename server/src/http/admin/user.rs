//! `/admin/users/{id}`

use super::{
    rights, tokens,
    visit::{Admin, AdminForm, Fields, Page, Visit, Wrong},
};
use ::app::{
    pages::admin::{
        user::{UserDetails, UserPage, UserPageProps},
        users,
    },
    routes,
    rpc::{ErrorCode, RpcError},
};
use axum::extract::Path;
use serde_json::{Value, json};

pub async fn show(Path(id): Path<String>, Admin(visit): Admin) -> Page {
    page(&visit, &id, Wrong::default()).await
}

async fn page(visit: &Visit, id: &str, wrong: Wrong) -> Page {
    let Some(user) = visit.app.accounts.public(id) else {
        return Err(visit.not_found("There is no such user."));
    };
    let mut other_groups: Vec<_> = visit.app.accounts.groups();
    other_groups.retain(|group| group.provider.is_none() && !user.groups.contains(&group.id));
    let subjects: Vec<&str> = std::iter::once(id)
        .chain(user.groups.iter().map(String::as_str))
        .collect();
    let details = UserDetails {
        own: id == visit.caller.id,
        groups: user
            .groups
            .iter()
            .map(|group| visit.subject_named(group))
            .collect(),
        other_groups: other_groups
            .iter()
            .map(|group| visit.subject_named(&group.id))
            .collect(),
        tokens: tokens::of(visit, Some(id)).await?,
        rights: rights::entries(visit, |entry| subjects.contains(&entry.subject.as_str())).await?,
        entered: wrong.entered.clone(),
        user,
    };
    let title = details.user.email.clone();
    visit.page(&title, routes::ADMIN_USERS, &wrong, || {
        UserPage(UserPageProps { details })
    })
}

pub async fn change(Path(id): Path<String>, AdminForm(visit, form): AdminForm) -> Page {
    let result = run(&visit, &id, &form).await;
    match result {
        Ok("") => visit.unknown_form(),
        Ok("user-deleted") => visit.done(routes::ADMIN_USERS, "user-deleted"),
        Ok(notice) => visit.done(&users::path(&id), notice),
        Err(error) => {
            let blamed = [(ErrorCode::OBJECT_ALREADY_EXISTS, "email")];
            page(&visit, &id, Wrong::of(&error, &form, &blamed)).await
        }
    }
}

/// The notice of what was done; empty when the form is not known.
async fn run(visit: &Visit, id: &str, form: &Fields) -> Result<&'static str, RpcError> {
    let member = |group: &str| json!({ "id": group, "userId": id });
    let done = match form.get("form") {
        "set" => {
            let mut params = json!({ "id": id });
            let record = visit.app.accounts.user(id);
            let known = record.as_ref().map(|user| user.email.as_str());
            // The name of a synchronized user cannot be set, not even to what it is.
            if known != Some(form.get("email")) {
                params["email"] = form.get("email").into();
            }
            if id != visit.caller.id && !form.get("permission").is_empty() {
                params["permission"] = form.get("permission").into();
            }
            ("user.set", params, "user-set")
        }
        "password" => {
            let params = json!({ "id": id, "password": form.raw("password") });
            ("user.set", params, "password-set")
        }
        "otp-off" => {
            let params = json!({ "id": id, "preferences": { "otp": null } });
            ("user.set", params, "otp-off")
        }
        "provider" => {
            let params = json!({ "id": id, "authProvider": form.get("provider") });
            ("user.removeAuthProvider", params, "provider-removed")
        }
        "join" => ("group.addUser", member(form.get("group")), "user-set"),
        "leave" => ("group.removeUser", member(form.get("group")), "user-set"),
        "revoke" => return tokens::revoke(visit, form).await,
        "remove-right" => return rights::remove(visit, form).await,
        "delete" => ("user.delete", json!({ "id": id }), "user-deleted"),
        _ => return Ok(""),
    };
    let (method, params, notice): (_, Value, _) = done;
    visit.call(method, params).await.map(|_| notice)
}
