//! The power of a VM: start, shut down, reboot, suspend, resume, pause, migrate, and the checks around them.

use std::time::Duration;

use super::{Outcome, alerts, lifecycle, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::ops::Mark;
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

pub const MESSAGES: &[&str] = &[
    "start",
    "start_on",
    "clean_shutdown",
    "hard_shutdown",
    "shutdown",
    "clean_reboot",
    "hard_reboot",
    "suspend",
    "resume",
    "resume_on",
    "pause",
    "unpause",
    "pool_migrate",
    "power_state_reset",
    "assert_can_boot_here",
    "assert_operation_valid",
    "assert_agile",
    "get_possible_hosts",
    "update_allowed_operations",
];

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let vm = p.first().map_or("", Value::str);
    match name {
        "start" => start(call, vm, None, "start", p[1].bool()).await?,
        "start_on" => start(call, vm, Some(p[1].str()), "start_on", p[2].bool()).await?,
        "resume" => start(call, vm, None, "resume", p[1].bool()).await?,
        "resume_on" => start(call, vm, Some(p[1].str()), "resume_on", p[2].bool()).await?,
        "clean_shutdown" => stop(call, vm, "clean_shutdown", 3.0).await?,
        "hard_shutdown" => stop(call, vm, "hard_shutdown", 0.5).await?,
        "shutdown" => match stop(call, vm, "clean_shutdown", 3.0).await {
            Err(fault) if fault.code == "VM_LACKS_FEATURE" => stop(call, vm, "hard_shutdown", 0.5).await?,
            result => result?,
        },
        "clean_reboot" => reboot(call, vm, "clean_reboot", 4.0).await?,
        "hard_reboot" => reboot(call, vm, "hard_reboot", 1.0).await?,
        "suspend" => suspend(call, vm).await?,
        "pause" => switch(call, vm, "pause", "Paused", "VM_PAUSED", "paused").await?,
        "unpause" => switch(call, vm, "unpause", "Running", "VM_UNPAUSED", "unpaused").await?,
        "pool_migrate" => migrate(call, vm, p[1].str()).await?,
        "power_state_reset" => call.pool.write(|db| {
            lifecycle::check(db, vm, "power_state_reset")?;
            halt(db, vm);
            lifecycle::refresh(db, "VM", vm);
            Ok(())
        })?,
        "assert_can_boot_here" => assert_can_boot_here(&call.pool.db(), vm, p[1].str())?,
        "assert_operation_valid" => lifecycle::check(&call.pool.db(), vm, p[1].str())?,
        "assert_agile" => assert_agile(&call.pool.db(), vm)?,
        "update_allowed_operations" => call.pool.write(|db| lifecycle::refresh(db, "VM", vm)),
        "get_possible_hosts" => {
            let db = call.pool.db();
            db.check("VM", vm)?;
            let hosts = db
                .refs("host")
                .into_iter()
                .filter(|host| assert_can_boot_here(&db, vm, host).is_ok());
            return Ok(Some(
                hosts.map(|host| Value::from(&*host)).collect::<Vec<_>>().into(),
            ));
        }
        _ => return Ok(None),
    }
    void()
}

async fn start(
    call: &Call,
    vm: &str,
    on: Option<&str>,
    operation: &'static str,
    paused: bool,
) -> Result<(), Fault> {
    let resuming = operation.starts_with("resume");
    let host_operation = if resuming { "vm_resume" } else { "vm_start" };
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            let host = place(db, vm, on)?;
            let mut marks: Vec<Mark> = vec![("VM", vm.to_owned(), operation)];
            marks.extend(
                db.members("VM", vm, "VBDs")
                    .into_iter()
                    .map(|vbd| ("VBD", vbd, "attach")),
            );
            marks.extend(
                db.members("VM", vm, "VIFs")
                    .into_iter()
                    .map(|vif| ("VIF", vif, "attach")),
            );
            marks.push(("host", host, host_operation));
            Ok(marks)
        })
        .await?;
    let host = marks.last().map(|(_, host, _)| host.clone()).unwrap_or_default();
    call.pool
        .write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", &host));
    if let Err(fault) = call.pass(&marks, if resuming { 3.0 } else { 1.5 }).await {
        call.pool
            .write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", NULL_REF));
        return Err(fault);
    }
    let old_guest = call.end(&marks, |db| {
        let old_guest = if resuming {
            None
        } else {
            Some(forget_guest(db, vm))
        };
        boot(db, vm, &host, paused);
        if resuming {
            let image = db.text("VM", vm, "suspend_VDI");
            db.set("VM", vm, "suspend_VDI", NULL_REF);
            db.destroy("VDI", &image);
            alerts::vm(db, vm, "VM_RESUMED", "resumed");
        } else {
            alerts::vm(db, vm, "VM_STARTED", "started");
        }
        refresh_devices(db, vm);
        old_guest
    });
    if let Some(old_guest) = old_guest {
        report_guest(call, vm, old_guest);
    }
    Ok(())
}

async fn stop(call: &Call, vm: &str, operation: &'static str, seconds: f64) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, seconds).await?;
    call.end(&marks, |db| {
        // A hard shutdown may have overtaken a clean one.
        if db.get("VM", vm, "power_state").str() != "Halted" {
            alerts::vm(db, vm, "VM_SHUTDOWN", "shut down");
            halt(db, vm);
        }
    });
    Ok(())
}

async fn reboot(call: &Call, vm: &str, operation: &'static str, seconds: f64) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, seconds).await?;
    let old_guest = call.end(&marks, |db| {
        if db.get("VM", vm, "power_state").str() == "Halted" {
            return None;
        }
        let old_guest = forget_guest(db, vm);
        let domid = next_domid(db);
        let metrics = db.text("VM", vm, "metrics");
        db.update(
            "VM",
            vm,
            [
                ("domid", Value::Int(domid)),
                ("power_state", Value::from("Running")),
            ],
        );
        db.set("VM_metrics", &metrics, "start_time", Value::Date(db.now()));
        destroy_consoles(db, vm);
        create_console(db, vm);
        alerts::vm(db, vm, "VM_REBOOTED", "rebooted");
        Some(old_guest)
    });
    if let Some(old_guest) = old_guest {
        report_guest(call, vm, old_guest);
    }
    Ok(())
}

async fn suspend(call: &Call, vm: &str) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "suspend")?;
            if suspend_sr(db, vm).is_none() {
                return Err(Fault::new("VM_NO_SUSPEND_SR", [vm]));
            }
            Ok(vec![("VM", vm.to_owned(), "suspend")])
        })
        .await?;
    call.pass(&marks, 3.0).await?;
    call.end(&marks, |db| {
        if db.get("VM", vm, "power_state").str() != "Running" {
            return;
        }
        alerts::vm(db, vm, "VM_SUSPENDED", "suspended");
        freeze(db, vm);
        refresh_devices(db, vm);
    });
    Ok(())
}

async fn switch(
    call: &Call,
    vm: &str,
    operation: &'static str,
    state: &str,
    alert: &str,
    what: &str,
) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, 0.2).await?;
    call.end(&marks, |db| {
        if matches!(db.get("VM", vm, "power_state").str(), "Running" | "Paused") {
            db.set("VM", vm, "power_state", state);
            refresh_devices(db, vm);
            alerts::vm(db, vm, alert, what);
        }
    });
    Ok(())
}

async fn migrate(call: &Call, vm: &str, host: &str) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "pool_migrate")?;
            if db.text("VM", vm, "resident_on") != host {
                assert_can_boot_here(db, vm, host)?;
            }
            Ok(vec![
                ("VM", vm.to_owned(), "pool_migrate"),
                ("host", host.to_owned(), "vm_migrate"),
            ])
        })
        .await?;
    call.pool
        .write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", host));
    let worked = call.pass(&marks, 5.0).await;
    call.pool
        .write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", NULL_REF));
    worked?;
    call.end(&marks, |db| {
        if db.get("VM", vm, "power_state").str() != "Running" {
            return;
        }
        change_host(db, vm, host);
    });
    Ok(())
}

// ---- changes of the world, also used by the seeded world and by `clone`

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
    db.destroy("VDI", &image);
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
fn suspend_sr(db: &Db, vm: &str) -> Option<String> {
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

fn next_domid(db: &mut Db) -> i64 {
    db.seed.between(1, 32_000)
}

fn memory(db: &Db, vm: &str) -> i64 {
    db.get("VM", vm, "memory_dynamic_max").int() + db.get("VM", vm, "memory_overhead").int()
}

fn take_memory(db: &mut Db, vm: &str, host: &str) {
    let metrics = db.text("host", host, "metrics");
    let free = db.get("host_metrics", &metrics, "memory_free").int() - memory(db, vm);
    db.set("host_metrics", &metrics, "memory_free", free.max(0));
}

fn release_memory(db: &mut Db, vm: &str) {
    let host = db.text("VM", vm, "resident_on");
    let metrics = db.text("host", &host, "metrics");
    if db.exists("host_metrics", &metrics) {
        let free = db.get("host_metrics", &metrics, "memory_free").int() + memory(db, vm);
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

fn destroy_consoles(db: &mut Db, vm: &str) {
    for console in db.members("VM", vm, "consoles") {
        db.destroy("console", &console);
    }
}

/// Removes what the guest said; its values come back when its agent reports again.
fn forget_guest(db: &mut Db, vm: &str) -> Vec<Value> {
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
fn report_guest(call: &Call, vm: &str, mut values: Vec<Value>) {
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

// ---- placement

/// The host to run on: the one asked for, else affinity, else the one with most free memory.
fn place(db: &Db, vm: &str, on: Option<&str>) -> Result<String, Fault> {
    if let Some(host) = on {
        return assert_can_boot_here(db, vm, host).map(|()| host.to_owned());
    }
    let affinity = db.text("VM", vm, "affinity");
    if assert_can_boot_here(db, vm, &affinity).is_ok() {
        return Ok(affinity);
    }
    let hosts = db
        .refs("host")
        .into_iter()
        .filter(|host| assert_can_boot_here(db, vm, host).is_ok());
    let free = |host: &str| {
        db.get(
            "host_metrics",
            db.get("host", host, "metrics").str(),
            "memory_free",
        )
        .int()
    };
    let best = hosts.max_by_key(|host| free(host));
    best.map(|host| host.to_string())
        .ok_or_else(|| Fault::bare("NO_HOSTS_AVAILABLE"))
}

pub fn assert_can_boot_here(db: &Db, vm: &str, host: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    db.check("host", host)?;
    let metrics = db.text("host", host, "metrics");
    if !db.get("host_metrics", &metrics, "live").bool() {
        return Err(Fault::new("HOST_OFFLINE", [host]));
    }
    if !db.get("host", host, "enabled").bool() {
        return Err(Fault::new("HOST_DISABLED", [host]));
    }
    for vbd in db.get("VM", vm, "VBDs").set() {
        let sr = db.text("VDI", db.get("VBD", vbd.str(), "VDI").str(), "SR");
        if db.exists("SR", &sr) && !plugged(db, &sr, host) {
            return Err(Fault::new("VM_REQUIRES_SR", [vm, &sr]));
        }
    }
    let (needed, free) = (
        memory(db, vm),
        db.get("host_metrics", &metrics, "memory_free").int(),
    );
    if needed > free {
        return Err(Fault::new(
            "HOST_NOT_ENOUGH_FREE_MEMORY",
            [needed.to_string(), free.to_string()],
        ));
    }
    Ok(())
}

fn plugged(db: &Db, sr: &str, host: &str) -> bool {
    db.get("SR", sr, "PBDs").set().iter().any(|pbd| {
        db.get("PBD", pbd.str(), "host").str() == host
            && db.get("PBD", pbd.str(), "currently_attached").bool()
    })
}

fn assert_agile(db: &Db, vm: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    for vbd in db.get("VM", vm, "VBDs").set() {
        let sr = db.text("VDI", db.get("VBD", vbd.str(), "VDI").str(), "SR");
        if db.exists("SR", &sr) && !db.get("SR", &sr, "shared").bool() {
            return Err(Fault::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
        }
    }
    Ok(())
}
