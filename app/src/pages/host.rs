//! A host's page.

use super::{gone::Gone, hosts::HostState};
use crate::{
    components::{
        activity::Activity,
        facts::{Card, Copyable, Fact, flag, text},
        object_header::ObjectHeader,
        object_link::PoolLink,
        vm_table::{Scope, Uptime, VmTable},
    },
    model::light::LightHost,
    routes::Route,
    state::{
        class::Row,
        object::{self, Object},
        use_state,
    },
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
pub fn HostPage() -> impl IntoView {
    let inventory = use_state().inventory;
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id").unwrap_or_default()));
    let tab = Memo::new(move |_| params.with(|params| params.get("tab").unwrap_or_default()));
    let object = object::watch(id);
    let row = Signal::derive(move || inventory.hosts.get(&id.get()));
    let there = Memo::new(move |_| row.get().is_some());
    let name = Memo::new(move |_| row.get().map(|row| row.name_label.clone()).unwrap_or_default());
    let tags = Memo::new(move |_| row.get().map(|row| row.tags.clone()).unwrap_or_default());
    let vms = Memo::new(move |_| {
        inventory.vms.track_structure();
        let id = id.get();
        inventory.vms.all().iter().filter(|vm| vm.container == id).count()
    });
    let tabs = Signal::derive(move || {
        let route = Route::Host(id.get());
        vec![
            Tab {
                label: "Overview".into(),
                href: route.tab(""),
                count: None,
            },
            Tab {
                label: "VMs".into(),
                href: route.tab("vms"),
                count: Some(vms.get()),
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
        <Show when=move || there.get() fallback=|| view! { <Gone what="host" list=Route::Hosts /> }>
            <ObjectHeader
                name=name
                id=id
                tags=tags
                icon=ViewFn::from(|| view! { <Glyph icon=Icon::Host /> })
                meta=ViewFn::from(move || {
                    move || row.get().map(|row| view! { <HostState host=row.clone() /> <PoolLink id=row.pool.clone() icon=true /> })
                })
            />
            <Tabs label="Host" tabs=tabs />
            {move || match tab.get().as_str() {
                "vms" => view! { <VmTable scope=Scope::Host(id.get()) /> }.into_any(),
                "activity" => view! { <Activity id=id object=object /> }.into_any(),
                _ => (move || row.get().map(|row| view! { <Overview row=row object=object vms=vms /> })).into_any(),
            }}
        </Show>
    }
}

#[component]
fn Overview(row: Arc<Row<LightHost>>, object: Object, vms: Memo<usize>) -> impl IntoView {
    let row = StoredValue::new(row);
    let row = move || row.get_value();
    let id = row().light.id.clone();
    let full = Memo::new_with_compare(move |_| object.get(&id).unwrap_or_default(), |_, _| true);
    let property = move |path: &'static str| move || full.with(|full| text(full, path));
    let share = if row().memory_size == 0 {
        0.0
    } else {
        row().memory_usage as f64 / row().memory_size as f64
    };
    let memory = format!(
        "{} of {}",
        format::bytes(row().memory_usage),
        format::bytes(row().memory_size)
    );
    let cpu = {
        let cpus = row().cpus;
        move || {
            let sockets = full.with(|full| text(full, "cpus.sockets"));
            if sockets.is_empty() || sockets == "0" {
                cpus.to_string()
            } else {
                format!("{cpus} on {sockets} sockets")
            }
        }
    };
    view! {
        <div class="cards">
            <Card title="Capacity">
                <dl class="facts">
                    <Fact label="Memory in use"><Meter share=share text=memory /></Fact>
                    <Fact label="CPUs">{cpu}</Fact>
                    <Fact label="CPU model">{property("CPUs.modelname")}</Fact>
                    <Fact label="VMs here">{move || format::count(vms.get())}</Fact>
                    <Fact label="Takes VMs">{if row().enabled { "Yes" } else { "No, in maintenance" }}</Fact>
                </dl>
            </Card>
            <Card title="System">
                <dl class="facts">
                    <Fact label="Address"><Copyable text=row().address.clone() /></Fact>
                    <Fact label="Host name">{property("hostname")}</Fact>
                    <Fact label="Version">{format!("{} {}", row().brand, row().version)}</Fact>
                    <Fact label="Build">{property("build")}</Fact>
                    {(row().started > 0).then(|| view! { <Fact label="Running for"><Uptime started=row().started /></Fact> })}
                    <Fact label="Reboot needed">{if row().reboot_required { "Yes" } else { "No" }}</Fact>
                    <Fact label="UUID"><Copyable text=row().light.id.clone() /></Fact>
                </dl>
            </Card>
            <Card title="Hardware">
                <dl class="facts">
                    <Fact label="Manufacturer">{property("bios_strings.system-manufacturer")}</Fact>
                    <Fact label="Model">{property("bios_strings.system-product-name")}</Fact>
                    <Fact label="BIOS">{property("bios_strings.bios-version")}</Fact>
                    <Fact label="iSCSI IQN">{property("iscsiIqn")}</Fact>
                    <Fact label="Multipathing">
                        {move || full.with(|full| if flag(full, "multipathing") == Some(true) { "On" } else { "Off" })}
                    </Fact>
                </dl>
            </Card>
        </div>
    }
}
