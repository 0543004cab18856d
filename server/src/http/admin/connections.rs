//! `/admin/connections`

use super::visit::{Admin, AdminForm, Page, Visit, Wrong};
use ::app::{
    pages::admin::connections::{Connection, ConnectionsPage, ConnectionsPageProps},
    routes,
};
use serde::Deserialize;
use serde_json::json;

const MOST_SHOWN: usize = 500;

#[derive(Deserialize)]
struct Told {
    id: u64,
    user_id: Option<String>,
    user_ip: String,
    expiration: Option<i64>,
}

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let mut all: Vec<Told> = visit.read("api.getConnections", ()).await?;
    all.sort_by_key(|told| told.id);
    let total = all.len();
    let shown = all.into_iter().take(MOST_SHOWN).map(|told| Connection {
        id: told.id,
        user: told.user_id.map(|id| visit.user_named(&id)),
        address: told.user_ip,
        expires: told.expiration,
    });
    let all: Vec<Connection> = shown.collect();
    visit.page("Connections", routes::ADMIN_CONNECTIONS, &wrong, || {
        ConnectionsPage(ConnectionsPageProps { all, total })
    })
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    let result = match form.get("form") {
        "close" => {
            // What is no number is the number of no connection.
            let id: Option<u64> = form.get("id").parse().ok();
            let closed = visit.call("api.closeConnection", json!({ "id": id })).await;
            closed.map(|_| "connection-closed")
        }
        "close-all" => {
            let closed = visit.call("api.closeAllConnections", ()).await;
            closed.map(|_| "connections-closed")
        }
        _ => return visit.unknown_form(),
    };
    match result {
        Ok(notice) => visit.done(routes::ADMIN_CONNECTIONS, notice),
        Err(error) => page(&visit, Wrong::of(&error, &form, &[])).await,
    }
}
