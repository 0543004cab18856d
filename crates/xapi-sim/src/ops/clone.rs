//! Copies of a VM: snapshot, checkpoint, clone, copy, provision, and the way back: revert and destroy.

mod provision;
mod revert;

use super::{Outcome, alerts, lifecycle, power, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::model::Class;
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

pub const MESSAGES: &[&str] = &[
    "snapshot",
    "checkpoint",
    "clone",
    "copy",
    "revert",
    "provision",
    "snapshot_with_quiesce",
    "set_is_default_template",
];

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let vm = p.first().map_or("", Value::str);
    match name {
        "snapshot" => {
            let ignored = p[2].strings();
            copy(call, vm, "snapshot", p[1].str(), None, &ignored, 1.0)
                .await
                .map(Some)
        }
        "checkpoint" => copy(call, vm, "checkpoint", p[1].str(), None, &[], 3.0)
            .await
            .map(Some),
        "clone" => copy(call, vm, "clone", p[1].str(), None, &[], 1.0)
            .await
            .map(Some),
        "copy" => copy(call, vm, "copy", p[1].str(), Some(p[2].str()), &[], 5.0)
            .await
            .map(Some),
        "snapshot_with_quiesce" => Err(Fault::new("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", [vm])),
        "revert" => revert::revert(call, vm).await,
        "provision" => provision::provision(call, vm).await,
        "destroy" => destroy(call, vm).await,
        "create" => create(call, &p[0]).map(Some),
        "set_is_default_template" => call.write(|db| {
            db.check("VM", vm)?;
            db.set("VM", vm, "is_default_template", p[1].clone());
            lifecycle::refresh(db, "VM", vm);
            void()
        }),
        _ => Ok(None),
    }
}

fn create(call: &Call, record: &Value) -> Result<Value, Fault> {
    let memory = |field: &str| {
        record
            .entry(field)
            .map_or(0, |v| v.str().parse().unwrap_or_else(|_| v.int()))
    };
    let range = [
        memory("memory_static_min"),
        memory("memory_dynamic_min"),
        memory("memory_dynamic_max"),
        memory("memory_static_max"),
    ];
    if range[0] < 0 || !range.is_sorted() {
        let text = "static_min <= dynamic_min <= dynamic_max <= static_max must hold";
        return Err(Fault::new("MEMORY_CONSTRAINT_VIOLATION", [text]));
    }
    let created = super::records::create(call, class("VM"), record)?;
    call.write(|db| {
        let vm = created.str();
        let metrics = db.create("VM_metrics", [("install_time", Value::Date(db.now()))]);
        let mac_seed = db.seed.uuid();
        if db.get("VM", vm, "other_config").entry("mac_seed").is_none() {
            db.set_entry("VM", vm, "other_config", "mac_seed", Some(Value::from(mac_seed)));
        }
        let pv = db.get("VM", vm, "HVM_boot_policy").str().is_empty();
        let state = if db.get("VM", vm, "power_state").str() == "Suspended" {
            "Suspended"
        } else {
            "Halted"
        };
        db.update(
            "VM",
            vm,
            [
                ("metrics", Value::from(&*metrics)),
                ("guest_metrics", Value::null()),
                ("domid", Value::Int(-1)),
                ("power_state", Value::from(state)),
                ("domain_type", Value::from(if pv { "pv" } else { "hvm" })),
                ("memory_overhead", Value::Int(11 << 20)),
            ],
        );
        lifecycle::refresh(db, "VM", vm);
    });
    Ok(created)
}

async fn copy(
    call: &Call,
    vm: &str,
    operation: &'static str,
    name: &str,
    sr: Option<&str>,
    ignored: &[String],
    seconds: f64,
) -> Result<Value, Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            if let Some(sr) = sr.filter(|sr| *sr != NULL_REF && !sr.is_empty()) {
                db.check("SR", sr)?;
            }
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, seconds).await?;
    let made = call.end(&marks, |db| {
        let made = duplicate(db, vm, operation, name, sr, ignored);
        let alert = match operation {
            "snapshot" => ("VM_SNAPSHOTTED", "snapshotted"),
            "checkpoint" => ("VM_CHECKPOINTED", "checkpointed"),
            _ => ("VM_CLONED", "cloned"),
        };
        alerts::vm(db, vm, alert.0, alert.1);
        made
    });
    Ok(Value::from(made))
}

/// The records of a snapshot, checkpoint, clone or copy.
pub fn duplicate(
    db: &mut Db,
    vm: &str,
    operation: &str,
    name: &str,
    sr: Option<&str>,
    ignored: &[String],
) -> String {
    let is_snapshot = matches!(operation, "snapshot" | "checkpoint");
    let source_state = db.text("VM", vm, "power_state");
    let keeps_memory = operation == "checkpoint" && source_state != "Halted";
    let metadata = if is_snapshot {
        db.record("VM", vm).map(|r| r.to_string()).unwrap_or_default()
    } else {
        String::new()
    };
    let from_template = db.get("VM", vm, "is_a_template").bool() && !db.get("VM", vm, "is_a_snapshot").bool();
    let metrics = row_copy(db, "VM_metrics", &db.text("VM", vm, "metrics"), &[]);
    let guest_metrics = row_copy(db, "VM_guest_metrics", &db.text("VM", vm, "guest_metrics"), &[]);
    let mut other_config = db.get("VM", vm, "other_config").with("default_template", None);
    other_config = other_config.with("xensource_internal", None);
    if !is_snapshot {
        other_config = other_config.with("mac_seed", Some(Value::from(db.seed.uuid())));
        if from_template {
            let base = db.text("VM", vm, "name_label");
            other_config = other_config.with("base_template_name", Some(Value::from(base)));
        }
    }
    let is_template = is_snapshot || db.get("VM", vm, "is_a_template").bool();
    let info = match is_snapshot {
        true => Value::map_of([
            ("power-state-at-snapshot", source_state.as_str()),
            ("disk-snapshot-type", "crash_consistent"),
        ]),
        false => Value::empty_map(),
    };
    let made = row_copy(
        db,
        "VM",
        vm,
        &[
            ("name_label", Value::from(name)),
            ("is_a_snapshot", Value::Bool(is_snapshot)),
            ("is_a_template", Value::Bool(is_template)),
            ("is_default_template", Value::Bool(false)),
            (
                "snapshot_of",
                if is_snapshot {
                    Value::from(vm)
                } else {
                    Value::null()
                },
            ),
            (
                "snapshot_time",
                Value::Date(if is_snapshot { db.now() } else { 0 }),
            ),
            ("snapshot_info", info),
            ("snapshot_metadata", Value::from(metadata)),
            (
                "parent",
                if is_snapshot {
                    db.get("VM", vm, "parent").clone()
                } else {
                    Value::null()
                },
            ),
            (
                "power_state",
                Value::from(if keeps_memory { "Suspended" } else { "Halted" }),
            ),
            ("other_config", other_config),
            ("metrics", Value::from(metrics)),
            ("guest_metrics", Value::from(guest_metrics)),
            ("resident_on", Value::null()),
            ("scheduled_to_be_resident_on", Value::null()),
            ("suspend_VDI", Value::null()),
            ("domid", Value::Int(-1)),
            ("current_operations", Value::empty_map()),
            ("blocked_operations", Value::empty_map()),
            ("ha_always_run", Value::Bool(false)),
            ("start_delay", Value::Int(0)),
            ("shutdown_delay", Value::Int(0)),
            ("order", Value::Int(0)),
            ("version", Value::Int(0)),
            ("appliance", Value::null()),
            ("suspend_SR", Value::null()),
            ("protection_policy", Value::null()),
            ("snapshot_schedule", Value::null()),
            ("blobs", Value::empty_map()),
        ],
    );
    copy_disks(db, vm, &made, is_snapshot, sr, ignored);
    for vif in db.members("VM", vm, "VIFs") {
        let mut changes = vec![
            ("VM", Value::from(&made)),
            ("currently_attached", Value::Bool(false)),
        ];
        if !is_snapshot {
            changes.push(("MAC", Value::from(db.seed.mac())));
            changes.push(("MAC_autogenerated", Value::Bool(true)));
        }
        row_copy(db, "VIF", &vif, &changes);
    }
    if is_snapshot {
        db.set("VM", vm, "parent", &made);
    }
    if keeps_memory {
        let image = power::suspend_image(db, vm);
        db.set("VM", &made, "suspend_VDI", image);
    }
    power::refresh_devices(db, &made);
    lifecycle::refresh(db, "VM", &made);
    made
}

fn copy_disks(db: &mut Db, vm: &str, made: &str, is_snapshot: bool, sr: Option<&str>, ignored: &[String]) {
    for vbd in db.members("VM", vm, "VBDs") {
        let vdi = db.text("VBD", &vbd, "VDI");
        if ignored.contains(&vdi) {
            continue;
        }
        let is_disk = db.get("VBD", &vbd, "type").str() == "Disk" && db.exists("VDI", &vdi);
        let new_vdi = if is_disk {
            copy_vdi(db, &vdi, is_snapshot, sr)
        } else {
            vdi
        };
        let mut changes = vec![
            ("VM", Value::from(made)),
            ("VDI", Value::from(new_vdi)),
            ("currently_attached", Value::Bool(false)),
            ("current_operations", Value::empty_map()),
            ("device", Value::void()),
        ];
        if is_disk {
            let config = db
                .get("VBD", &vbd, "other_config")
                .with("owner", Some(Value::void()));
            changes.push(("other_config", config));
        }
        row_copy(db, "VBD", &vbd, &changes);
    }
}

/// A snapshot or copy of a disk, on its own SR unless another is given.
pub fn copy_vdi(db: &mut Db, vdi: &str, is_snapshot: bool, sr: Option<&str>) -> String {
    let uuid = db.seed.uuid();
    let config = Value::Map(
        db.get("VDI", vdi, "sm_config")
            .map()
            .iter()
            .filter(|(key, _)| !key.starts_with("host_"))
            .cloned()
            .collect(),
    );
    let mut changes = vec![
        ("uuid", Value::from(&uuid)),
        ("location", Value::from(&uuid)),
        ("is_a_snapshot", Value::Bool(is_snapshot)),
        (
            "snapshot_of",
            if is_snapshot {
                Value::from(vdi)
            } else {
                Value::null()
            },
        ),
        (
            "snapshot_time",
            Value::Date(if is_snapshot { db.now() } else { 0 }),
        ),
        (
            "sm_config",
            config.with("vhd-parent", Some(Value::from(db.seed.uuid()))),
        ),
        ("current_operations", Value::empty_map()),
    ];
    if let Some(sr) = sr.filter(|sr| db.exists("SR", sr)) {
        changes.push(("SR", Value::from(sr)));
    }
    let made = row_copy(db, "VDI", vdi, &changes);
    db.set("VDI", &made, "uuid", uuid);
    lifecycle::refresh(db, "VDI", &made);
    made
}

/// A new row with the values of another; NULL when there is none. The copy gets its own uuid.
pub fn row_copy(db: &mut Db, class_name: &str, from: &str, changes: &[(&str, Value)]) -> String {
    let class: &Class = class(class_name);
    let Ok(row) = db.row(class, from) else {
        return NULL_REF.to_owned();
    };
    let mut values: Vec<Value> = (0..class.fields.len()).map(|at| row.at(at).clone()).collect();
    if let Some(at) = class.field("uuid") {
        values[at] = Value::void();
    }
    // Measurements belong to one device.
    if let ("VBD" | "VIF", Some(at)) = (class_name, class.field("metrics")) {
        let metrics = values[at].str().to_owned();
        values[at] = Value::from(row_copy(db, &format!("{class_name}_metrics"), &metrics, &[]));
    }
    for (name, value) in changes {
        if let Some(at) = class.field(name) {
            values[at] = value.clone();
        }
    }
    let reference = db.seed.reference();
    let made = db.insert(class, &reference, values).to_string();
    if class_name == "VDI" {
        let uuid = db.text("VDI", from, "uuid");
        db.disks.copy(from, &uuid, &made);
    }
    made
}

async fn destroy(call: &Call, vm: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            db.check("VM", vm)?;
            if db.get("VM", vm, "is_default_template").bool() {
                return Err(Fault::bare("VM_CANNOT_DELETE_DEFAULT_TEMPLATE"));
            }
            if db.get("VM", vm, "is_control_domain").bool() {
                return Err(Fault::not_allowed("This operation is not allowed on dom0"));
            }
            lifecycle::check(db, vm, "destroy")?;
            Ok(vec![("VM", vm.to_owned(), "destroy")])
        })
        .await?;
    call.pass(&marks, 0.3).await?;
    call.end(&marks, |db| remove(db, vm));
    void()
}

/// The VM and what belongs to it; disks stay.
pub fn remove(db: &mut Db, vm: &str) {
    let parent = db.text("VM", vm, "parent");
    for child in db.members("VM", vm, "children") {
        db.set("VM", &child, "parent", &parent);
    }
    for (field, class) in [
        ("VBDs", "VBD"),
        ("VIFs", "VIF"),
        ("VGPUs", "VGPU"),
        ("VUSBs", "VUSB"),
        ("VTPMs", "VTPM"),
        ("consoles", "console"),
    ] {
        for device in db.members("VM", vm, field) {
            super::devices::remove(db, class, &device);
        }
    }
    let image = db.text("VM", vm, "suspend_VDI");
    super::storage::forget_disk(db, &image);
    for (field, class) in [("metrics", "VM_metrics"), ("guest_metrics", "VM_guest_metrics")] {
        let metrics = db.text("VM", vm, field);
        db.destroy(class, &metrics);
    }
    db.destroy("VM", vm);
}
