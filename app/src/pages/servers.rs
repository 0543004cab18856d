//! Administration of servers: the pools that Xen Orchestra connects to.

use crate::{
    client,
    components::{
        confirm::{Confirm, Question},
        link_chip::{health, next_words, status_words},
        object_link::PoolLink,
        server_form::{Editing, ServerForm},
        why::Why,
    },
    model::light::{LinkRow, LinkStatus},
    rpc::methods::{
        Empty as NoParams, Id as IdParam, Server, ServerDisable, ServerEnable, ServerGetAll, ServerRemove,
    },
    state::{
        explain::{Explained, explain, explain_code},
        use_state,
    },
    ui::{
        button::{Button, Kind},
        empty::{Empty, Skeleton},
        icon::Icon,
    },
};
use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use std::sync::Arc;

#[component]
pub fn ServersPage() -> impl IntoView {
    let state = use_state();
    let servers: RwSignal<Option<Vec<Server>>> = RwSignal::new(None);
    let failed: RwSignal<Option<Explained>> = RwSignal::new(None);
    let editing: RwSignal<Option<Editing>> = RwSignal::new(None);
    let asked: RwSignal<Option<Question>> = RwSignal::new(None);
    let load = move || {
        spawn_local(async move {
            match client::call::<ServerGetAll>(NoParams {}).await {
                Ok(all) => {
                    failed.try_set(None);
                    servers.try_set(Some(all));
                }
                Err(error) => {
                    failed.try_set(Some(explain(&error)));
                }
            }
        });
    };
    let links = state.inventory.links;
    // Links say when something about a server changed; the rest is asked for then.
    let outline = Memo::new(move |_| {
        links.with(|links| {
            links
                .iter()
                .map(|link| (link.id.clone(), link.status, link.error.clone()))
                .collect::<Vec<_>>()
        })
    });
    Effect::new(move |_| {
        outline.track();
        if state.phase.with(|phase| *phase == client::Phase::Ready) {
            load();
        }
    });
    let done = Callback::new(move |()| load());
    view! {
        <Title text="Servers" />
        <section class="page">
            <header class="list-head">
                <h1>"Servers"</h1>
                <p class="list-head__count">"The masters of the pools that are managed here"</p>
                <Button label="Add a server" icon=Icon::Add kind=Kind::Primary on_press=move || editing.set(Some(Editing::New)) />
            </header>
            {move || failed.get().map(|why| view! { <Why why=why /> })}
            {move || match servers.get() {
                None if failed.with(Option::is_none) => view! { <Skeleton lines=4 /> }.into_any(),
                None => ().into_any(),
                Some(all) if all.is_empty() => {
                    view! { <Empty text="No server yet. Add the master of your first pool." /> }.into_any()
                }
                Some(all) => {
                    view! {
                        <ul class="servers">
                            {all.into_iter().map(|server| view! { <ServerRow server=server editing=editing asked=asked done=done /> }).collect_view()}
                        </ul>
                    }
                        .into_any()
                }
            }}
        </section>
        <ServerForm editing=editing on_done=done />
        <Confirm asked=asked />
    }
}

#[component]
fn ServerRow(
    server: Server,
    editing: RwSignal<Option<Editing>>,
    asked: RwSignal<Option<Question>>,
    done: Callback<()>,
) -> impl IntoView {
    let state = use_state();
    let actions = state.actions;
    let id = server.id.clone();
    let links = state.inventory.links;
    let as_link = as_link(&server);
    // The live row when there is one, else what the call said.
    let link = Memo::new(move |_| {
        links
            .with(|links| links.iter().find(|link| link.id == id).cloned())
            .unwrap_or_else(|| as_link.clone())
    });
    let name = server
        .label
        .clone()
        .filter(|label| !label.is_empty())
        .or(server.pool_name_label.clone())
        .unwrap_or_else(|| server.host.clone());
    let certificate = if server.allow_unauthorized {
        "any certificate accepted"
    } else if server.fingerprint.is_some() {
        "certificate pinned"
    } else {
        "certificate verified"
    };
    let details = format!("{}@{}, {certificate}", server.username, server.host);
    let enabled = server.enabled;
    let toggle = {
        let (id, name) = (server.id.clone(), name.clone());
        move || {
            let params = IdParam { id: id.clone() };
            if enabled {
                actions
                    .run::<ServerDisable>(format!("Disconnect {name}"), None, params, move |_| done.run(()));
            } else {
                actions.run::<ServerEnable>(format!("Connect {name}"), None, params, move |_| done.run(()));
            }
        }
    };
    let remove = {
        let (id, name) = (server.id.clone(), name.clone());
        move || {
            let (id, name) = (id.clone(), name.clone());
            asked.set(Some(Question {
                title: format!("Remove {name}?"),
                consequences: vec![
                    "Its pool, hosts and VMs disappear from Xen Orchestra; they go on running.".to_owned(),
                    "The address and the password are forgotten.".to_owned(),
                ],
                verb: "Remove".to_owned(),
                name: None,
                action: Arc::new(move || {
                    let params = IdParam { id: id.clone() };
                    actions
                        .run::<ServerRemove>(format!("Remove {name}"), None, params, move |_| done.run(()));
                }),
            }));
        }
    };
    let edited = server;
    view! {
        <li class="server">
            <div class="server__main">
                <h2>{name}</h2>
                <p class="muted">{details}</p>
            </div>
            <div class="server__state">
                {move || {
                    let now = state.clock.now.get();
                    let link = link.get();
                    let class = match health(&link, now) {
                        crate::components::link_chip::Health::Good => "dot dot--good",
                        crate::components::link_chip::Health::Idle => "dot dot--idle",
                        crate::components::link_chip::Health::Warning => "dot dot--warning",
                        crate::components::link_chip::Health::Bad => "dot dot--bad",
                    };
                    view! {
                        <p class="power-state">
                            <span class=class aria-hidden="true"></span>
                            <span>{status_words(&link, now)}</span>
                        </p>
                        {next_words(&link, now).map(|next| view! { <p class="muted">{next}</p> })}
                    }
                }}
                {move || link.get().pool_id.map(|pool| view! { <PoolLink id=pool icon=true /> })}
            </div>
            <div class="server__actions">
                <Button label=if enabled { "Disable" } else { "Enable" } on_press=toggle />
                <Button label="Edit" icon=Icon::Edit on_press=move || editing.set(Some(Editing::Old(Box::new(edited.clone())))) />
                <Button label="Remove" icon=Icon::Trash kind=Kind::Quiet on_press=remove />
            </div>
            {move || {
                link.get()
                    .error
                    .filter(|_| link.get().status != LinkStatus::Connected)
                    .map(|error| view! { <div class="server__why"><Why why=explain_code(&error) /></div> })
            }}
        </li>
    }
}

fn as_link(server: &Server) -> LinkRow {
    let error =
        server.error.as_ref().map(
            |error| match error.get("message").and_then(serde_json::Value::as_str) {
                Some(message) => message.to_owned(),
                None => error.to_string(),
            },
        );
    LinkRow {
        id: server.id.clone(),
        label: server.label.clone().unwrap_or_default(),
        host: server.host.clone(),
        status: server.status,
        pool_id: server.pool_id.clone(),
        error,
        since: server.since.unwrap_or_default(),
        last_event: server.last_event,
        next_attempt: server.next_attempt,
        ..LinkRow::default()
    }
}
