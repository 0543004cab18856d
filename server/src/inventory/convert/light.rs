//! Light rows: what lists, tree and search show of an object (`app::model::light`).

use super::{Context, fields::entry};
use app::model::{
    activity,
    host::{Host, Pool},
    light::{LightHost, LightNetwork, LightPool, LightSr, LightTask, LightVm, VmOperations},
    network::Network,
    object::Head,
    storage::Sr,
    values::{Nullable, Seconds, Text, TextMap},
    vm::Vm,
};
use xapi::{Ref, records};

fn owned(text: &Option<Text<'_>>) -> String {
    text.as_deref().unwrap_or_default().to_owned()
}

fn tags(tags: &Option<Vec<Text<'_>>>) -> Vec<String> {
    tags.iter()
        .flatten()
        .map(|tag| tag.clone().into_owned())
        .collect()
}

fn bytes(value: Option<Nullable<i64>>) -> u64 {
    u64::try_from(value.and_then(|value| value.0).unwrap_or(0)).unwrap_or(0)
}

fn count(value: Option<Nullable<i64>>) -> u32 {
    u32::try_from(bytes(value)).unwrap_or(u32::MAX)
}

fn instant(value: Option<Seconds>) -> i64 {
    value.and_then(|value| value.0).unwrap_or(0)
}

/// The operation that runs now, if any.
fn operation(operations: &Option<TextMap<'_>>) -> String {
    operations
        .as_ref()
        .and_then(|operations| operations.0.first())
        .map_or_else(String::new, |(_, name)| name.to_string())
}

pub(super) fn vm(context: &Context<'_>, record: &records::Vm, head: &Head<'_>, vm: &Vm<'_>) -> LightVm {
    let allowed = record.allowed_operations.iter().flat_map(|names| names.iter());
    let os = vm.os_version.as_ref().and_then(|os| os.0.as_ref()?.get("name"));
    let running = matches!(vm.power_state.as_deref(), Some("Running" | "Paused"));
    LightVm {
        id: head.id.to_string(),
        name_label: owned(&vm.name_label),
        power_state: owned(&vm.power_state),
        container: owned(&vm.container),
        pool: head.pool.to_string(),
        cpus: count(vm.cpus.as_ref().map(|cpus| cpus.number)),
        memory: bytes(vm.memory.as_ref().map(|memory| memory.size)),
        address: if running {
            owned(&vm.main_ip_address)
        } else {
            String::new()
        },
        os: os.map(|os| os.to_string()).unwrap_or_default(),
        tags: tags(&vm.tags),
        allowed: VmOperations::from_names(allowed),
        // Straight from the record: an operation whose task is not known still goes on.
        operation: record
            .current_operations
            .as_ref()
            .and_then(|operations| operations.iter().next())
            .map_or_else(String::new, |(_, name)| name.to_owned()),
        disk: disk_size(context, record),
        snapshots: vm
            .snapshots
            .as_ref()
            .map_or(0, |snapshots| snapshots.len() as u32),
        started: if running { instant(vm.start_time) } else { 0 },
        snapshot_of: owned(&vm.snapshot_of),
        snapshot_time: instant(vm.snapshot_time),
        drivers: vm.pv_drivers_detected == Some(true),
    }
}

/// Virtual size of the VM's own disks, each counted once.
fn disk_size(context: &Context<'_>, vm: &records::Vm) -> u64 {
    let mut seen: Vec<&Ref<records::Vdi>> = Vec::new();
    let mut sum = 0u64;
    for vbd in vm.VBDs.iter().flat_map(|vbds| vbds.iter()) {
        let Some(vbd) = context.essence(Some(vbd)) else {
            continue;
        };
        if vbd.r#type.as_deref() == Some("CD") {
            continue;
        }
        let Some(reference) = vbd.VDI.as_ref().filter(|vdi| !seen.contains(vdi)) else {
            continue;
        };
        seen.push(reference);
        let size = context.essence(Some(reference)).and_then(|vdi| vdi.virtual_size);
        sum = sum.saturating_add(size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0));
    }
    sum
}

pub(super) fn host(head: &Head<'_>, host: &Host<'_>) -> LightHost {
    let memory = |pick: fn(&app::model::host::HostMemory) -> i64| {
        u64::try_from(host.memory.as_ref().map_or(0, pick)).unwrap_or(0)
    };
    LightHost {
        id: head.id.to_string(),
        name_label: owned(&host.name_label),
        power_state: owned(&host.power_state),
        pool: head.pool.to_string(),
        address: owned(&host.address),
        enabled: host.enabled == Some(true),
        cpus: count(host.cpus.as_ref().map(|cpus| cpus.cores)),
        memory_size: memory(|memory| memory.size),
        memory_usage: memory(|memory| memory.usage),
        version: owned(&host.version),
        brand: owned(&host.product_brand),
        tags: tags(&host.tags),
        reboot_required: host.reboot_required == Some(true),
        started: instant(host.start_time),
        operation: operation(&host.current_operations),
    }
}

pub(super) fn pool(head: &Head<'_>, pool: &Pool<'_>) -> LightPool {
    LightPool {
        id: head.id.to_string(),
        name_label: owned(&pool.name_label),
        name_description: owned(&pool.name_description),
        master: owned(&pool.master),
        default_sr: owned(&pool.default_sr),
        ha_enabled: pool.ha_enabled == Some(true),
        tags: tags(&pool.tags),
    }
}

pub(super) fn sr(head: &Head<'_>, sr: &Sr<'_>) -> LightSr {
    LightSr {
        id: head.id.to_string(),
        name_label: owned(&sr.name_label),
        sr_type: owned(&sr.sr_type),
        content_type: owned(&sr.content_type),
        container: owned(&sr.container),
        pool: head.pool.to_string(),
        shared: sr.shared == Some(true),
        size: bytes(sr.size),
        physical_usage: bytes(sr.physical_usage),
        usage: bytes(sr.usage),
        tags: tags(&sr.tags),
    }
}

pub(super) fn network(head: &Head<'_>, network: &Network<'_>) -> LightNetwork {
    LightNetwork {
        id: head.id.to_string(),
        name_label: owned(&network.name_label),
        pool: head.pool.to_string(),
        bridge: owned(&network.bridge),
        mtu: count(network.mtu),
        vifs: network.vifs.as_ref().map_or(0, |vifs| vifs.len() as u32),
        pifs: network.pifs.as_ref().map_or(0, |pifs| pifs.len() as u32),
        tags: tags(&network.tags),
    }
}

pub(super) fn task(record: &records::Task, head: &Head<'_>, task: &activity::Task<'_>) -> LightTask {
    let mut error = record.error_info.iter().flat_map(|info| info.iter());
    let error = match error.next() {
        Some(code) => format!("{code}({})", error.collect::<Vec<_>>().join(",")),
        None => String::new(),
    };
    LightTask {
        id: head.id.to_string(),
        name_label: owned(&task.name_label),
        pool: head.pool.to_string(),
        host: owned(&task.host),
        status: owned(&task.status),
        progress: task
            .progress
            .and_then(|progress| progress.0)
            .unwrap_or_default()
            .0,
        created: instant(task.created),
        finished: instant(task.finished),
        applies_to: match owned(&task.applies_to) {
            empty if empty.is_empty() => entry(&record.other_config, "xo:objectId")
                .unwrap_or_default()
                .to_owned(),
            known => known,
        },
        error,
        cancellable: task
            .allowed_operations
            .iter()
            .flatten()
            .any(|operation| operation == "cancel"),
    }
}
