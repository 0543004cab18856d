//! What this server holds and uses.

use crate::{routes, ui::format};
use leptos::prelude::*;

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub audit_log_failing: bool,
    pub connections: usize,
    pub objects: usize,
    pub resident_memory: Option<u64>,
    pub servers: usize,
    pub store: String,
    pub tasks: usize,
    pub uptime: u64,
    pub used_memory: Option<u64>,
    pub version: String,
}

#[component]
pub fn OverviewPage(status: Status) -> impl IntoView {
    let memory = match (status.resident_memory, status.used_memory) {
        (Some(resident), Some(used)) => {
            format!("{}, {} in use", format::bytes(resident), format::bytes(used))
        }
        (Some(resident), None) => format::bytes(resident),
        (None, _) => "not known on this system".to_owned(),
    };
    let fact = |name: &'static str, value: String| {
        view! {
            <div class="fact">
                <dt>{name}</dt>
                <dd>{value}</dd>
            </div>
        }
    };
    let linked = |name: &'static str, value: String, path: &'static str| {
        view! {
            <div class="fact">
                <dt>{name}</dt>
                <dd>
                    <a class="link" href=path>{value}</a>
                </dd>
            </div>
        }
    };
    view! {
        <h1>"Administration"</h1>
        {status
            .audit_log_failing
            .then(|| {
                view! {
                    <p class="said said--failed" role="alert">
                        "The audit log cannot be written: what is done now is not recorded. See to the disk that holds the data folder."
                    </p>
                }
            })}
        <div class="panels">
            <section class="card">
                <h2>"This server"</h2>
                <dl class="facts">
                    {fact("Version", status.version)} {fact("Runs for", format::span(status.uptime as f64))}
                    {fact("Memory", memory)} {fact("Tasks in the program", format::count(status.tasks))}
                </dl>
            </section>
            <section class="card">
                <h2>"What it holds"</h2>
                <dl class="facts">
                    {fact("Store", status.store)} {fact("Objects", format::count(status.objects))}
                    {linked("Servers", format::count(status.servers), routes::ADMIN_SERVERS)}
                    {linked("Connections", format::count(status.connections), routes::ADMIN_CONNECTIONS)}
                    {linked(
                        "Audit log",
                        if status.audit_log_failing { "failing" } else { "being written" }.to_owned(),
                        routes::ADMIN_AUDIT,
                    )}
                </dl>
            </section>
        </div>
    }
}
