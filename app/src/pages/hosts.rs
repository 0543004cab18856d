//! All hosts, or those of a pool.

use crate::{
    components::{
        object_list::{Listing, ObjectList},
        object_table::{Column, cell::Cell},
        power_state::PowerState,
        vm_table::{pool_cell, uptime_cell},
    },
    model::light::LightHost,
    routes::Route,
    state::{class::Row, list::Within, use_state},
    ui::{empty::Empty, format},
};
use leptos::prelude::*;
use leptos_meta::Title;
use std::sync::Arc;

fn used(host: &LightHost) -> f64 {
    if host.memory_size == 0 {
        0.0
    } else {
        host.memory_usage as f64 / host.memory_size as f64
    }
}

const COLUMNS: &[Column<LightHost>] = &[
    Column {
        key: "name_label",
        title: "Name",
        style: "flex:1 0 140px",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |host, _| Cell::name(Route::Host(host.light.id.clone()).path(), &host.name_label),
    },
    Column {
        key: "power_state",
        title: "State",
        style: "flex:0 1 200px",
        class: "state",
        compare: Some(|a, b, _| b.power_state.cmp(&a.power_state)),
        cell: |host, _| Cell::power(&host.power_state, &host.operation, note(host)),
    },
    Column {
        key: "$pool",
        title: "Pool",
        style: "flex:0 1 11%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.pool).cmp(places.name(&b.pool))),
        cell: |host, around| pool_cell(&host.pool, around),
    },
    Column {
        key: "address",
        title: "Address",
        style: "flex:0 1 118px",
        class: "medium num-left",
        compare: Some(|a, b, _| a.address.cmp(&b.address)),
        cell: |host, _| Cell::text(host.address.as_str()),
    },
    Column {
        key: "cpus",
        title: "CPUs",
        style: "flex:0 1 64px",
        class: "num medium",
        compare: Some(|a, b, _| a.cpus.cmp(&b.cpus)),
        cell: |host, _| Cell::text(host.cpus.to_string()),
    },
    Column {
        key: "memory",
        title: "Memory in use",
        style: "flex:0 0 180px",
        class: "medium",
        compare: Some(|a, b, _| used(a).total_cmp(&used(b))),
        cell: |host, _| Cell::Meter {
            share: used(host),
            text: format!(
                "{} of {}",
                format::bytes(host.memory_usage),
                format::bytes(host.memory_size)
            ),
        },
    },
    Column {
        key: "version",
        title: "Version",
        style: "flex:0 1 130px",
        class: "wide",
        compare: Some(|a, b, _| a.version.cmp(&b.version)),
        cell: |host, _| Cell::text(format!("{} {}", host.brand, host.version)),
    },
    Column {
        key: "startTime",
        title: "Uptime",
        style: "flex:0 1 76px",
        class: "num wide",
        compare: Some(|a, b, _| b.started.cmp(&a.started)),
        cell: |host, around| uptime_cell(host.started, around),
    },
    Column {
        key: "tags",
        title: "Tags",
        style: "flex:0 1 9%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |host, _| Cell::Tags(host.tags.clone()),
    },
];

/// What keeps it from running VMs although it runs.
fn note(host: &LightHost) -> &'static str {
    if host.power_state == "Running" && !host.enabled {
        "In maintenance"
    } else if host.reboot_required {
        "Reboot needed"
    } else {
        ""
    }
}

/// Power state, and what else keeps it from running VMs.
#[component]
pub fn HostState(host: Arc<Row<LightHost>>) -> impl IntoView {
    let note = note(&host);
    view! {
        <PowerState state=host.power_state.clone() operation=host.operation.clone() />
        {(!note.is_empty()).then(|| view! { <span class="note">{note}</span> })}
    }
}

#[component]
pub fn HostsPage() -> impl IntoView {
    view! {
        <Title text="Hosts" />
        <HostTable pool=None />
    }
}

#[component]
pub fn HostTable(pool: Option<String>) -> impl IntoView {
    let listing = Listing {
        class: use_state().inventory.hosts,
        columns: COLUMNS,
        href: |id| Route::Host(id.to_owned()).path(),
        title: "Hosts",
        placeholder: "Filter: words, pool:lab, version:8.3, !enabled?",
        within: pool
            .map(|pool| Arc::new(move |host: &Row<LightHost>| host.pool == pool) as Within<LightHost>),
        kind: None,
        chips: &[],
        selection: None,
    };
    let empty =
        |_| view! { <Empty text="No host to show: add a server, or change the filter." /> }.into_any();
    view! { <ObjectList listing=listing empty=empty /> }
}
