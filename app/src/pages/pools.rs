//! All pools, with the freshness of what is known about each.

use crate::{
    components::{
        link_chip::{health, status_words},
        object_list::{Listing, ObjectList},
        object_table::{
            Column,
            cell::{Cell, Mark},
        },
        vm_table::host_cell,
    },
    model::light::LightPool,
    routes::Route,
    state::{State, use_state},
    ui::{empty::Empty, format},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::A;

const COLUMNS: &[Column<LightPool>] = &[
    Column {
        key: "name_label",
        title: "Name",
        style: "flex:1 0 140px",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |pool, _| Cell::name(Route::Pool(pool.light.id.clone()).path(), &pool.name_label),
    },
    Column {
        key: "link",
        title: "Connection",
        style: "flex:0 1 230px",
        class: "state",
        compare: None,
        cell: |pool, around| match link(around.state, &pool.light.id) {
            Some(link) => Cell::State {
                mark: Mark::Dot(link.class),
                text: link.words,
                note: "",
                title: link.error,
            },
            None => Cell::none(),
        },
    },
    Column {
        key: "master",
        title: "Master",
        style: "flex:0 1 18%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.master).cmp(places.name(&b.master))),
        cell: |pool, around| host_cell(&pool.master, around),
    },
    Column {
        key: "hosts",
        title: "Hosts",
        style: "flex:0 1 72px",
        class: "num medium",
        compare: None,
        cell: |pool, around| {
            let hosts = around.state.inventory.hosts;
            hosts.track_structure();
            let id = &pool.light.id;
            Cell::text(format::count(
                hosts.all().iter().filter(|host| host.pool == *id).count(),
            ))
        },
    },
    Column {
        key: "HA_enabled",
        title: "High availability",
        style: "flex:0 1 130px",
        class: "medium",
        compare: Some(|a, b, _| b.ha_enabled.cmp(&a.ha_enabled)),
        cell: |pool, _| Cell::text(if pool.ha_enabled { "On" } else { "Off" }),
    },
    Column {
        key: "name_description",
        title: "Description",
        style: "flex:0 1 22%",
        class: "wide",
        compare: Some(|a, b, _| a.name_description.cmp(&b.name_description)),
        cell: |pool, _| Cell::long(&pool.name_description),
    },
    Column {
        key: "tags",
        title: "Tags",
        style: "flex:0 1 12%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |pool, _| Cell::Tags(pool.tags.clone()),
    },
];

/// How the link to a pool is.
struct Link {
    /// Of the dot.
    class: &'static str,
    words: String,
    error: String,
}

fn link(state: State, pool: &str) -> Option<Link> {
    let now = state.clock.now.get();
    state.inventory.links.with(|links| {
        let link = links.iter().find(|link| link.pool_id.as_deref() == Some(pool))?;
        Some(Link {
            class: health(link, now).class(),
            words: status_words(link, now),
            error: link.error.clone().unwrap_or_default(),
        })
    })
}

/// How the link to this pool is, in words.
#[component]
pub fn PoolLinkState(#[prop(into)] id: String) -> impl IntoView {
    let state = use_state();
    move || {
        let link = link(state, &id)?;
        Some(view! {
            <span class="power-state" title=link.error>
                <span class=link.class aria-hidden="true"></span>
                <span>{link.words}</span>
            </span>
        })
    }
}

#[component]
pub fn PoolsPage() -> impl IntoView {
    let listing = Listing {
        class: use_state().inventory.pools,
        columns: COLUMNS,
        href: |id| Route::Pool(id.to_owned()).path(),
        title: "Pools",
        placeholder: "Filter: words, ha?, tags:prod",
        within: None,
        kind: None,
        chips: &[],
        selection: None,
    };
    let empty = |_| {
        view! {
            <Empty text="No pool to show. Register the master of a pool as a server.">
                <A href=Route::Servers.path() attr:class="button">"Servers"</A>
            </Empty>
        }
        .into_any()
    };
    view! {
        <Title text="Pools" />
        <ObjectList listing=listing empty=empty />
    }
}
