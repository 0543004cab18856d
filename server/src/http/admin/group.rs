//! `/admin/groups/{id}`

use super::{
    names::Meant,
    rights,
    visit::{Admin, AdminForm, Fields, Page, Visit, Wrong},
};
use ::app::{
    pages::admin::{
        group::{GroupDetails, GroupPage, GroupPageProps},
        groups,
    },
    routes,
    rpc::{RpcError, methods::Group},
};
use axum::extract::Path;
use serde_json::{Value, json};

pub async fn show(Path(id): Path<String>, Admin(visit): Admin) -> Page {
    page(&visit, &id, Wrong::default()).await
}

async fn page(visit: &Visit, id: &str, wrong: Wrong) -> Page {
    let groups: Vec<Group> = visit.read("group.getAll", ()).await?;
    let Some(group) = groups.into_iter().find(|group| group.id == id) else {
        return Err(visit.not_found("There is no such group."));
    };
    let mut members: Vec<_> = group.users.iter().map(|user| visit.user_named(user)).collect();
    members.sort_by_cached_key(|member| member.name.to_lowercase());
    let details = GroupDetails {
        suggested: visit.user_names(),
        rights: rights::entries(visit, |entry| entry.subject == id).await?,
        entered: wrong.entered.clone(),
        members,
        group,
    };
    let title = details.group.name.clone();
    visit.page(&title, routes::ADMIN_GROUPS, &wrong, || {
        GroupPage(GroupPageProps { details })
    })
}

pub async fn change(Path(id): Path<String>, AdminForm(visit, form): AdminForm) -> Page {
    let user = match form.get("form") {
        "add-user" => match visit.user_meant(form.get("userId")) {
            Meant::One(user) => user.id,
            _ => {
                let wrong = Wrong::field(&form, "userId", "No user has this name.");
                return page(&visit, &id, wrong).await;
            }
        },
        _ => form.get("userId").to_owned(),
    };
    match run(&visit, &id, &user, &form).await {
        Ok("") => visit.unknown_form(),
        Ok("group-deleted") => visit.done(routes::ADMIN_GROUPS, "group-deleted"),
        Ok(notice) => visit.done(&groups::path(&id), notice),
        Err(error) => page(&visit, &id, Wrong::of(&error, &form, &[])).await,
    }
}

async fn run(visit: &Visit, id: &str, user: &str, form: &Fields) -> Result<&'static str, RpcError> {
    let member = json!({ "id": id, "userId": user });
    let (method, params, notice): (_, Value, _) = match form.get("form") {
        "set" => (
            "group.set",
            json!({ "id": id, "name": form.get("name") }),
            "group-set",
        ),
        "add-user" => ("group.addUser", member, "members-set"),
        "remove-user" => ("group.removeUser", member, "members-set"),
        "remove-right" => return rights::remove(visit, form).await,
        "delete" => ("group.delete", json!({ "id": id }), "group-deleted"),
        _ => return Ok(""),
    };
    visit.call(method, params).await.map(|_| notice)
}
