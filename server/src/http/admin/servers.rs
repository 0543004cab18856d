//! `/admin/servers`

use super::visit::{Admin, AdminForm, Fields, Page, Visit, Wrong};
use ::app::{
    pages::admin::servers::{Servers, ServersPage, ServersPageProps},
    routes,
    rpc::ErrorCode,
};
use serde_json::{Map, Value, json};

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let mut all: Vec<::app::rpc::methods::Server> = visit.read("server.getAll", ()).await?;
    all.sort_by(|a, b| a.host.cmp(&b.host));
    // A form that could not be taken stays open.
    let edited = match wrong.entered.typed("edit", "id") {
        Some(id) => id.to_owned(),
        None => visit.query.get("edit").to_owned(),
    };
    let servers = Servers {
        all,
        edited: (!edited.is_empty()).then_some(edited),
        entered: wrong.entered.clone(),
    };
    visit.page("Servers", routes::ADMIN_SERVERS, &wrong, || {
        ServersPage(ServersPageProps { servers })
    })
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    let id = json!({ "id": form.get("id") });
    let result = match form.get("form") {
        "add" => visit
            .call("server.add", added(&form))
            .await
            .map(|_| "server-added"),
        "edit" => visit
            .call("server.set", edited(&form))
            .await
            .map(|_| "server-set"),
        "enable" => visit.call("server.enable", id).await.map(|_| "server-enabled"),
        "disable" => visit.call("server.disable", id).await.map(|_| "server-disabled"),
        "remove" => visit.call("server.remove", id).await.map(|_| "server-removed"),
        _ => return visit.unknown_form(),
    };
    match result {
        Ok(notice) => visit.done(routes::ADMIN_SERVERS, notice),
        Err(error) => {
            let blamed = [(ErrorCode::OBJECT_ALREADY_EXISTS, "host")];
            page(&visit, Wrong::of(&error, &form, &blamed)).await
        }
    }
}

fn added(form: &Fields) -> Map<String, Value> {
    let mut params = form.params(&["host", "username"], &["label", "httpProxy"]);
    params.insert("password".to_owned(), form.raw("password").into());
    certificate(form, &mut params);
    params
}

fn edited(form: &Fields) -> Map<String, Value> {
    let mut params = form.params(&["id", "host", "username"], &[]);
    let label = Some(form.get("label")).filter(|label| !label.is_empty());
    params.insert("label".to_owned(), label.into());
    if !form.raw("password").is_empty() {
        params.insert("password".to_owned(), form.raw("password").into());
    }
    params.insert("readOnly".to_owned(), (form.get("readOnly") == "true").into());
    certificate(form, &mut params);
    params
}

fn certificate(form: &Fields, params: &mut Map<String, Value>) {
    let (any, fingerprint) = match form.get("certificate") {
        "first-use" => (false, Value::from("first-use")),
        "verify" => (false, Value::Null),
        "any" => (true, Value::Null),
        // As it is, or as the API has it.
        _ => return,
    };
    params.insert("allowUnauthorized".to_owned(), any.into());
    // A new server has none to be erased.
    if !(fingerprint.is_null() && form.get("form") == "add") {
        params.insert("fingerprint".to_owned(), fingerprint);
    }
}
