//! The chip that says how fresh the screen is: the worst pool, and each of them in its panel.

use crate::{
    client::{self, Phase},
    model::light::{LinkRow, LinkStatus},
    routes::Route,
    state::{State, use_state},
    ui::{format, menu::Menu},
};
use leptos::prelude::*;
use leptos_router::components::A;

/// Without an event for so long, what is shown may be old (XAPI answers at least every 30 s).
const STALE_MS: f64 = 60_000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Good,
    Idle,
    Warning,
    Bad,
}

impl Health {
    pub fn class(self) -> &'static str {
        match self {
            Health::Good => "dot dot--good",
            Health::Idle => "dot dot--idle",
            Health::Warning => "dot dot--warning",
            Health::Bad => "dot dot--bad",
        }
    }
}

pub fn health(link: &LinkRow, now: f64) -> Health {
    let age = link.last_event.map(|at| now - at as f64);
    match link.status {
        LinkStatus::Connected if age.is_some_and(|age| age > STALE_MS) => Health::Warning,
        LinkStatus::Connected => Health::Good,
        LinkStatus::Connecting if link.error.is_some() => Health::Bad,
        LinkStatus::Connecting => Health::Warning,
        LinkStatus::Disconnected if link.error.is_some() => Health::Bad,
        LinkStatus::Disconnected => Health::Idle,
    }
}

/// Status in words: `Connected, data 2 s old`.
pub fn status_words(link: &LinkRow, now: f64) -> String {
    let since = || format::coarse((now - link.since as f64) / 1000.0);
    match link.status {
        LinkStatus::Connected => match link.last_event {
            Some(at) if now - at as f64 > STALE_MS => {
                format!(
                    "Connected, but the last answer is {} old",
                    format::coarse((now - at as f64) / 1000.0)
                )
            }
            _ => format!("Connected for {}", since()),
        },
        LinkStatus::Connecting if link.error.is_some() => format!("Not reachable for {}", since()),
        LinkStatus::Connecting => format!("Connecting for {}", since()),
        LinkStatus::Disconnected if link.error.is_some() => format!("Broken for {}", since()),
        LinkStatus::Disconnected => "Switched off".to_owned(),
    }
}

pub fn next_words(link: &LinkRow, now: f64) -> Option<String> {
    let next = link.next_attempt? as f64;
    (link.status != LinkStatus::Connected && next > now)
        .then(|| format!("Next attempt in {}", format::span((next - now) / 1000.0)))
}

fn link_name(state: State, link: &LinkRow) -> String {
    link.pool_id
        .as_deref()
        .and_then(|id| state.inventory.pools.get_untracked(id))
        .map(|pool| pool.name_label.clone())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            if link.label.is_empty() {
                link.host.clone()
            } else {
                link.label.clone()
            }
        })
}

#[component]
pub fn LinkChip() -> impl IntoView {
    let state = use_state();
    let links = state.inventory.links;
    let summary = Memo::new(move |_| {
        let now = state.clock.now.get();
        if state.phase.with(|phase| matches!(phase, Phase::Starting)) || now == 0.0 {
            return (Health::Idle, "Connecting…".to_owned());
        }
        if state.phase.with(|phase| matches!(phase, Phase::Broken { .. })) {
            return (Health::Bad, "Not live".to_owned());
        }
        links.with(|links| {
            let worst = links.iter().map(|link| health(link, now)).max();
            let troubled = links
                .iter()
                .filter(|link| health(link, now) > Health::Idle)
                .count();
            match worst {
                None if state.inventory.ready.get() => (Health::Idle, "No pool".to_owned()),
                None => (Health::Idle, "Loading…".to_owned()),
                Some(worst @ (Health::Good | Health::Idle)) => (worst.min(Health::Good), "Live".to_owned()),
                Some(worst) => (
                    worst,
                    format!("{troubled} of {} not live", format::plural(links.len(), "pool")),
                ),
            }
        })
    });
    view! {
        <Menu
            label=Signal::derive(move || format!("Connections: {}", summary.get().1))
            class="chip-button"
            trigger=ViewFn::from(move || {
                view! {
                    <span class=move || summary.get().0.class() aria-hidden="true"></span>
                    <span class="chip-button__text">{move || summary.get().1}</span>
                }
            })
        >
            <div class="links">
                <h2>"Connections"</h2>
                <For each=move || links.get() key=|link| link.id.clone() let:link>
                    {
                        let id = link.id;
                        move || {
                            let now = state.clock.now.get();
                            let link = links.with(|links| links.iter().find(|link| link.id == id).cloned())?;
                            Some(
                                view! {
                                    <div class="links__row">
                                        <span class=health(&link, now).class() aria-hidden="true"></span>
                                        <div>
                                            <strong>{link_name(state, &link)}</strong>
                                            <p>{status_words(&link, now)}</p>
                                            {link.error.clone().map(|error| view! { <p class="links__error">{error}</p> })}
                                            {next_words(&link, now).map(|next| view! { <p>{next}</p> })}
                                        </div>
                                    </div>
                                },
                            )
                        }
                    }
                </For>
                <Show when=move || links.with(Vec::is_empty)>
                    <p>"No server is registered yet."</p>
                </Show>
                <Show when=move || state.is_admin()>
                    <A href=Route::Servers.path() attr:class="object-link">"Manage servers"</A>
                </Show>
            </div>
        </Menu>
    }
}

/// Says that the page is not live, since when, and when the next attempt is.
#[component]
pub fn OfflineBanner() -> impl IntoView {
    let state = use_state();
    let broken = Memo::new(move |_| match state.phase.get() {
        Phase::Broken { since, next, .. } => Some((since, next)),
        Phase::Starting | Phase::Ready | Phase::SignedOut => None,
    });
    view! {
        <div role="status" class="banner-slot">
            {move || {
                broken
                    .get()
                    .map(|(since, next)| {
                        let now = move || state.clock.now.get();
                        view! {
                            <div class="banner">
                                <span class="dot dot--bad" aria-hidden="true"></span>
                                <span>
                                    {move || {
                                        format!(
                                            "Reconnecting to Xen Orchestra: what you see is {} old.",
                                            format::coarse((now() - since) / 1000.0),
                                        )
                                    }}
                                    {move || match next {
                                        Some(next) if next > now() => {
                                            format!(" Next attempt in {}.", format::span((next - now()) / 1000.0 + 1.0))
                                        }
                                        _ => " Trying now…".to_owned(),
                                    }}
                                </span>
                                <button type="button" class="button button--quiet" on:click=|_| client::reconnect_now()>
                                    "Try now"
                                </button>
                            </div>
                        }
                    })
            }}
        </div>
    }
}
