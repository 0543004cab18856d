//! `/admin/users`

use super::visit::{Admin, AdminForm, Page, Visit, Wrong};
use ::app::{
    pages::admin::users::{Users, UsersPage, UsersPageProps},
    routes,
    rpc::{ErrorCode, methods::User},
};

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let mut all: Vec<User> = visit.read("user.getAll", ()).await?;
    all.sort_by_cached_key(|user| user.email.to_lowercase());
    let part = visit.part(all, routes::ADMIN_USERS, |user, wanted| {
        user.email.to_lowercase().contains(wanted)
    });
    let users = Users {
        part,
        entered: wrong.entered.clone(),
    };
    visit.page("Users", routes::ADMIN_USERS, &wrong, || {
        UsersPage(UsersPageProps { users })
    })
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    if form.get("form") != "create" {
        return visit.unknown_form();
    }
    let mut params = form.params(&["email", "permission"], &[]);
    params.insert("password".to_owned(), form.raw("password").into());
    match visit.call("user.create", params).await {
        Ok(_) => visit.done(routes::ADMIN_USERS, "user-created"),
        Err(error) => {
            let blamed = [(ErrorCode::OBJECT_ALREADY_EXISTS, "email")];
            page(&visit, Wrong::of(&error, &form, &blamed)).await
        }
    }
}
