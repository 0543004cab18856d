//! The records that change with a VM's power; also for the seeded world, `clone` and `migrate`.

use std::time::Duration;

use crate::db::{Db, class};
use crate::ops::{alerts, lifecycle};
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

/// The records of a running VM that goes on elsewhere.
pub fn change_host(db: &mut Db, vm: &str, host: &str) {
    release_memory(db, vm);
    let domid = next_domid(db);
    db.update(
        "VM",
        vm,
        [("resident_on", Value::from(host)), ("domid", Value::Int(domid))],
    );
    take_memory(db, vm, host);
    destroy_consoles(db, vm);
    create_console(db, vm);
    alerts::vm(db, vm, "VM_MIGRATED", "migrated");
}

/// The records of a VM that begins to run on a host.
pub fn boot(db: &mut Db, vm: &str, host: &str, paused: bool) {
    let domid = next_domid(db);
    let resumed = db.get("VM", vm, "power_state").str() == "Suspended";
    for (at, vbd) in db.members("VM", vm, "VBDs").iter().enumerate() {
        let number = db.get("VBD", vbd, "userdevice").str().parse().unwrap_or(at);
        let device = if db.get("VBD", vbd, "type").str() == "CD" {
            'd'
        } else {
            device_letter(number)
        };
        db.update(
            "VBD",
            vbd,
            [
                ("currently_attached", Value::Bool(true)),
                ("device", Value::from(format!("xvd{device}"))),
            ],
        );
        let mode = db.text("VBD", vbd, "mode");
        let vdi = db.text("VBD", vbd, "VDI");
        if db.exists("VDI", &vdi) {
            db.set_entry(
                "VDI",
                &vdi,
                "sm_config",
                &format!("host_{host}"),
                Some(Value::from(mode)),
            );
        }
    }
    for field in ["VIFs", "VGPUs", "VUSBs"] {
        let device_class = field.trim_end_matches('s');
        for device in db.members("VM", vm, field) {
            db.set(device_class, &device, "currently_attached", true);
        }
    }
    let memory = db.get("VM", vm, "memory_dynamic_max").clone();
    let flags = Value::map_of([
        ("vendor", "GenuineIntel"),
        ("features", "178bfbff-f7fa3223-2d93fbff-00000123"),
    ]);
    db.update(
        "VM",
        vm,
        [
            ("resident_on", Value::from(host)),
            ("scheduled_to_be_resident_on", Value::null()),
            (
                "power_state",
                Value::from(if paused { "Paused" } else { "Running" }),
            ),
            ("domid", Value::Int(domid)),
            ("memory_target", memory.clone()),
            ("last_boot_CPU_flags", flags),
        ],
    );
    create_console(db, vm);
    let metrics = db.text("VM", vm, "metrics");
    let hvm = !db.get("VM", vm, "HVM_boot_policy").str().is_empty();
    let cpus = db.get("VM", vm, "VCPUs_at_startup").clone();
    let start = match resumed {
        true => db.get("VM_metrics", &metrics, "start_time").clone(),
        false => Value::Date(db.now()),
    };
    db.update(
        "VM_metrics",
        &metrics,
        [
            ("start_time", start),
            ("VCPUs_number", cpus),
            ("current_domain_type", Value::from(if hvm { "hvm" } else { "pv" })),
            ("hvm", Value::Bool(hvm)),
            ("memory_actual", memory),
        ],
    );
    take_memory(db, vm, host);
}

/// The records of a VM that no longer runs. Guest metrics stay until the next start.
pub fn halt(db: &mut Db, vm: &str) {
    release_memory(db, vm);
    for field in ["VBDs", "VIFs", "VGPUs", "VUSBs"] {
        let device_class = field.trim_end_matches('s');
        for device in db.members("VM", vm, field) {
            db.set(device_class, &device, "currently_attached", false);
            if field == "VBDs" {
                let vdi = db.text("VBD", &device, "VDI");
                let config = db.get("VDI", &vdi, "sm_config");
                let keys: Vec<String> = config
                    .map()
                    .iter()
                    .map(|(key, _)| key.to_string())
                    .filter(|key| key.starts_with("host_"))
                    .collect();
                for key in keys {
                    db.set_entry("VDI", &vdi, "sm_config", &key, None);
                }
            }
        }
    }
    destroy_consoles(db, vm);
    let metrics = db.text("VM", vm, "metrics");
    db.set("VM_metrics", &metrics, "current_domain_type", "unspecified");
    let image = db.text("VM", vm, "suspend_VDI");
    db.update(
        "VM",
        vm,
        [
            ("resident_on", Value::null()),
            ("scheduled_to_be_resident_on", Value::null()),
            ("suspend_VDI", Value::null()),
            ("domid", Value::Int(-1)),
            ("requires_reboot", Value::Bool(false)),
            ("power_state", Value::from("Halted")),
        ],
    );
    crate::ops::storage::forget_disk(db, &image);
    refresh_devices(db, vm);
}

/// The records of a VM whose memory goes to a disk. Its devices stay attached.
pub fn freeze(db: &mut Db, vm: &str) {
    let image = suspend_image(db, vm);
    let record = db
        .record("VM", vm)
        .map(|record| record.to_string())
        .unwrap_or_default();
    release_memory(db, vm);
    destroy_consoles(db, vm);
    db.update(
        "VM",
        vm,
        [
            ("suspend_VDI", Value::from(image)),
            ("last_booted_record", Value::from(record)),
            ("resident_on", Value::null()),
            ("domid", Value::Int(-1)),
            ("power_state", Value::from("Suspended")),
        ],
    );
}

pub fn refresh_devices(db: &mut Db, vm: &str) {
    for vbd in db.members("VM", vm, "VBDs") {
        lifecycle::refresh(db, "VBD", &vbd);
        let vdi = db.text("VBD", &vbd, "VDI");
        lifecycle::refresh(db, "VDI", &vdi);
    }
    for vif in db.members("VM", vm, "VIFs") {
        lifecycle::refresh(db, "VIF", &vif);
    }
}

/// The SR for the memory of a suspended VM: its own, the host's, the pool's, else the default.
pub fn suspend_sr(db: &Db, vm: &str) -> Option<String> {
    let host = db.text("VM", vm, "resident_on");
    let pool = db.refs("pool").into_iter().next()?;
    let candidates = [
        db.text("VM", vm, "suspend_SR"),
        db.text("host", &host, "suspend_image_sr"),
        db.text("pool", &pool, "suspend_image_SR"),
        db.text("pool", &pool, "default_SR"),
    ];
    candidates.into_iter().find(|sr| db.exists("SR", sr))
}

/// A VDI with the memory of a VM; NULL when there is no place for it.
pub fn suspend_image(db: &mut Db, vm: &str) -> String {
    let Some(sr) = suspend_sr(db, vm) else {
        return NULL_REF.to_owned();
    };
    let size = db.get("VM", vm, "memory_static_max").clone();
    let location = db.seed.uuid();
    let image = db.create(
        "VDI",
        [
            ("uuid", Value::from(&location)),
            ("location", Value::from(&location)),
            ("name_label", Value::from("Suspend image")),
            ("name_description", Value::from("Suspend image")),
            ("SR", Value::from(sr)),
            ("type", Value::from("suspend")),
            ("virtual_size", size.clone()),
            ("physical_utilisation", size),
            ("managed", Value::Bool(true)),
        ],
    );
    lifecycle::refresh(db, "VDI", &image);
    image.to_string()
}

fn device_letter(number: usize) -> char {
    char::from(b'a' + (number % 26) as u8)
}

pub fn next_domid(db: &mut Db) -> i64 {
    db.seed.between(1, 32_000)
}

pub fn memory(db: &Db, vm: &str) -> i64 {
    let own = db.get("VM", vm, "memory_dynamic_max").int();
    own.saturating_add(db.get("VM", vm, "memory_overhead").int())
}

pub fn take_memory(db: &mut Db, vm: &str, host: &str) {
    let metrics = db.text("host", host, "metrics");
    let free = db
        .get("host_metrics", &metrics, "memory_free")
        .int()
        .saturating_sub(memory(db, vm));
    db.set("host_metrics", &metrics, "memory_free", free.max(0));
}

pub fn release_memory(db: &mut Db, vm: &str) {
    let host = db.text("VM", vm, "resident_on");
    let metrics = db.text("host", &host, "metrics");
    if db.exists("host_metrics", &metrics) {
        let free = db
            .get("host_metrics", &metrics, "memory_free")
            .int()
            .saturating_add(memory(db, vm));
        let total = db.get("host_metrics", &metrics, "memory_total").int();
        db.set("host_metrics", &metrics, "memory_free", free.min(total));
    }
}

pub fn create_console(db: &mut Db, vm: &str) {
    let host = db.text("VM", vm, "resident_on");
    let address = db.text("host", &host, "address");
    let uuid = db.seed.uuid();
    let location = format!("https://{address}/console?uuid={uuid}");
    db.create(
        "console",
        [
            ("uuid", Value::from(uuid)),
            ("protocol", Value::from("rfb")),
            ("location", Value::from(location)),
            ("VM", Value::from(vm)),
            ("port", Value::Int(-1)),
        ],
    );
}

pub fn destroy_consoles(db: &mut Db, vm: &str) {
    for console in db.members("VM", vm, "consoles") {
        db.destroy("console", &console);
    }
}

/// Removes what the guest said; its values come back when its agent reports again.
pub fn forget_guest(db: &mut Db, vm: &str) -> Vec<Value> {
    let metrics = db.text("VM", vm, "guest_metrics");
    let class = class("VM_guest_metrics");
    let values = match db.row(class, &metrics) {
        Ok(row) => (0..class.fields.len()).map(|at| row.at(at).clone()).collect(),
        Err(_) => crate::world::guests::fresh(db),
    };
    db.set("VM", vm, "guest_metrics", NULL_REF);
    db.destroy("VM_guest_metrics", &metrics);
    values
}

/// The guest's agent speaks up some seconds after the start.
pub fn report_guest(call: &Call, vm: &str, mut values: Vec<Value>) {
    let (pool, vm) = (call.pool.clone(), vm.to_owned());
    let class = class("VM_guest_metrics");
    let mut put = |name: &str, value: Value| {
        if let Some(at) = class.field(name) {
            values[at] = value;
        }
    };
    put("uuid", Value::void());
    put("live", Value::Bool(true));
    put("last_updated", Value::Date(call.pool.db().now()));
    let report = move || {
        pool.write(|db| {
            if db.get("VM", &vm, "power_state").str() != "Running"
                || db.text("VM", &vm, "guest_metrics") != NULL_REF
            {
                return;
            }
            let reference = db.seed.reference();
            db.insert(class, &reference, values);
            db.set("VM", &vm, "guest_metrics", reference);
            lifecycle::refresh(db, "VM", &vm);
            refresh_devices(db, &vm);
        });
    };
    let delay = Duration::from_secs_f64(3.0 * call.pool.config.time_scale);
    if delay.is_zero() {
        return report();
    }
    call.pool.spawn(async move {
        tokio::time::sleep(delay).await;
        report();
    });
}
