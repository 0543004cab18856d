//! `allowed_operations`, from the tables of `lifecycle`. Lists go on the wire in the reverse of the enum's order.

use std::collections::BTreeSet;

use super::{check_strictly, has_feature};
use crate::db::Db;
use crate::model::model;
use crate::value::Value;

/// Computes `allowed_operations` anew.
pub fn refresh(db: &mut Db, class: &str, reference: &str) {
    if let Some(value) = computed(db, class, reference) {
        db.set(class, reference, "allowed_operations", value);
    }
}

/// Computes `allowed_operations` of everything that changed since a generation, and of what stands beside it.
pub fn settle(db: &mut Db, since: u64) {
    let mut near: BTreeSet<(&'static str, String)> = BTreeSet::new();
    for (class, reference) in db.changed_since(since) {
        let this = reference.to_string();
        let mut device = |vbd: &str| {
            near.insert(("VDI", db.text("VBD", vbd, "VDI")));
            near.insert(("VBD", vbd.to_owned()));
        };
        match model().classes[*class].name.as_str() {
            "VM" => {
                db.members("VM", &this, "VBDs").iter().for_each(|vbd| device(vbd));
                let vifs = db.members("VM", &this, "VIFs").into_iter();
                near.extend(vifs.map(|vif| ("VIF", vif)));
                near.insert(("VM", this));
            }
            "VBD" => device(&this),
            "VIF" => drop(near.insert(("VIF", this))),
            "VDI" => drop(near.insert(("VDI", this))),
            "SR" => drop(near.insert(("SR", this))),
            "PBD" => {
                let sr = db.text("PBD", &this, "SR");
                let vdis = db.members("SR", &sr, "VDIs").into_iter();
                near.extend(vdis.map(|vdi| ("VDI", vdi)));
                near.insert(("SR", sr));
            }
            "host" => drop(near.insert(("host", this))),
            _ => {}
        }
    }
    for (class, reference) in near {
        refresh(db, class, &reference);
    }
}

/// What `allowed_operations` of an object must be now; `None` for classes that have no such field.
pub fn computed(db: &Db, class: &str, reference: &str) -> Option<Value> {
    let allowed = match class {
        "VM" => vm(db, reference),
        "VBD" => vbd(db, reference),
        "VIF" => vif(db, reference),
        "VDI" => vdi(db, reference),
        "host" => host(db, reference),
        "SR" => sr(db, reference),
        _ => return None,
    };
    let order = match class {
        "VM" => "vm_operations",
        "VBD" => "vbd_operations",
        "VIF" => "vif_operations",
        "VDI" => "vdi_operations",
        "host" => "host_allowed_operations",
        _ => "storage_operations",
    };
    let order = &model().enums[order];
    let listed = order
        .iter()
        .rev()
        .filter(|operation| allowed.contains(&operation.as_str()));
    Some(Value::set_of(listed))
}

/// What is legal but never listed.
const UNLISTED: [&str; 20] = [
    "snapshot_with_quiesce",
    "create_template",
    "power_state_reset",
    "csvm",
    "get_boot_record",
    "send_sysrq",
    "send_trigger",
    "query_services",
    "shutdown",
    "call_plugin",
    "changing_memory_live",
    "awaiting_memory_live",
    "changing_memory_limits",
    "changing_shadow_memory_live",
    "changing_VCPUs",
    "assert_operation_valid",
    "data_source_op",
    "update_allowed_operations",
    "import",
    "reverting",
];

/// Of the operations that would not be refused, those that are shown.
fn vm(db: &Db, reference: &str) -> Vec<&'static str> {
    let flag = |field: &str| db.get("VM", reference, field).bool();
    let hidden: &[&str] = match (flag("is_a_template"), flag("is_default_template")) {
        (true, true) => &["create_vtpm", "make_into_template", "migrate_send", "destroy"],
        (true, false) => &["create_vtpm", "make_into_template"],
        _ => &[],
    };
    let lists = |operation: &str| {
        let needs_tools = operation == "migrate_send" && !has_feature(db, reference, "feature-suspend");
        let known = !UNLISTED.contains(&operation) && !hidden.contains(&operation);
        known && !needs_tools && check_strictly(db, reference, operation).is_ok()
    };
    let all = model().enums["vm_operations"].iter().map(String::as_str);
    all.filter(|operation| lists(operation)).collect()
}

/// Whether the guest lets devices come and go.
pub fn can_hotplug(db: &Db, vm: &str, field: &str) -> bool {
    let metrics = db.text("VM", vm, "guest_metrics");
    db.get("VM", vm, "HVM_boot_policy").str().is_empty()
        || db.get("VM_guest_metrics", &metrics, field).str() == "yes"
}

fn vbd(db: &Db, reference: &str) -> Vec<&'static str> {
    if !db.get("VBD", reference, "current_operations").map().is_empty() {
        return vec![];
    }
    let vm = db.text("VBD", reference, "VM");
    let is_cd = db.get("VBD", reference, "type").str() == "CD";
    let media = if db.get("VBD", reference, "empty").bool() {
        "insert"
    } else {
        "eject"
    };
    let mut allowed = Vec::new();
    if is_cd && db.get("VM", &vm, "power_state").str() != "Suspended" {
        allowed.push(media);
    }
    match db.get("VM", &vm, "power_state").str() {
        "Running" => {
            let hvm = !db.get("VM", &vm, "HVM_boot_policy").str().is_empty();
            if (is_cd && hvm) || !can_hotplug(db, &vm, "can_use_hotplug_vbd") {
                return allowed;
            }
            match db.get("VBD", reference, "currently_attached").bool() {
                true => allowed.extend(["unplug", "unplug_force"]),
                false => allowed.extend(["attach", "plug"]),
            }
        }
        "Halted" => allowed.push("attach"),
        _ => {}
    }
    allowed
}

fn vif(db: &Db, reference: &str) -> Vec<&'static str> {
    let vm = db.text("VIF", reference, "VM");
    if !db.get("VIF", reference, "current_operations").map().is_empty() {
        return vec![];
    }
    match db.get("VM", &vm, "power_state").str() {
        "Running" if !can_hotplug(db, &vm, "can_use_hotplug_vif") => vec![],
        "Running" if db.get("VIF", reference, "currently_attached").bool() => vec!["unplug"],
        "Running" => vec!["attach", "plug"],
        "Halted" => vec!["attach"],
        _ => vec![],
    }
}

fn vdi(db: &Db, reference: &str) -> Vec<&'static str> {
    let current = db.get("VDI", reference, "current_operations").map();
    if !current.iter().all(|(_, operation)| operation.str() == "copy") {
        return vec![];
    }
    let sr = db.get("VDI", reference, "SR").str();
    let mut allowed = match db.get("SR", sr, "type").str() {
        "iso" | "udev" => vec!["clone", "copy", "update", "forget"],
        _ => vec![
            "clone",
            "copy",
            "resize",
            "resize_online",
            "snapshot",
            "destroy",
            "forget",
            "update",
            "generate_config",
        ],
    };
    if attached(db, reference) {
        let may_copy = !attached_for_writing(db, reference);
        allowed.retain(|op| matches!(*op, "clone" | "snapshot") || *op == "copy" && may_copy);
    }
    if !plugged(db, sr) {
        allowed.retain(|op| !matches!(*op, "resize" | "resize_online"));
    }
    if keeps_heartbeat(db, reference) {
        allowed.retain(|op| *op != "destroy");
    }
    allowed
}

fn plugged(db: &Db, sr: &str) -> bool {
    let mut pbds = db.get("SR", sr, "PBDs").set().iter();
    pbds.any(|pbd| db.get("PBD", pbd.str(), "currently_attached").bool())
}

/// Does high availability need the disk?
pub fn keeps_heartbeat(db: &Db, vdi: &str) -> bool {
    let pool = db.pool();
    db.get("pool", &pool, "ha_enabled").bool() && db.get("pool", &pool, "ha_statefiles").contains(vdi)
}

/// Is the disk in use by a running VM that may write to it?
pub fn attached_for_writing(db: &Db, vdi: &str) -> bool {
    let mut vbds = db.get("VDI", vdi, "VBDs").set().iter();
    vbds.any(|vbd| {
        let attached = db.get("VBD", vbd.str(), "currently_attached").bool();
        attached && db.get("VBD", vbd.str(), "mode").str() != "RO"
    })
}

/// The storage is plugged or unplugged: what that changes for it and for its disks.
pub fn refresh_storage(db: &mut Db, sr: &str) {
    refresh(db, "SR", sr);
    for vdi in db.members("SR", sr, "VDIs") {
        refresh(db, "VDI", &vdi);
    }
}

/// Is the disk in use by a running VM?
pub fn attached(db: &Db, vdi: &str) -> bool {
    let mut vbds = db.get("VDI", vdi, "VBDs").set().iter();
    vbds.any(|vbd| db.get("VBD", vbd.str(), "currently_attached").bool())
}

fn host(db: &Db, reference: &str) -> Vec<&'static str> {
    let metrics = db.text("host", reference, "metrics");
    if !db.get("host_metrics", &metrics, "live").bool() {
        return vec!["power_on"];
    }
    let current = db.get("host", reference, "current_operations").map();
    let removing = current
        .iter()
        .any(|(_, op)| ["evacuate", "reboot", "shutdown"].contains(&op.str()));
    let mut allowed = vec!["enable"];
    if !removing {
        allowed.extend(["provision", "vm_start", "vm_resume", "vm_migrate", "evacuate"]);
        if !db.get("host", reference, "enabled").bool() {
            allowed.extend(["reboot", "shutdown", "apply_updates"]);
        }
    }
    allowed
}

fn sr(db: &Db, reference: &str) -> Vec<&'static str> {
    let mut allowed = vec![
        "unplug",
        "plug",
        "pbd_create",
        "pbd_destroy",
        "scan",
        "update",
        "vdi_clone",
    ];
    if !plugged(db, reference) {
        allowed.extend(["destroy", "forget"]);
    }
    if !matches!(db.get("SR", reference, "type").str(), "iso" | "udev") {
        allowed.extend([
            "vdi_create",
            "vdi_destroy",
            "vdi_resize",
            "vdi_introduce",
            "vdi_mirror",
            "vdi_snapshot",
            "vdi_set_on_boot",
            "vdi_enable_cbt",
            "vdi_disable_cbt",
            "vdi_data_destroy",
            "vdi_list_changed_blocks",
        ]);
    }
    allowed
}
