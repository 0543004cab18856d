//! What a VM is and has, on one screen.

use crate::{
    components::{
        facts::{Card, Copyable, Fact, flag, ids, number, text},
        object_link::{HostLink, PoolLink},
        vm_table::Uptime,
    },
    model::light::LightVm,
    rpc::methods::VmSet,
    state::{class::Row, object::Object, use_state},
    ui::{empty::Skeleton, format, inline_edit::InlineEdit},
};
use leptos::prelude::*;
use serde_json::{Map, Value};
use std::sync::Arc;

#[component]
pub fn Overview(row: Memo<Option<Arc<Row<LightVm>>>>, object: Object) -> impl IntoView {
    let full = Memo::new_with_compare(
        move |_| row.with(|row| row.as_ref().and_then(|row| object.get(&row.light.id))),
        |_, _| true,
    );
    view! {
        <div class="cards">
            {move || row.get().map(|row| view! { <System row=row full=full.get() /> })}
            {move || row.get().map(|row| view! { <Hardware row=row full=full.get() /> })}
            <Notes row=row full=full />
            {move || match full.get() {
                // Called here, not as components, to follow the objects that they look up.
                Some(vm) => (disks(&vm, object), interfaces(&vm, object)).into_any(),
                None => view! { <section class="card card--wide"><Skeleton lines=4 /></section> }.into_any(),
            }}
        </div>
    }
}

#[component]
fn System(row: Arc<Row<LightVm>>, full: Option<Arc<Value>>) -> impl IntoView {
    let row = StoredValue::new(row);
    let row = move || row.get_value();
    let full = full.unwrap_or_default();
    let mut addresses: Vec<String> = full
        .get("addresses")
        .and_then(Value::as_object)
        .map(|all| {
            all.values()
                .filter_map(Value::as_str)
                .map(ToOwned::to_owned)
                .collect()
        })
        .unwrap_or_default();
    if addresses.is_empty() && !row().address.is_empty() {
        addresses.push(row().address.clone());
    }
    let running = row().power_state == "Running";
    let tools = match (
        running,
        flag(&full, "pvDriversDetected").unwrap_or(row().drivers),
        flag(&full, "managementAgentDetected"),
    ) {
        (false, ..) => "Known when the VM runs".to_owned(),
        (true, false, _) => "Not detected".to_owned(),
        (true, true, Some(false)) => {
            format!("Drivers {}, agent not detected", text(&full, "pvDriversVersion"))
        }
        (true, true, _) => format!("Detected {}", text(&full, "pvDriversVersion")),
    };
    let installed = number(&full, "installTime").map(|at| at * 1000.0);
    let on_host = row().container != row().pool && !row().container.is_empty();
    view! {
        <Card title="System">
            <dl class="facts">
                <Fact label="Address">
                    {if addresses.is_empty() {
                        view! { <span class="muted">"Unknown"</span> }.into_any()
                    } else {
                        addresses.into_iter().map(|address| view! { <Copyable text=address /> }).collect_view().into_any()
                    }}
                </Fact>
                <Fact label="Operating system">
                    {if row().os.is_empty() { "Unknown".to_owned() } else { row().os.clone() }}
                </Fact>
                <Fact label="Guest tools">{tools}</Fact>
                {(row().started > 0).then(|| view! { <Fact label="Running for"><Uptime started=row().started /></Fact> })}
                {installed.map(|at| view! { <Fact label="Installed"><span title=format::absolute(at)>{format::local(at)}</span></Fact> })}
                <Fact label="Host">
                    {if on_host {
                        view! { <HostLink id=row().container.clone() icon=true /> }.into_any()
                    } else {
                        view! { <span class="muted">"Chosen at the start"</span> }.into_any()
                    }}
                </Fact>
                <Fact label="Pool"><PoolLink id=row().pool.clone() icon=true /></Fact>
                <Fact label="UUID"><Copyable text=row().light.id.clone() /></Fact>
            </dl>
        </Card>
    }
}

#[component]
fn Hardware(row: Arc<Row<LightVm>>, full: Option<Arc<Value>>) -> impl IntoView {
    let row = StoredValue::new(row);
    let row = move || row.get_value();
    let full = full.unwrap_or_default();
    let most = number(&full, "CPUs.max").filter(|most| *most > f64::from(row().cpus));
    let cpus = match most {
        Some(most) => format!("{} of at most {most}", row().cpus),
        None => row().cpus.to_string(),
    };
    let mode = text(&full, "virtualizationMode").to_uppercase();
    let firmware = text(&full, "boot.firmware").to_uppercase();
    let ha = match text(&full, "high_availability").as_str() {
        "restart" => "Restart",
        "best-effort" => "Restart if possible",
        _ => "Off",
    };
    let used = number(&full, "memory.usage");
    view! {
        <Card title="Resources">
            <dl class="facts">
                <Fact label="vCPUs">{cpus}</Fact>
                <Fact label="Memory">
                    {format::bytes(row().memory)}
                    {used.map(|used| view! { <span class="muted">{format!(" ({} used by the guest)", format::bytes(used as u64))}</span> })}
                </Fact>
                <Fact label="Disks">{format::bytes(row().disk)}</Fact>
                <Fact label="Snapshots">{row().snapshots.to_string()}</Fact>
                {(!mode.is_empty()).then(|| view! { <Fact label="Virtualisation">{mode}</Fact> })}
                {(!firmware.is_empty()).then(|| view! { <Fact label="Firmware">{firmware}</Fact> })}
                <Fact label="High availability">{ha}</Fact>
                <Fact label="Starts with its host">{if flag(&full, "auto_poweron") == Some(true) { "Yes" } else { "No" }}</Fact>
            </dl>
        </Card>
    }
}

#[component]
fn Notes(row: Memo<Option<Arc<Row<LightVm>>>>, full: Memo<Option<Arc<Value>>>) -> impl IntoView {
    let actions = use_state().actions;
    let set = move |key: &'static str, title: &'static str| {
        move |value: String| {
            if let Some(row) = row.get_untracked() {
                let mut params = Map::new();
                params.insert("id".into(), Value::String(row.id.to_string()));
                params.insert(key.into(), Value::String(value));
                actions.run::<VmSet>(
                    format!("{title} {}", row.name_label),
                    Some(row.id.clone()),
                    params,
                    |_| {},
                );
            }
        }
    };
    let property = move |key: &'static str| {
        Signal::derive(move || {
            full.with(|full| full.as_ref().map(|full| text(full, key)).unwrap_or_default())
        })
    };
    view! {
        <Card title="Notes">
            <dl class="facts facts--stacked">
                <Fact label="Description">
                    <InlineEdit value=property("name_description") label="description" placeholder="No description" on_apply=set("name_description", "Describe") />
                </Fact>
                <Fact label="Notes">
                    <InlineEdit value=property("notes") label="notes" placeholder="No notes" on_apply=set("notes", "Write the notes of") />
                </Fact>
            </dl>
        </Card>
    }
}

fn disks(vm: &Value, object: Object) -> AnyView {
    let inventory = use_state().inventory;
    let mut disks: Vec<(String, Arc<Value>)> = ids(vm, "$VBDs")
        .iter()
        .filter_map(|id| object.get(id))
        .map(|vbd| (text(&vbd, "position"), vbd))
        .collect();
    disks.sort_by_key(|(position, _)| position.parse::<u32>().unwrap_or(u32::MAX));
    if disks.is_empty() {
        return view! { <section class="card card--wide"><h2>"Disks"</h2><p class="muted">"This VM has no disk."</p></section> }.into_any();
    }
    let rows = disks
        .into_iter()
        .map(|(position, vbd)| {
            let vdi = object.get(&text(&vbd, "VDI"));
            let cd = flag(&vbd, "is_cd_drive") == Some(true);
            let name = match &vdi {
                Some(vdi) => text(vdi, "name_label"),
                None if cd => "Empty drive".to_owned(),
                None => "Unknown disk".to_owned(),
            };
            let sr = vdi.as_ref().map(|vdi| text(vdi, "$SR")).unwrap_or_default();
            let sr = inventory
                .srs
                .get(&sr)
                .map(|sr| sr.name_label.clone())
                .unwrap_or_default();
            let size = vdi
                .as_ref()
                .and_then(|vdi| number(vdi, "size"))
                .map(|size| format::bytes(size as u64));
            let mode = match (cd, flag(&vbd, "read_only")) {
                (true, _) => "CD drive",
                (_, Some(true)) => "Read only",
                _ => "Read and write",
            };
            let device = text(&vbd, "device");
            view! {
                <tr>
                    <td>{if device.is_empty() { position } else { device }}</td>
                    <td class="name">{name}</td>
                    <td class="num">{size}</td>
                    <td>{sr}</td>
                    <td>{mode}</td>
                    <td>{if flag(&vbd, "attached") == Some(true) { "Attached" } else { "Not attached" }}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <section class="card card--wide">
            <h2>"Disks"</h2>
            <div class="plain-table" tabindex="0" role="region" aria-label="Disks">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Device"</th>
                            <th scope="col">"Name"</th>
                            <th scope="col" class="num">"Size"</th>
                            <th scope="col">"Storage"</th>
                            <th scope="col">"Mode"</th>
                            <th scope="col">"State"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}

fn interfaces(vm: &Value, object: Object) -> AnyView {
    let inventory = use_state().inventory;
    let mut vifs: Vec<Arc<Value>> = ids(vm, "VIFs").iter().filter_map(|id| object.get(id)).collect();
    vifs.sort_by_key(|vif| text(vif, "device").parse::<u32>().unwrap_or(u32::MAX));
    if vifs.is_empty() {
        return view! { <section class="card card--wide"><h2>"Network interfaces"</h2><p class="muted">"This VM has no network interface."</p></section> }.into_any();
    }
    let addresses = vm
        .get("addresses")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let rows = vifs
        .into_iter()
        .map(|vif| {
            let device = text(&vif, "device");
            let network = inventory.networks.get(&text(&vif, "$network")).map(|network| network.name_label.clone());
            let prefix = format!("{device}/");
            let own: Vec<String> = addresses
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .filter_map(|(_, value)| value.as_str().map(ToOwned::to_owned))
                .collect();
            view! {
                <tr>
                    <td>{device}</td>
                    <td class="name">{network.unwrap_or_else(|| "Unknown network".to_owned())}</td>
                    <td><code>{text(&vif, "MAC")}</code></td>
                    <td>{own.join(", ")}</td>
                    <td class="num">{text(&vif, "MTU")}</td>
                    <td>{if flag(&vif, "attached") == Some(true) { "Connected" } else { "Not connected" }}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <section class="card card--wide">
            <h2>"Network interfaces"</h2>
            <div class="plain-table" tabindex="0" role="region" aria-label="Network interfaces">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Device"</th>
                            <th scope="col">"Network"</th>
                            <th scope="col">"MAC"</th>
                            <th scope="col">"Addresses"</th>
                            <th scope="col" class="num">"MTU"</th>
                            <th scope="col">"State"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}
