//! `/admin/servers`

use super::visit::{Admin, AdminForm, Fields, Page, Visit, Wrong};
use ::app::{
    pages::admin::servers::{Servers, ServersPage, ServersPageProps},
    routes,
    rpc::{ErrorCode, methods::Server},
};
use serde_json::{Map, Value, json};

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let mut all: Vec<Server> = visit.read("server.getAll", ()).await?;
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
        "edit" => {
            let all: Vec<Server> = visit.read("server.getAll", ()).await?;
            let known = all.iter().find(|server| server.id == form.get("id"));
            let params = edited(&form, known);
            visit.call("server.set", params).await.map(|_| "server-set")
        }
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

/// What is other than it was: a server that is connected keeps its address.
fn edited(form: &Fields, known: Option<&Server>) -> Map<String, Value> {
    let mut params = form.params(&["id"], &[]);
    let mut set = |name: &str, value: Value, is_known: Option<bool>| {
        if is_known != Some(true) {
            params.insert(name.to_owned(), value);
        }
    };
    for (name, is_known) in [
        ("host", known.map(|server| server.host == form.get("host"))),
        (
            "username",
            known.map(|server| server.username == form.get("username")),
        ),
    ] {
        set(name, form.get(name).into(), is_known);
    }
    let label = Some(form.get("label")).filter(|label| !label.is_empty());
    let same = known.map(|server| server.label.as_deref().unwrap_or_default() == form.get("label"));
    set("label", label.into(), same);
    let read_only = form.get("readOnly") == "true";
    set(
        "readOnly",
        read_only.into(),
        known.map(|server| server.read_only == read_only),
    );
    if !form.raw("password").is_empty() {
        set("password", form.raw("password").into(), None);
    }
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
