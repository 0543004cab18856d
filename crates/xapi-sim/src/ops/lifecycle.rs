//! Which operations are allowed now: the tables of power states, the rules of concurrency, and the
//! `allowed_operations` that follow from them.

mod allowed;
#[cfg(test)]
mod tests;

use crate::db::Db;
use crate::fault::Fault;

pub use allowed::{
    attached, attached_for_writing, can_hotplug, computed, keeps_heartbeat, refresh, refresh_storage, settle,
};

/// Power states in which an operation is accepted, in the order in which errors name them.
fn states(operation: &str) -> &'static [&'static str] {
    const ANY: &[&str] = &["Halted", "Paused", "Suspended", "Running"];
    match operation {
        "start"
        | "start_on"
        | "provision"
        | "make_into_template"
        | "changing_shadow_memory"
        | "changing_NVRAM"
        | "create_vtpm"
        | "changing_VCPUs"
        | "changing_static_range"
        | "changing_memory_limits"
        | "clone"
        | "copy" => &["Halted"],
        "changing_dynamic_range" => &["Halted", "Running"],
        "destroy" | "export" | "create_template" => &["Halted", "Suspended"],
        "migrate_send" => &["Halted", "Suspended", "Running"],
        "unpause" => &["Paused"],
        "resume" | "resume_on" | "csvm" => &["Suspended"],
        "hard_reboot" => &["Paused", "Running"],
        "checkpoint" | "hard_shutdown" | "shutdown" | "get_boot_record" => {
            &["Paused", "Suspended", "Running"]
        }
        "clean_shutdown"
        | "clean_reboot"
        | "pause"
        | "suspend"
        | "pool_migrate"
        | "changing_VCPUs_live"
        | "changing_memory_live"
        | "awaiting_memory_live"
        | "changing_shadow_memory_live"
        | "call_plugin"
        | "data_source_op"
        | "send_sysrq"
        | "send_trigger"
        | "sysprep" => &["Running"],
        _ => ANY,
    }
}

/// What a control domain can do at all.
const OF_CONTROL_DOMAINS: [&str; 4] = [
    "changing_dynamic_range",
    "changing_static_range",
    "changing_memory_limits",
    "metadata_export",
];

/// As [`check`], and what `allowed_operations` leaves out although it is not refused.
pub fn check_strictly(db: &Db, vm: &str, operation: &str) -> Result<(), Fault> {
    check(db, vm, operation)?;
    let platform = db.get("VM", vm, "platform");
    let immobile = ["nomigrate", "nested-virt"]
        .iter()
        .any(|key| platform.text(key) == "true");
    match immobile && MOVES.contains(&operation) {
        true => Err(Fault::new("VM_IS_IMMOBILE", [vm])),
        false => Ok(()),
    }
}

/// What takes a guest's memory elsewhere.
const MOVES: [&str; 4] = ["suspend", "checkpoint", "pool_migrate", "migrate_send"];

/// Raises what the server would raise before an operation on a VM.
pub fn check(db: &Db, vm: &str, operation: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    let flag = |field: &str| db.get("VM", vm, field).bool();
    if let Some(reason) = db.get("VM", vm, "blocked_operations").entry(operation) {
        return Err(Fault::new("OPERATION_BLOCKED", [vm, reason.str()]));
    }
    let actual = db.get("VM", vm, "power_state").str();
    let suspended_snapshot =
        flag("is_a_snapshot") && matches!(operation, "clone" | "copy") && actual == "Suspended";
    let clones_suspended = matches!(operation, "clone" | "copy")
        && actual == "Suspended"
        && db
            .get("pool", &db.pool(), "other_config")
            .text("allow_clone_suspended_vm")
            == "true";
    let static_range = flag("is_control_domain") && operation == "changing_static_range";
    let in_time = match flag("is_control_domain") {
        true => !static_range || actual == "Running",
        false => states(operation).contains(&actual) || suspended_snapshot || clones_suspended,
    };
    if !in_time {
        let expected = states(operation).join(", ").to_lowercase();
        return Err(Fault::new(
            "VM_BAD_POWER_STATE",
            [vm, &expected, &actual.to_lowercase()],
        ));
    }
    conflict(db, "VM", vm, operation)?;
    let template_ok = [
        "clone",
        "copy",
        "provision",
        "migrate_send",
        "changing_dynamic_range",
        "changing_static_range",
        "changing_memory_limits",
        "changing_shadow_memory",
        "changing_NVRAM",
        "changing_VCPUs",
        "export",
        "metadata_export",
        "destroy",
        "create_vtpm",
        "update_allowed_operations",
        "make_into_template",
    ];
    let snapshot_ok = [
        "clone",
        "copy",
        "revert",
        "export",
        "metadata_export",
        "destroy",
        "hard_shutdown",
        "create_template",
    ];
    if flag("is_a_snapshot") {
        if !snapshot_ok.contains(&operation) {
            return Err(Fault::new("VM_IS_SNAPSHOT", [vm, operation]));
        }
    } else if flag("is_a_template") && operation != "revert" && !template_ok.contains(&operation) {
        return Err(Fault::new("VM_IS_TEMPLATE", [vm, operation]));
    }
    if operation == "provision" && !flag("is_a_template") {
        return Err(Fault::bare("PROVISION_ONLY_ALLOWED_ON_TEMPLATE"));
    }
    if operation == "revert" && !flag("is_a_snapshot") {
        return Err(Fault::bare("REVERT_ONLY_ALLOWED_ON_SNAPSHOT"));
    }
    if flag("is_control_domain") && !OF_CONTROL_DOMAINS.contains(&operation) {
        return Err(Fault::not_allowed(
            "This operation is not allowed on a control domain",
        ));
    }
    if let Some(feature) = needed_feature(operation)
        && !has_feature(db, vm, feature)
    {
        return Err(Fault::new("VM_LACKS_FEATURE", [vm]));
    }
    if ["snapshot", "checkpoint", "suspend", "csvm"].contains(&operation) && has_reset_disk(db, vm) {
        return Err(Fault::bare("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"));
    }
    if MOVES.contains(&operation) && actual == "Running" {
        if !db.get("VM", vm, "attached_PCIs").set().is_empty() {
            return Err(Fault::new("VM_HAS_PCI_ATTACHED", [vm]));
        }
        if !db.get("VM", vm, "VGPUs").set().is_empty() {
            return Err(Fault::new("VM_HAS_VGPU", [vm]));
        }
        if !db.get("VM", vm, "VUSBs").set().is_empty() {
            return Err(Fault::new("VM_HAS_VUSBS", [vm]));
        }
    }
    if operation == "make_into_template" {
        let assigned = [
            ("appliance", "VM_appliance", "VM_IS_PART_OF_AN_APPLIANCE"),
            ("snapshot_schedule", "VMSS", "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE"),
        ];
        for (field, class, code) in assigned {
            let other = db.text("VM", vm, field);
            if db.exists(class, &other) {
                return Err(Fault::new(code, [vm, &other]));
            }
        }
    }
    if operation == "create_vtpm" && !db.get("VM", vm, "VTPMs").set().is_empty() {
        return Err(Fault::new("VTPM_MAX_AMOUNT_REACHED", ["1"]));
    }
    Ok(())
}

/// A disk that forgets at each start cannot be kept.
fn has_reset_disk(db: &Db, vm: &str) -> bool {
    let vbds = db.get("VM", vm, "VBDs").set().iter();
    let mut vdis = vbds.map(|vbd| db.get("VBD", vbd.str(), "VDI").str());
    vdis.any(|vdi| db.get("VDI", vdi, "on_boot").str() == "reset")
}

fn needed_feature(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "clean_shutdown" => "feature-shutdown",
        "clean_reboot" => "feature-reboot",
        "suspend" | "checkpoint" | "pool_migrate" => "feature-suspend",
        "changing_VCPUs_live" => "feature-vcpu-hotplug",
        _ => return None,
    })
}

/// A guest can do something when its tools were seen or when its agent says so.
pub fn has_feature(db: &Db, vm: &str, feature: &str) -> bool {
    let metrics = db.text("VM", vm, "guest_metrics");
    let running = db.get("VM", vm, "power_state").str() == "Running";
    let hvm = db.get("VM", vm, "HVM_boot_policy").str() != "";
    !running
        || !hvm
        || db.get("VM_guest_metrics", &metrics, "PV_drivers_detected").bool()
        || db.get("VM_guest_metrics", &metrics, "other").text(feature) == "1"
}

/// OTHER_OPERATION_IN_PROGRESS when a running operation excludes the wanted one.
pub fn conflict(db: &Db, class: &str, reference: &str, operation: &str) -> Result<(), Fault> {
    for (task, current) in db.get(class, reference, "current_operations").map() {
        let together = if class == "VM" {
            compatible(operation, current.str())
        } else {
            beside(class, current.str())
        };
        if !together {
            return Err(Fault::new(
                "OTHER_OPERATION_IN_PROGRESS",
                [class, reference, current.str(), task],
            ));
        }
    }
    Ok(())
}

fn compatible(wanted: &str, current: &str) -> bool {
    let both = |group: &[&str]| group.contains(&wanted) && group.contains(&current);
    both(&["clone", "copy", "export"])
        || both(&["snapshot", "checkpoint"])
        || wanted == "get_boot_record"
        || (wanted == "hard_shutdown" && current != "hard_shutdown")
        || (wanted == "hard_reboot" && !["hard_shutdown", "hard_reboot"].contains(&current))
        || (current == "migrate_send"
            && ["metadata_export", "clean_shutdown", "clean_reboot"].contains(&wanted))
}

fn beside(class: &str, current: &str) -> bool {
    match class {
        "VDI" => current == "copy",
        // Hosts, storage and networks take many operations at a time; their own checks look closer.
        "host" | "SR" | "network" => true,
        _ => false,
    }
}
