use super::{check, refresh};
use crate::db::{Db, Ref};
use crate::fault::Fault;
use crate::value::Value;

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
    assert!(!listed.contains(&"clean_shutdown".to_owned()) && listed.contains(&"hard_shutdown".to_owned()));
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

#[test]
fn disks_that_forget_appliances_and_clones_of_the_suspended() {
    let mut db = Db::new(1);
    let pool = db.create("pool", []);
    let vm = machine(&mut db, "Running", true);
    let vdi = db.create("VDI", [("on_boot", Value::from("reset"))]);
    db.create("VBD", [("VM", Value::from(&*vm)), ("VDI", Value::from(&*vdi))]);
    for operation in ["snapshot", "checkpoint", "suspend"] {
        let fault = check(&db, &vm, operation).expect_err(operation);
        assert_eq!(
            fault.description(),
            ["VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION"]
        );
    }
    assert_eq!(check(&db, &vm, "clean_reboot"), Ok(()));
    let vm = machine(&mut db, "Halted", true);
    let appliance = db.create("VM_appliance", []);
    db.set("VM", &vm, "appliance", &*appliance);
    let fault = check(&db, &vm, "make_into_template").expect_err("assigned");
    assert_eq!(
        fault.description(),
        ["VM_IS_PART_OF_AN_APPLIANCE", &vm, &appliance]
    );
    let vm = machine(&mut db, "Suspended", true);
    assert!(check(&db, &vm, "clone").is_err());
    db.set_entry(
        "pool",
        &pool,
        "other_config",
        "allow_clone_suspended_vm",
        Some(Value::from("true")),
    );
    assert_eq!(check(&db, &vm, "clone"), Ok(()));
}

#[test]
fn who_cannot_move_is_not_offered_to() {
    let mut db = Db::new(1);
    let vm = machine(&mut db, "Running", true);
    assert!(allowed(&mut db, &vm).contains(&"pool_migrate".to_owned()));
    db.set_entry("VM", &vm, "platform", "nomigrate", Some(Value::from("true")));
    let listed = allowed(&mut db, &vm);
    assert!(
        ["pool_migrate", "migrate_send", "suspend", "checkpoint"]
            .iter()
            .all(|op| !listed.contains(&(*op).to_owned()))
    );
    // Advice only.
    assert_eq!(check(&db, &vm, "pool_migrate"), Ok(()));
}
