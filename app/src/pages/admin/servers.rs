//! The registered servers: the masters of the pools.

use super::{Entered, parts::*};
use crate::{model::light::LinkStatus, routes, rpc::methods::Server};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub all: Vec<Server>,
    /// The server whose properties are shown in a form.
    pub edited: Option<String>,
    pub entered: Entered,
}

fn name(server: &Server) -> String {
    let label = server.label.clone().filter(|label| !label.is_empty());
    label
        .or_else(|| server.pool_name_label.clone())
        .unwrap_or_else(|| server.host.clone())
}

fn certificate(server: &Server) -> &'static str {
    match server.fingerprint.as_deref() {
        _ if server.allow_unauthorized => "any certificate is accepted",
        Some("first-use") => "the certificate that is met first will be trusted",
        Some(_) => "its certificate is pinned",
        None => "its certificate is verified",
    }
}

fn state(server: &Server) -> (&'static str, &'static str) {
    let failed = server.error.is_some();
    match server.status {
        LinkStatus::Connected => ("dot dot--good", "Connected"),
        LinkStatus::Connecting if failed => ("dot dot--bad", "Not reachable, tried again and again"),
        LinkStatus::Connecting => ("dot dot--warning", "Connecting"),
        LinkStatus::Disconnected if failed => ("dot dot--bad", "Not connected"),
        LinkStatus::Disconnected => ("dot dot--idle", "Switched off"),
    }
}

#[component]
pub fn ServersPage(servers: Servers) -> impl IntoView {
    let Servers { all, edited, entered } = servers;
    let edited = edited.and_then(|id| all.iter().find(|server| server.id == id).cloned());
    let rows: Vec<_> = all.iter().map(row).collect();
    view! {
        <header class="list-head">
            <h1>"Servers"</h1>
            <p class="list-head__count">"The masters of the pools that are managed here"</p>
        </header>
        {match edited {
            Some(server) => edit(&entered, &server).into_any(),
            None => ().into_any(),
        }}
        {if rows.is_empty() {
            view! { <p class="empty">"No server yet. Add the master of your first pool."</p> }.into_any()
        } else {
            view! { <ul class="servers">{rows}</ul> }.into_any()
        }}
        <section class="card" id="add">
            <h2>"Add a server"</h2>
            <form method="post" action=routes::ADMIN_SERVERS class="form form--columns">
                {hidden("add", &[])}
                {field(&entered, Field { form: "add", name: "host", label: "Address", hint: "Of the pool's master: name or IP address, with a port if it is not 443", ..Field::default() })}
                {field(&entered, Field { form: "add", name: "label", label: "Label", optional: true, ..Field::default() })}
                {field(&entered, Field { form: "add", name: "username", label: "User name", value: "root".to_owned(), ..Field::default() })}
                {field(&entered, Field { form: "add", name: "password", label: "Password", kind: "password", autocomplete: "new-password", ..Field::default() })}
                {choice(&entered, "add", "certificate", "Certificate", "first-use", &CERTIFICATES[..3])}
                {field(&entered, Field { form: "add", name: "httpProxy", label: "HTTP proxy", optional: true, ..Field::default() })}
                <button type="submit" class="button button--primary">"Add and connect"</button>
            </form>
        </section>
    }
}

/// What the certificate must be.
pub const CERTIFICATES: [(&str, &str); 4] = [
    ("first-use", "Trust the one that is met first, and no other"),
    ("verify", "Verify it"),
    ("any", "Accept any (not safe)"),
    ("keep", "Leave as it is"),
];

fn row(server: &Server) -> impl IntoView + use<> {
    let (dot, status) = state(server);
    let name = name(server);
    let error = server
        .error
        .as_ref()
        .filter(|_| server.status != LinkStatus::Connected);
    let error = error.map(
        |error| match error.get("message").and_then(serde_json::Value::as_str) {
            Some(message) => message.to_owned(),
            None => error.to_string(),
        },
    );
    let (toggle, toggle_words) = if server.enabled {
        ("disable", "Disable")
    } else {
        ("enable", "Enable")
    };
    let details = format!("{}@{}, {}", server.username, server.host, certificate(server));
    let read_only = server.read_only;
    let edit = format!("{}?edit={}", routes::ADMIN_SERVERS, routes::encoded(&server.id));
    let question = ask(Question {
        path: routes::ADMIN_SERVERS,
        form: "remove",
        values: &[("id", &server.id)],
        label: "Remove",
        what: &name,
        consequence: "Its pool, hosts and VMs disappear from Xen Orchestra; they go on running. The address and the password are forgotten.",
        verb: "Remove the server",
    });
    let values = hidden(toggle, &[("id", &server.id)]);
    let edit_name = format!("Edit {name}");
    let toggle_name = format!("{toggle_words} {name}");
    view! {
        <li class="server">
            <div class="server__main">
                <h2>{name}</h2>
                <p class="muted">{details}</p>
            </div>
            <div class="server__state">
                <p class="power-state">
                    <span class=dot aria-hidden="true"></span>
                    <span>{status}</span>
                </p>
                {read_only.then(|| view! { <p class="muted">"read only"</p> })}
            </div>
            <div class="server__actions">
                <form method="post" action=routes::ADMIN_SERVERS>
                    {values}
                    <button type="submit" class="button" aria-label=toggle_name>{toggle_words}</button>
                </form>
                <a class="button" href=edit aria-label=edit_name>"Edit"</a>
                {question}
            </div>
            {error.map(|error| view! { <p class="server__why">{error}</p> })}
        </li>
    }
}

fn edit(entered: &Entered, server: &Server) -> impl IntoView + use<> {
    let owned = |value: &Option<String>| value.clone().unwrap_or_default();
    let title = format!("Edit {}", name(server));
    view! {
        <section class="card" id="edit">
            <h2>{title}</h2>
            <form method="post" action=routes::ADMIN_SERVERS class="form form--columns">
                {hidden("edit", &[("id", &server.id)])}
                {field(entered, Field { form: "edit", name: "host", label: "Address", value: server.host.clone(), ..Field::default() })}
                {field(entered, Field { form: "edit", name: "label", label: "Label", value: owned(&server.label), optional: true, ..Field::default() })}
                {field(entered, Field { form: "edit", name: "username", label: "User name", value: server.username.clone(), ..Field::default() })}
                {field(entered, Field { form: "edit", name: "password", label: "Password", kind: "password", autocomplete: "new-password", hint: "Left empty, it stays", optional: true, ..Field::default() })}
                {choice(entered, "edit", "certificate", "Certificate", "keep", &CERTIFICATES)}
                {choice(entered, "edit", "readOnly", "Changes", if server.read_only { "true" } else { "false" }, &[("false", "Allowed"), ("true", "Refused: read only")])}
                <div class="form__buttons">
                    <button type="submit" class="button button--primary">"Save"</button>
                    <a class="button" href=routes::ADMIN_SERVERS>"Cancel"</a>
                </div>
            </form>
        </section>
    }
}
