//! Which operations are allowed now: the tables of power states, the rules of concurrency, and the
//! `allowed_operations` that follow from them. Lists go on the wire in the reverse of the enum's order.

use crate::db::Db;
use crate::fault::Fault;
use crate::model::model;
use crate::value::Value;

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
    if !states(operation).contains(&actual) && !suspended_snapshot && !flag("is_control_domain") {
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
    if flag("is_control_domain")
        && ![
            "changing_dynamic_range",
            "changing_static_range",
            "changing_memory_limits",
            "metadata_export",
        ]
        .contains(&operation)
    {
        return Err(Fault::not_allowed(
            "This operation is not allowed on a control domain",
        ));
    }
    if let Some(feature) = needed_feature(operation)
        && !has_feature(db, vm, feature)
    {
        return Err(Fault::new("VM_LACKS_FEATURE", [vm]));
    }
    let moves = ["suspend", "checkpoint", "pool_migrate", "migrate_send"].contains(&operation);
    if moves && actual == "Running" {
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
    if operation == "create_vtpm" && !db.get("VM", vm, "VTPMs").set().is_empty() {
        return Err(Fault::new("VTPM_MAX_AMOUNT_REACHED", ["1"]));
    }
    Ok(())
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

/// Computes `allowed_operations` anew.
pub fn refresh(db: &mut Db, class: &str, reference: &str) {
    let allowed = match class {
        "VM" => vm(db, reference),
        "VBD" => vbd(db, reference),
        "VIF" => vif(db, reference),
        "VDI" => vdi(db, reference),
        "host" => host(db, reference),
        "SR" => sr(db, reference),
        _ => return,
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
    let value = Value::set_of(listed);
    db.set(class, reference, "allowed_operations", value);
}

fn vm(db: &Db, reference: &str) -> Vec<&'static str> {
    let flag = |field: &str| db.get("VM", reference, field).bool();
    let running = db.get("VM", reference, "power_state").str();
    let candidates: &[&str] = if flag("is_control_domain") {
        match running {
            "Running" => {
                return vec![
                    "changing_dynamic_range",
                    "changing_static_range",
                    "metadata_export",
                ];
            }
            _ => return vec!["changing_dynamic_range", "metadata_export"],
        }
    } else if flag("is_a_snapshot") {
        &[
            "clone",
            "copy",
            "revert",
            "export",
            "metadata_export",
            "destroy",
            "hard_shutdown",
        ]
    } else if flag("is_a_template") {
        &[
            "clone",
            "copy",
            "provision",
            "migrate_send",
            "changing_dynamic_range",
            "changing_static_range",
            "changing_shadow_memory",
            "changing_NVRAM",
            "export",
            "metadata_export",
            "destroy",
        ]
    } else {
        &[
            "snapshot",
            "clone",
            "copy",
            "checkpoint",
            "start",
            "start_on",
            "pause",
            "unpause",
            "clean_shutdown",
            "clean_reboot",
            "hard_shutdown",
            "hard_reboot",
            "suspend",
            "resume",
            "resume_on",
            "pool_migrate",
            "migrate_send",
            "changing_dynamic_range",
            "changing_static_range",
            "changing_shadow_memory",
            "changing_VCPUs_live",
            "changing_NVRAM",
            "make_into_template",
            "export",
            "metadata_export",
            "destroy",
            "create_vtpm",
            "sysprep",
        ]
    };
    let built_in = flag("is_default_template");
    let lists = |operation: &str| {
        let hidden = built_in && matches!(operation, "migrate_send" | "destroy");
        let needs_tools = operation == "migrate_send" && !has_feature(db, reference, "feature-suspend");
        !hidden && !needs_tools && check(db, reference, operation).is_ok()
    };
    candidates
        .iter()
        .copied()
        .filter(|operation| lists(operation))
        .collect()
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
    match db.get("SR", sr, "type").str() {
        "iso" | "udev" => return vec!["clone", "copy", "update", "forget"],
        _ => {}
    }
    if attached(db, reference) {
        vec!["clone", "snapshot"]
    } else {
        vec![
            "clone",
            "copy",
            "resize",
            "resize_online",
            "snapshot",
            "destroy",
            "forget",
            "update",
            "generate_config",
        ]
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
    if db.get("host", reference, "enabled").bool() && !removing {
        vec![
            "provision",
            "vm_start",
            "vm_resume",
            "vm_migrate",
            "evacuate",
            "enable",
        ]
    } else if removing {
        vec!["enable"]
    } else {
        vec![
            "provision",
            "vm_start",
            "vm_resume",
            "vm_migrate",
            "evacuate",
            "reboot",
            "shutdown",
            "apply_updates",
            "enable",
        ]
    }
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
    let mut pbds = db.get("SR", reference, "PBDs").set().iter();
    if !pbds.any(|pbd| db.get("PBD", pbd.str(), "currently_attached").bool()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Ref;

    fn machine(db: &mut Db, state: &str, tools: bool) -> Ref {
        let metrics = db.create("VM_guest_metrics", [("PV_drivers_detected", Value::Bool(tools))]);
        db.create(
            "VM",
            [
                ("power_state", Value::from(state)),
                ("HVM_boot_policy", Value::from("BIOS order")),
                ("guest_metrics", Value::from(&*metrics)),
            ],
        )
    }

    fn allowed(db: &mut Db, vm: &str) -> Vec<String> {
        refresh(db, "VM", vm);
        let mut listed = db.members("VM", vm, "allowed_operations");
        listed.reverse();
        listed
    }

    #[test]
    fn idle_virtual_machines_allow_what_the_tables_say() {
        let mut db = Db::new(1);
        let vm = machine(&mut db, "Halted", true);
        assert_eq!(
            allowed(&mut db, &vm),
            [
                "snapshot",
                "clone",
                "copy",
                "start",
                "start_on",
                "migrate_send",
                "changing_dynamic_range",
                "changing_static_range",
                "changing_shadow_memory",
                "changing_NVRAM",
                "make_into_template",
                "export",
                "metadata_export",
                "destroy",
                "create_vtpm"
            ]
        );
        let vm = machine(&mut db, "Running", true);
        assert_eq!(
            allowed(&mut db, &vm),
            [
                "snapshot",
                "checkpoint",
                "pause",
                "clean_shutdown",
                "clean_reboot",
                "hard_shutdown",
                "hard_reboot",
                "suspend",
                "pool_migrate",
                "migrate_send",
                "changing_dynamic_range",
                "changing_VCPUs_live",
                "metadata_export",
                "sysprep"
            ]
        );
        let vm = machine(&mut db, "Paused", true);
        let paused = [
            "snapshot",
            "checkpoint",
            "unpause",
            "hard_shutdown",
            "hard_reboot",
            "metadata_export",
        ];
        assert_eq!(allowed(&mut db, &vm), paused);
        let vm = machine(&mut db, "Suspended", true);
        assert_eq!(
            allowed(&mut db, &vm),
            [
                "snapshot",
                "checkpoint",
                "hard_shutdown",
                "resume",
                "resume_on",
                "migrate_send",
                "export",
                "metadata_export",
                "destroy"
            ]
        );
    }

    #[test]
    fn a_guest_without_tools_cannot_be_shut_down_cleanly() {
        let mut db = Db::new(1);
        let vm = machine(&mut db, "Running", false);
        let listed = allowed(&mut db, &vm);
        assert!(
            !listed.contains(&"clean_shutdown".to_owned()) && listed.contains(&"hard_shutdown".to_owned())
        );
        assert_eq!(
            check(&db, &vm, "suspend"),
            Err(Fault::new("VM_LACKS_FEATURE", [&*vm]))
        );
    }

    #[test]
    fn faults_name_expected_and_actual_state_in_lower_case() {
        let mut db = Db::new(1);
        let vm = machine(&mut db, "Running", true);
        assert_eq!(
            check(&db, &vm, "start"),
            Err(Fault::new("VM_BAD_POWER_STATE", [&*vm, "halted", "running"]))
        );
        let vm = machine(&mut db, "Running", true);
        assert_eq!(
            check(&db, &vm, "destroy"),
            Err(Fault::new(
                "VM_BAD_POWER_STATE",
                [&*vm, "halted, suspended", "running"]
            ))
        );
    }

    #[test]
    fn hard_shutdown_goes_over_a_clean_one_but_not_the_other_way() {
        let mut db = Db::new(1);
        let vm = machine(&mut db, "Running", true);
        db.set_entry(
            "VM",
            &vm,
            "current_operations",
            "task",
            Some(Value::from("clean_shutdown")),
        );
        assert!(check(&db, &vm, "hard_shutdown").is_ok());
        let fault = check(&db, &vm, "clean_reboot").expect_err("conflict");
        assert_eq!(
            fault.description(),
            [
                "OTHER_OPERATION_IN_PROGRESS",
                "VM",
                &*vm,
                "clean_shutdown",
                "task"
            ]
        );
    }
}
