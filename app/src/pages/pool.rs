//! A pool's page.

use super::{gone::Gone, hosts::HostTable, pools::PoolLinkState};
use crate::{
    components::{
        activity::Activity,
        facts::{Card, Copyable, Fact},
        object_header::ObjectHeader,
        object_link::HostLink,
        vm_table::{Scope, VmTable},
    },
    model::light::LightPool,
    routes::Route,
    state::{class::Row, object, use_state},
    ui::{
        format,
        icon::{Glyph, Icon},
        live_title::LiveTitle,
        meter::Meter,
        tabs::{Tab, Tabs},
    },
};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use std::sync::Arc;

#[component]
pub fn PoolPage() -> impl IntoView {
    let inventory = use_state().inventory;
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id").unwrap_or_default()));
    let tab = Memo::new(move |_| params.with(|params| params.get("tab").unwrap_or_default()));
    let object = object::watch(id);
    let row = Signal::derive(move || inventory.pools.get(&id.get()));
    let there = Memo::new(move |_| row.get().is_some());
    let name = Memo::new(move |_| row.get().map(|row| row.name_label.clone()).unwrap_or_default());
    let tags = Memo::new(move |_| row.get().map(|row| row.tags.clone()).unwrap_or_default());
    let numbers = Memo::new(move |_| {
        inventory.hosts.track();
        inventory.vms.track();
        let id = id.get();
        Numbers::of(inventory, &id)
    });
    let tabs = Signal::derive(move || {
        let route = Route::Pool(id.get());
        let numbers = numbers.get();
        vec![
            Tab {
                label: "Overview".into(),
                href: route.tab(""),
                count: None,
            },
            Tab {
                label: "Hosts".into(),
                href: route.tab("hosts"),
                count: Some(numbers.hosts),
            },
            Tab {
                label: "VMs".into(),
                href: route.tab("vms"),
                count: Some(numbers.vms),
            },
            Tab {
                label: "Activity".into(),
                href: route.tab("activity"),
                count: None,
            },
        ]
    });
    view! {
        <LiveTitle text=name />
        <Show when=move || there.get() fallback=|| view! { <Gone what="pool" list=Route::Pools /> }>
            <ObjectHeader
                name=name
                id=id
                tags=tags
                icon=ViewFn::from(|| view! { <Glyph icon=Icon::Pool /> })
                meta=ViewFn::from(move || move || view! { <PoolLinkState id=id.get() /> })
            />
            <Tabs label="Pool" tabs=tabs />
            {move || match tab.get().as_str() {
                "hosts" => view! { <HostTable pool=Some(id.get()) /> }.into_any(),
                "vms" => view! { <VmTable scope=Scope::Pool(id.get()) /> }.into_any(),
                "activity" => view! { <Activity id=id object=object /> }.into_any(),
                _ => (move || row.get().map(|row| view! { <Overview row=row numbers=numbers /> })).into_any(),
            }}
        </Show>
    }
}

/// What the pool's hosts have, and what its VMs take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Numbers {
    hosts: usize,
    vms: usize,
    running: usize,
    cpus: u32,
    vcpus: u32,
    memory: u64,
    memory_used: u64,
}

impl Numbers {
    fn of(inventory: crate::state::inventory::Inventory, pool: &str) -> Self {
        let mut numbers = Numbers::default();
        for host in inventory.hosts.all().iter().filter(|host| host.pool == pool) {
            numbers.hosts += 1;
            numbers.cpus += host.cpus;
            numbers.memory += host.memory_size;
            numbers.memory_used += host.memory_usage;
        }
        for vm in inventory.vms.all().iter().filter(|vm| vm.pool == pool) {
            numbers.vms += 1;
            if vm.power_state == "Running" {
                numbers.running += 1;
                numbers.vcpus += vm.cpus;
            }
        }
        numbers
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[component]
fn Overview(row: Arc<Row<LightPool>>, numbers: Memo<Numbers>) -> impl IntoView {
    let row = StoredValue::new(row);
    let row = move || row.get_value();
    let inventory = use_state().inventory;
    let sr = row().default_sr.clone();
    let id = row().light.id.clone();
    let storage = move || {
        inventory.srs.track();
        let mut all: Vec<_> = inventory
            .srs
            .all()
            .into_iter()
            .filter(|sr| sr.pool == id && sr.content_type != "iso" && sr.size > 0)
            .collect();
        all.sort_by(|a, b| {
            share(b.physical_usage as f64, b.size as f64)
                .total_cmp(&share(a.physical_usage as f64, a.size as f64))
        });
        all.into_iter()
            .take(8)
            .map(|sr| {
                let text = format!("{} of {}", format::bytes(sr.physical_usage), format::bytes(sr.size));
                view! { <Fact label=sr.name_label.clone()><Meter share=share(sr.physical_usage as f64, sr.size as f64) text=text /></Fact> }
            })
            .collect_view()
    };
    view! {
        <div class="cards">
            <Card title="Capacity">
                <dl class="facts">
                    {move || {
                        let n = numbers.get();
                        let memory = format!("{} of {}", format::bytes(n.memory_used), format::bytes(n.memory));
                        let cpus = format!("{} vCPUs on {} CPUs", format::count(n.vcpus as usize), format::count(n.cpus as usize));
                        view! {
                            <Fact label="Memory in use"><Meter share=share(n.memory_used as f64, n.memory as f64) text=memory /></Fact>
                            <Fact label="CPU">{cpus}</Fact>
                            <Fact label="Hosts">{format::count(n.hosts)}</Fact>
                            <Fact label="VMs">{format!("{}, {} running", format::count(n.vms), format::count(n.running))}</Fact>
                        }
                    }}
                </dl>
            </Card>
            <Card title="Pool">
                <dl class="facts">
                    <Fact label="Description">{row().name_description.clone()}</Fact>
                    <Fact label="Master"><HostLink id=row().master.clone() icon=true /></Fact>
                    <Fact label="High availability">{if row().ha_enabled { "On" } else { "Off" }}</Fact>
                    <Fact label="Default storage">
                        {move || inventory.srs.get(&sr).map_or_else(|| "None".to_owned(), |sr| sr.name_label.clone())}
                    </Fact>
                    <Fact label="UUID"><Copyable text=row().light.id.clone() /></Fact>
                </dl>
            </Card>
            <Card title="Storage in use">
                <dl class="facts">{storage}</dl>
            </Card>
        </div>
    }
}
