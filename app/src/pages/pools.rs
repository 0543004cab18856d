//! All pools, with the freshness of what is known about each.

use crate::{
    components::{
        filter_box::{FilterBox, meaning},
        link_chip::{health, status_words},
        list_page::{ListHead, address},
        object_link::{HostLink, NameLink},
        object_table::{Column, ObjectTable},
        tags::TagList,
    },
    model::light::LightPool,
    routes::Route,
    state::{
        list::{self, Sort},
        use_state,
    },
    ui::{empty::Empty, format},
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::A;

const COLUMNS: &[Column<LightPool>] = &[
    Column {
        key: "name_label",
        title: "Name",
        width: "",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |pool| {
            view! { <NameLink route=Route::Pool(pool.light.id.clone()) name=pool.name_label.clone() /> }
                .into_any()
        },
    },
    Column {
        key: "link",
        title: "Connection",
        width: "230px",
        class: "state",
        compare: None,
        cell: |pool| view! { <PoolLinkState id=pool.light.id.clone() /> }.into_any(),
    },
    Column {
        key: "master",
        title: "Master",
        width: "18%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.master).cmp(places.name(&b.master))),
        cell: |pool| view! { <HostLink id=pool.master.clone() /> }.into_any(),
    },
    Column {
        key: "hosts",
        title: "Hosts",
        width: "72px",
        class: "num medium",
        compare: None,
        cell: |pool| {
            let id = pool.light.id.clone();
            let inventory = use_state().inventory;
            (move || {
                inventory.hosts.track();
                format::count(
                    inventory
                        .hosts
                        .all()
                        .iter()
                        .filter(|host| host.pool == id)
                        .count(),
                )
            })
            .into_any()
        },
    },
    Column {
        key: "HA_enabled",
        title: "High availability",
        width: "130px",
        class: "medium",
        compare: Some(|a, b, _| b.ha_enabled.cmp(&a.ha_enabled)),
        cell: |pool| (if pool.ha_enabled { "On" } else { "Off" }).into_any(),
    },
    Column {
        key: "name_description",
        title: "Description",
        width: "22%",
        class: "wide",
        compare: Some(|a, b, _| a.name_description.cmp(&b.name_description)),
        cell: |pool| {
            view! { <span title=pool.name_description.clone()>{pool.name_description.clone()}</span> }
                .into_any()
        },
    },
    Column {
        key: "tags",
        title: "Tags",
        width: "12%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |pool| view! { <TagList tags=pool.tags.clone() /> }.into_any(),
    },
];

const SORTABLE: &[&str] = &["name_label", "master", "HA_enabled", "name_description", "tags"];

/// How the link to this pool is, in words.
#[component]
pub fn PoolLinkState(#[prop(into)] id: String) -> impl IntoView {
    let state = use_state();
    let links = state.inventory.links;
    move || {
        let now = state.clock.now.get();
        let link = links.with(|links| {
            links
                .iter()
                .find(|link| link.pool_id.as_deref() == Some(&id))
                .cloned()
        })?;
        let class = match health(&link, now) {
            crate::components::link_chip::Health::Good => "dot dot--good",
            crate::components::link_chip::Health::Idle => "dot dot--idle",
            crate::components::link_chip::Health::Warning => "dot dot--warning",
            crate::components::link_chip::Health::Bad => "dot dot--bad",
        };
        let words = status_words(&link, now);
        let error = link.error;
        Some(view! {
            <span class="power-state" title=error>
                <span class=class aria-hidden="true"></span>
                <span>{words}</span>
            </span>
        })
    }
}

#[component]
pub fn PoolsPage() -> impl IntoView {
    let inventory = use_state().inventory;
    let address = address(SORTABLE);
    let (query, error) = meaning(address.text);
    let sort = Signal::derive(move || {
        let order = address.order.get();
        let compare = COLUMNS
            .iter()
            .find(|column| column.key == order.key)
            .and_then(|column| column.compare);
        Sort::<LightPool> {
            compare: compare.unwrap_or(|a, b, _| a.name_key.cmp(&b.name_key)),
            descending: order.descending,
        }
    });
    let list = list::derive(
        inventory.pools,
        inventory.ready,
        inventory.places,
        None,
        query,
        sort,
    );
    view! {
        <Title text="Pools" />
        <section class="list">
            <ListHead title="Pools" shown=Signal::derive(move || list.rows.with(|rows| rows.len())) total=list.total />
            <FilterBox text=address.text error=error placeholder="Filter: words, ha?, tags:prod" chips=Vec::new() />
            <ObjectTable
                class=inventory.pools
                list=list
                columns=COLUMNS
                order=address.order
                href=|id| Route::Pool(id.to_owned()).path()
                label="Pools"
                empty=ViewFn::from(|| {
                    view! {
                        <Empty text="No pool to show. Register the master of a pool as a server.">
                            <A href=Route::Servers.path() attr:class="button">"Servers"</A>
                        </Empty>
                    }
                })
            />
        </section>
    }
}
