//! The VM table with its filter, chips and bulk actions: all VMs, or those of a host or pool.

use super::{
    bulk_bar::BulkBar,
    filter_box::{Chip, FilterBox, meaning},
    list_page::{ListHead, address},
    object_link::{HostLink, NameLink, PoolLink},
    object_table::{Column, ObjectTable},
    power_state::PowerState,
    tags::TagList,
};
use crate::{
    model::light::LightVm,
    routes::Route,
    state::{
        list::{self, Sort},
        selection::Selection,
        use_state,
    },
    ui::{button::Button, empty::Empty, format},
};
use leptos::prelude::*;
use std::sync::Arc;

const COLUMNS: &[Column<LightVm>] = &[
    Column {
        key: "name_label",
        title: "Name",
        width: "",
        class: "name",
        compare: Some(|a, b, _| a.name_key.cmp(&b.name_key)),
        cell: |vm| {
            view! { <NameLink route=Route::Vm(vm.light.id.clone()) name=vm.name_label.clone() /> }.into_any()
        },
    },
    Column {
        key: "power_state",
        title: "State",
        width: "104px",
        class: "state",
        compare: Some(|a, b, _| b.power_state.cmp(&a.power_state)),
        cell: |vm| {
            view! { <PowerState state=vm.power_state.clone() operation=vm.operation.clone() /> }.into_any()
        },
    },
    Column {
        key: "$container",
        title: "Host",
        width: "11%",
        class: "medium",
        compare: Some(|a, b, places| places.name(&a.container).cmp(places.name(&b.container))),
        cell: |vm| {
            if vm.container == vm.pool || vm.container.is_empty() {
                view! { <span class="muted">"—"</span> }.into_any()
            } else {
                view! { <HostLink id=vm.container.clone() /> }.into_any()
            }
        },
    },
    Column {
        key: "$pool",
        title: "Pool",
        width: "9%",
        class: "wide",
        compare: Some(|a, b, places| places.name(&a.pool).cmp(places.name(&b.pool))),
        cell: |vm| view! { <PoolLink id=vm.pool.clone() /> }.into_any(),
    },
    Column {
        key: "mainIpAddress",
        title: "Address",
        width: "112px",
        class: "medium num-left",
        compare: Some(|a, b, _| address_key(&a.address).cmp(&address_key(&b.address))),
        cell: |vm| vm.address.clone().into_any(),
    },
    Column {
        key: "CPUs",
        title: "vCPU",
        width: "58px",
        class: "num medium",
        compare: Some(|a, b, _| a.cpus.cmp(&b.cpus)),
        cell: |vm| vm.cpus.to_string().into_any(),
    },
    Column {
        key: "memory",
        title: "Memory",
        width: "78px",
        class: "num medium",
        compare: Some(|a, b, _| a.memory.cmp(&b.memory)),
        cell: |vm| format::bytes(vm.memory).into_any(),
    },
    Column {
        key: "disk",
        title: "Disks",
        width: "80px",
        class: "num wide",
        compare: Some(|a, b, _| a.disk.cmp(&b.disk)),
        cell: |vm| format::bytes(vm.disk).into_any(),
    },
    Column {
        key: "startTime",
        title: "Uptime",
        width: "70px",
        class: "num wide",
        compare: Some(|a, b, _| (a.started == 0, b.started).cmp(&(b.started == 0, a.started))),
        cell: |vm| view! { <Uptime started=vm.started /> }.into_any(),
    },
    Column {
        key: "os",
        title: "System",
        width: "10%",
        class: "wide",
        compare: Some(|a, b, _| a.os.cmp(&b.os)),
        cell: |vm| view! { <span title=vm.os.clone()>{vm.os.clone()}</span> }.into_any(),
    },
    Column {
        key: "tags",
        title: "Tags",
        width: "9%",
        class: "wide",
        compare: Some(|a, b, _| a.tags.cmp(&b.tags)),
        cell: |vm| view! { <TagList tags=vm.tags.clone() /> }.into_any(),
    },
];

const SORTABLE: &[&str] = &[
    "name_label",
    "power_state",
    "$container",
    "$pool",
    "mainIpAddress",
    "CPUs",
    "memory",
    "disk",
    "startTime",
    "os",
    "tags",
];

/// IPv4 addresses in the order of their numbers, others as text after them.
fn address_key(address: &str) -> (u8, u32, &str) {
    match address.parse::<std::net::Ipv4Addr>() {
        Ok(ip) => (0, ip.to_bits(), ""),
        Err(_) if address.is_empty() => (2, 0, ""),
        Err(_) => (1, 0, address),
    }
}

/// Time since the start, in one unit, kept true.
#[component]
pub fn Uptime(started: i64) -> impl IntoView {
    let minute = use_state().clock.minute;
    let text = move || {
        let now = minute.get();
        if started == 0 || now == 0.0 {
            String::new()
        } else {
            format::coarse(now / 1000.0 - started as f64)
        }
    };
    view! { <span title=(started > 0).then(|| format!("Since {}", format::absolute(started as f64 * 1000.0)))>{text}</span> }
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
    let state = use_state();
    let vms = state.inventory.vms;
    let address = address(SORTABLE);
    let (query, error) = meaning(address.text);
    let sort = Signal::derive(move || {
        let order = address.order.get();
        let compare = COLUMNS
            .iter()
            .find(|column| column.key == order.key)
            .and_then(|column| column.compare);
        Sort::<LightVm> {
            compare: compare.unwrap_or(|a, b, _| a.name_key.cmp(&b.name_key)),
            descending: order.descending,
        }
    });
    let within: Option<list::Within<LightVm>> = match scope.clone() {
        Scope::All => None,
        Scope::Host(id) => Some(Arc::new(move |vm| vm.container == id)),
        Scope::Pool(id) => Some(Arc::new(move |vm| vm.pool == id)),
    };
    let counted = within.clone();
    let list = list::derive(
        vms,
        state.inventory.ready,
        state.inventory.places,
        within,
        query,
        sort,
    );
    let selection = Selection::new();
    let chips = Memo::new(move |_| {
        list.total.track();
        vms.track();
        let mut counts = [0_usize; STATES.len()];
        for vm in vms.all() {
            if counted.as_ref().is_none_or(|within| within(&vm))
                && let Some(at) = STATES.iter().position(|(name, _)| *name == vm.power_state)
            {
                counts[at] += 1;
            }
        }
        STATES
            .iter()
            .zip(counts)
            .filter(|((name, _), count)| *count > 0 || matches!(*name, "Running" | "Halted"))
            .map(|((name, term), count)| Chip {
                label: (*name).to_owned(),
                term: (*term).to_owned(),
                count: Some(count),
            })
            .collect::<Vec<_>>()
    });
    let text = address.text;
    let title = if scope == Scope::All {
        "Virtual machines"
    } else {
        "VMs"
    };
    view! {
        <section class="list">
            <ListHead title=title shown=Signal::derive(move || list.rows.with(|rows| rows.len())) total=list.total />
            <FilterBox
                text=text
                error=error
                placeholder="Filter: words, state:running, ram:>8GiB, tags:prod, pool:lab"
                chips=chips
            />
            <BulkBar selection=selection />
            <ObjectTable
                class=vms
                list=list
                columns=COLUMNS
                order=address.order
                href=|id| Route::Vm(id.to_owned()).path()
                selection=selection
                label="Virtual machines"
                empty=ViewFn::from(move || {
                    if text.with(|text| text.trim().is_empty()) {
                        match state.inventory.links.with(Vec::is_empty) {
                            true => {
                                view! {
                                    <Empty text="No pool is connected yet: register the master of a pool as a server.">
                                        <a href=Route::Servers.path() class="button">"Servers"</a>
                                    </Empty>
                                }
                                    .into_any()
                            }
                            false => view! { <Empty text="There are no VMs here yet." /> }.into_any(),
                        }
                    } else {
                        view! {
                            <Empty text="No VM passes this filter.">
                                <Button label="Clear the filter" on_press=move || text.set(String::new()) />
                            </Empty>
                        }
                            .into_any()
                    }
                })
            />
        </section>
    }
}

const STATES: [(&str, &str); 4] = [
    ("Running", "power_state:running"),
    ("Halted", "power_state:halted"),
    ("Suspended", "power_state:suspended"),
    ("Paused", "power_state:paused"),
];
