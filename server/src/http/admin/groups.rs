//! `/admin/groups`

use super::visit::{Admin, AdminForm, Page, Visit, Wrong};
use ::app::{
    pages::admin::groups::{Groups, GroupsPage, GroupsPageProps},
    routes,
    rpc::methods::Group,
};

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let mut all: Vec<Group> = visit.read("group.getAll", ()).await?;
    all.sort_by_cached_key(|group| group.name.to_lowercase());
    let part = visit.part(all, routes::ADMIN_GROUPS, |group, wanted| {
        group.name.to_lowercase().contains(wanted)
    });
    let groups = Groups {
        part,
        entered: wrong.entered.clone(),
    };
    visit.page("Groups", routes::ADMIN_GROUPS, &wrong, || {
        GroupsPage(GroupsPageProps { groups })
    })
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    if form.get("form") != "create" {
        return visit.unknown_form();
    }
    match visit.call("group.create", form.params(&["name"], &[])).await {
        Ok(_) => visit.done(routes::ADMIN_GROUPS, "group-created"),
        Err(error) => page(&visit, Wrong::of(&error, &form, &[])).await,
    }
}
