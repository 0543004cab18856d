//! The VM table with its filter, chips and bulk actions: all VMs, or those of a host or pool.

use super::{
    bulk_bar::BulkBar,
    object_list::{Listing, ObjectList},
    object_table::{Around, Column, cell::Cell},
};
use crate::{
    model::light::LightVm,
    routes::Route,
    state::{class::Row, list::Within, selection::Selection, use_state},
    ui::{button::Button, empty::Empty, format},
};
use leptos::prelude::*;
use std::sync::Arc;

const COLUMNS: &[Column<LightVm>] = &[
    Column {
        key: "name_label",
        title: "Name",
        style: "flex:1 0 140px",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |vm, _| Cell::name(Route::Vm(vm.light.id.clone()).path(), &vm.name_label),
    },
    Column {
        key: "power_state",
        title: "State",
        style: "flex:0 0 116px",
        class: "state",
        compare: Some(|a, b, _| b.power_state.cmp(&a.power_state)),
        cell: |vm, _| Cell::power(&vm.power_state, &vm.operation, ""),
    },
    Column {
        key: "$container",
        title: "Host",
        style: "flex:0 1 11%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.container).cmp(places.name(&b.container))),
        cell: |vm, around| {
            if vm.container == vm.pool || vm.container.is_empty() {
                Cell::none()
            } else {
                host_cell(&vm.container, around)
            }
        },
    },
    Column {
        key: "$pool",
        title: "Pool",
        style: "flex:0 1 9%",
        class: "wide",
        compare: Some(|a, b, places| places.name(&a.pool).cmp(places.name(&b.pool))),
        cell: |vm, around| pool_cell(&vm.pool, around),
    },
    Column {
        key: "mainIpAddress",
        title: "Address",
        style: "flex:0 1 112px",
        class: "medium num-left",
        compare: Some(|a, b, _| address_key(&a.address).cmp(&address_key(&b.address))),
        cell: |vm, _| Cell::text(vm.address.as_str()),
    },
    Column {
        key: "CPUs",
        title: "vCPU",
        style: "flex:0 1 58px",
        class: "num medium",
        compare: Some(|a, b, _| a.cpus.cmp(&b.cpus)),
        cell: |vm, _| Cell::text(vm.cpus.to_string()),
    },
    Column {
        key: "memory",
        title: "Memory",
        style: "flex:0 1 78px",
        class: "num medium",
        compare: Some(|a, b, _| a.memory.cmp(&b.memory)),
        cell: |vm, _| Cell::text(format::bytes(vm.memory)),
    },
    Column {
        key: "disk",
        title: "Disks",
        style: "flex:0 1 80px",
        class: "num wide",
        compare: Some(|a, b, _| a.disk.cmp(&b.disk)),
        cell: |vm, _| Cell::text(format::bytes(vm.disk)),
    },
    Column {
        key: "startTime",
        title: "Uptime",
        style: "flex:0 1 70px",
        class: "num wide",
        compare: Some(|a, b, _| (a.started == 0, b.started).cmp(&(b.started == 0, a.started))),
        cell: |vm, around| uptime_cell(vm.started, around),
    },
    Column {
        key: "os",
        title: "System",
        style: "flex:0 1 10%",
        class: "wide",
        compare: Some(|a, b, _| a.os.cmp(&b.os)),
        cell: |vm, _| Cell::long(&vm.os),
    },
    Column {
        key: "tags",
        title: "Tags",
        style: "flex:0 1 9%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |vm, _| Cell::Tags(vm.tags.clone()),
    },
];

/// IPv4 addresses in the order of their numbers, others as text after them.
fn address_key(address: &str) -> (u8, u32, &str) {
    match address.parse::<std::net::Ipv4Addr>() {
        Ok(ip) => (0, ip.to_bits(), ""),
        Err(_) if address.is_empty() => (2, 0, ""),
        Err(_) => (1, 0, address),
    }
}

pub fn host_cell(id: &str, around: &Around<'_>) -> Cell {
    Cell::link(
        Route::Host(id.to_owned()).path(),
        around.places.find(id).unwrap_or("Unknown host"),
    )
}

pub fn pool_cell(id: &str, around: &Around<'_>) -> Cell {
    Cell::link(
        Route::Pool(id.to_owned()).path(),
        around.places.find(id).unwrap_or("Unknown pool"),
    )
}

/// Time since the start, in one unit, kept true.
pub fn uptime_cell(started: i64, around: &Around<'_>) -> Cell {
    let (text, title) = uptime(started, around.state.clock.minute.get());
    Cell::Text { text, title }
}

/// In words, and the start for the tooltip.
fn uptime(started: i64, now: f64) -> (String, String) {
    if started == 0 || now == 0.0 {
        return (String::new(), String::new());
    }
    (
        format::coarse(now / 1000.0 - started as f64),
        format!("Since {}", format::absolute(started as f64 * 1000.0)),
    )
}

#[component]
pub fn Uptime(started: i64) -> impl IntoView {
    let minute = use_state().clock.minute;
    let now = Memo::new(move |_| uptime(started, minute.get()));
    view! { <span title=move || now.get().1>{move || now.get().0}</span> }
}

/// Which VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Host(String),
    Pool(String),
}

#[component]
pub fn VmTable(scope: Scope) -> impl IntoView {
    let listing = Listing {
        class: use_state().inventory.vms,
        columns: COLUMNS,
        href: |id| Route::Vm(id.to_owned()).path(),
        title: if scope == Scope::All {
            "Virtual machines"
        } else {
            "VMs"
        },
        placeholder: "Filter: words, state:running, ram:>8GiB, tags:prod, pool:lab",
        within: match scope {
            Scope::All => None,
            Scope::Host(id) => Some(Arc::new(move |vm: &Row<LightVm>| vm.container == id) as Within<LightVm>),
            Scope::Pool(id) => Some(Arc::new(move |vm: &Row<LightVm>| vm.pool == id) as Within<LightVm>),
        },
        kind: Some(|vm| STATES.iter().position(|(name, _)| *name == vm.power_state)),
        chips: &STATES,
        selection: Some(Selection::new()),
    };
    view! {
        <ObjectList
            listing=listing
            empty=empty
            between=|list, selection| view! { <BulkBar list=list selection=selection /> }.into_any()
        />
    }
}

/// The power states, and the filter that each one is.
const STATES: [(&str, &str); 4] = [
    ("Running", "power_state:running"),
    ("Halted", "power_state:halted"),
    ("Suspended", "power_state:suspended"),
    ("Paused", "power_state:paused"),
];

fn empty(text: RwSignal<String>) -> AnyView {
    if !text.with(|text| text.trim().is_empty()) {
        return view! {
            <Empty text="No VM passes this filter.">
                <Button label="Clear the filter" on_press=move || text.set(String::new()) />
            </Empty>
        }
        .into_any();
    }
    if use_state().inventory.links.with(Vec::is_empty) {
        view! {
            <Empty text="No pool is connected yet: register the master of a pool as a server.">
                <a href=Route::Servers.path() class="button">"Servers"</a>
            </Empty>
        }
        .into_any()
    } else {
        view! { <Empty text="There are no VMs here yet." /> }.into_any()
    }
}
