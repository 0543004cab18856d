//! All hosts, or those of a pool.

use crate::{
    components::{
        filter_box::{FilterBox, meaning},
        list_page::{ListHead, address},
        object_link::{NameLink, PoolLink},
        object_table::{Column, ObjectTable},
        power_state::PowerState,
        tags::TagList,
        vm_table::Uptime,
    },
    model::light::LightHost,
    routes::Route,
    state::{
        class::Row,
        list::{self, Sort},
        use_state,
    },
    ui::{empty::Empty, format, meter::Meter},
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
        width: "",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |host| {
            view! { <NameLink route=Route::Host(host.light.id.clone()) name=host.name_label.clone() /> }
                .into_any()
        },
    },
    Column {
        key: "power_state",
        title: "State",
        width: "210px",
        class: "state",
        compare: Some(|a, b, _| b.power_state.cmp(&a.power_state)),
        cell: |host| view! { <HostState host=host.clone() /> }.into_any(),
    },
    Column {
        key: "$pool",
        title: "Pool",
        width: "14%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.pool).cmp(places.name(&b.pool))),
        cell: |host| view! { <PoolLink id=host.pool.clone() /> }.into_any(),
    },
    Column {
        key: "address",
        title: "Address",
        width: "118px",
        class: "medium num-left",
        compare: Some(|a, b, _| a.address.cmp(&b.address)),
        cell: |host| host.address.clone().into_any(),
    },
    Column {
        key: "cpus",
        title: "CPUs",
        width: "64px",
        class: "num medium",
        compare: Some(|a, b, _| a.cpus.cmp(&b.cpus)),
        cell: |host| host.cpus.to_string().into_any(),
    },
    Column {
        key: "memory",
        title: "Memory in use",
        width: "190px",
        class: "medium",
        compare: Some(|a, b, _| used(a).total_cmp(&used(b))),
        cell: |host| {
            let text = format!(
                "{} of {}",
                format::bytes(host.memory_usage),
                format::bytes(host.memory_size)
            );
            view! { <Meter share=used(host) text=text /> }.into_any()
        },
    },
    Column {
        key: "version",
        title: "Version",
        width: "130px",
        class: "wide",
        compare: Some(|a, b, _| a.version.cmp(&b.version)),
        cell: |host| format!("{} {}", host.brand, host.version).into_any(),
    },
    Column {
        key: "startTime",
        title: "Uptime",
        width: "76px",
        class: "num wide",
        compare: Some(|a, b, _| b.started.cmp(&a.started)),
        cell: |host| view! { <Uptime started=host.started /> }.into_any(),
    },
    Column {
        key: "tags",
        title: "Tags",
        width: "12%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |host| view! { <TagList tags=host.tags.clone() /> }.into_any(),
    },
];

const SORTABLE: &[&str] = &[
    "name_label",
    "power_state",
    "$pool",
    "address",
    "cpus",
    "memory",
    "version",
    "startTime",
    "tags",
];

/// Power state, and what else keeps it from running VMs.
#[component]
pub fn HostState(host: Arc<Row<LightHost>>) -> impl IntoView {
    let note = if host.power_state == "Running" && !host.enabled {
        Some("In maintenance")
    } else if host.reboot_required {
        Some("Reboot needed")
    } else {
        None
    };
    view! {
        <PowerState state=host.power_state.clone() operation=host.operation.clone() />
        {note.map(|note| view! { <span class="note">{note}</span> })}
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
    let inventory = use_state().inventory;
    let address = address(SORTABLE);
    let (query, error) = meaning(address.text);
    let sort = Signal::derive(move || {
        let order = address.order.get();
        let compare = COLUMNS
            .iter()
            .find(|column| column.key == order.key)
            .and_then(|column| column.compare);
        Sort::<LightHost> {
            compare: compare.unwrap_or(|a, b, _| a.name_key.cmp(&b.name_key)),
            descending: order.descending,
        }
    });
    let within: Option<list::Within<LightHost>> =
        pool.map(|pool| Arc::new(move |host: &Row<LightHost>| host.pool == pool) as list::Within<LightHost>);
    let list = list::derive(
        inventory.hosts,
        inventory.ready,
        inventory.places,
        within,
        query,
        sort,
    );
    view! {
        <section class="list">
            <ListHead title="Hosts" shown=Signal::derive(move || list.rows.with(|rows| rows.len())) total=list.total />
            <FilterBox text=address.text error=error placeholder="Filter: words, pool:lab, version:8.3, !enabled?" chips=Vec::new() />
            <ObjectTable
                class=inventory.hosts
                list=list
                columns=COLUMNS
                order=address.order
                href=|id| Route::Host(id.to_owned()).path()
                label="Hosts"
                empty=ViewFn::from(|| view! { <Empty text="No host to show: add a server, or change the filter." /> })
            />
        </section>
    }
}
