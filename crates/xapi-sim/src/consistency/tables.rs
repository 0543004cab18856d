//! What objects must and must not list as allowed, written down by hand from XAPI's rules. It shares nothing with the
//! code that computes `allowed_operations`: where the two disagree, one of them is wrong.

use crate::db::Db;

/// Never listed, in whatever state (the last two belong to no state at all).
const NEVER: [&str; 19] = [
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

/// A machine with no guest in it that is asked, or none that answers, cannot do these.
const NEED_GUEST: [&str; 7] = [
    "clean_shutdown",
    "clean_reboot",
    "suspend",
    "checkpoint",
    "pool_migrate",
    "migrate_send",
    "changing_VCPUs_live",
];

/// What is listed while nothing is under way: always, and in the right circumstances.
struct Rule {
    must: &'static [&'static str],
    may: &'static [&'static str],
}

const HALTED: Rule = Rule {
    must: &[
        "clone",
        "copy",
        "start",
        "start_on",
        "changing_dynamic_range",
        "changing_static_range",
        "changing_shadow_memory",
        "changing_NVRAM",
        "export",
        "metadata_export",
        "destroy",
    ],
    may: &["snapshot", "migrate_send", "make_into_template", "create_vtpm"],
};
const RUNNING: Rule = Rule {
    must: &[
        "pause",
        "hard_shutdown",
        "hard_reboot",
        "changing_dynamic_range",
        "metadata_export",
    ],
    may: &[
        "snapshot",
        "checkpoint",
        "clean_shutdown",
        "clean_reboot",
        "suspend",
        "pool_migrate",
        "migrate_send",
        "changing_VCPUs_live",
        "sysprep",
    ],
};
const PAUSED: Rule = Rule {
    must: &["unpause", "hard_shutdown", "hard_reboot", "metadata_export"],
    may: &["snapshot", "checkpoint"],
};
const SUSPENDED: Rule = Rule {
    must: &[
        "hard_shutdown",
        "resume",
        "resume_on",
        "export",
        "metadata_export",
        "destroy",
    ],
    // Clones where the pool allows clones of suspended machines.
    may: &["snapshot", "checkpoint", "migrate_send", "clone", "copy"],
};
const TEMPLATE: Rule = Rule {
    must: &[
        "clone",
        "copy",
        "provision",
        "changing_dynamic_range",
        "changing_static_range",
        "changing_shadow_memory",
        "changing_NVRAM",
        "export",
        "metadata_export",
        "destroy",
    ],
    may: &["migrate_send"],
};
const BUILT_IN: Rule = Rule {
    must: &[
        "clone",
        "copy",
        "provision",
        "changing_dynamic_range",
        "changing_static_range",
        "changing_shadow_memory",
        "changing_NVRAM",
        "export",
        "metadata_export",
    ],
    may: &[],
};
const SNAPSHOT: Rule = Rule {
    must: &["clone", "copy", "revert", "export", "metadata_export", "destroy"],
    may: &[],
};
const CHECKPOINT: Rule = Rule {
    must: &[
        "clone",
        "copy",
        "revert",
        "export",
        "metadata_export",
        "destroy",
        "hard_shutdown",
    ],
    may: &[],
};
const CONTROL_DOMAIN: Rule = Rule {
    must: &[
        "changing_dynamic_range",
        "metadata_export",
        "changing_static_range",
    ],
    may: &[],
};

/// Every breach of the tables, in words.
pub fn breaches(db: &Db) -> Vec<String> {
    let mut found = Vec::new();
    for (class, check) in [
        ("VM", vm as fn(&Db, &str) -> Vec<String>),
        ("VBD", vbd),
        ("VIF", vif),
        ("VDI", vdi),
    ] {
        for reference in db.refs(class) {
            let told = check(db, &reference).into_iter();
            found.extend(told.map(|what| format!("{class} {reference} {what}")));
        }
    }
    found
}

/// What an object lists, against what it must and must not.
struct Listed(Vec<String>, Vec<String>);

impl Listed {
    fn of(db: &Db, class: &str, reference: &str) -> Listed {
        Listed(db.members(class, reference, "allowed_operations"), Vec::new())
    }

    fn must(&mut self, holds: bool, operations: &[&str], why: &str) {
        for operation in operations {
            if holds && !self.0.iter().any(|listed| listed == operation) {
                self.1.push(format!("does not allow {operation}, although {why}"));
            }
        }
    }

    fn must_not(&mut self, holds: bool, operations: &[&str], why: &str) {
        for operation in operations {
            if holds && self.0.iter().any(|listed| listed == operation) {
                self.1.push(format!("allows {operation}, although {why}"));
            }
        }
    }
}

fn vm(db: &Db, this: &str) -> Vec<String> {
    let flag = |field: &str| db.get("VM", this, field).bool();
    let state = db.get("VM", this, "power_state").str();
    let (kind, rule) = match state {
        _ if flag("is_control_domain") => ("a control domain", CONTROL_DOMAIN),
        "Suspended" if flag("is_a_snapshot") => ("a checkpoint", CHECKPOINT),
        _ if flag("is_a_snapshot") => ("a snapshot", SNAPSHOT),
        _ if flag("is_a_template") && flag("is_default_template") => ("a built-in template", BUILT_IN),
        _ if flag("is_a_template") => ("a template", TEMPLATE),
        "Halted" => ("halted", HALTED),
        "Running" => ("running", RUNNING),
        "Paused" => ("paused", PAUSED),
        _ => ("suspended", SUSPENDED),
    };
    let mut listed = Listed::of(db, "VM", this);
    let why = format!("it is {kind}");
    let idle = db.get("VM", this, "current_operations").map().is_empty();
    let blocked = db.get("VM", this, "blocked_operations");
    let expected: Vec<&str> = rule
        .must
        .iter()
        .copied()
        .filter(|op| blocked.entry(op).is_none())
        .collect();
    listed.must(idle, &expected, &why);
    let others: Vec<String> = listed.0.clone();
    let others: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .filter(|op| !rule.must.contains(op) && !rule.may.contains(op))
        .collect();
    listed.must_not(true, &others, &why);
    listed.must_not(true, &NEVER, "it is never listed");
    let blocked: Vec<&str> = blocked.map().iter().map(|(operation, _)| &**operation).collect();
    listed.must_not(true, &blocked, "it is blocked");
    let metrics = db.get("VM", this, "guest_metrics").str();
    let hvm = !db.get("VM", this, "HVM_boot_policy").str().is_empty();
    let tools = db.get("VM_guest_metrics", metrics, "PV_drivers_detected").bool();
    let says_so = db.get("VM_guest_metrics", metrics, "other").map().iter();
    let says_so = says_so
        .filter(|(key, value)| key.starts_with("feature-") && value.str() == "1")
        .count()
        > 0;
    let deaf = hvm && !tools && !says_so;
    listed.must_not(state == "Running" && deaf, &NEED_GUEST, "its guest has no tools");
    let answers = idle && state == "Running" && kind == "running" && tools;
    let asked: Vec<&str> = ["clean_shutdown", "clean_reboot", "changing_VCPUs_live"]
        .into_iter()
        .filter(|op| !blocked.contains(op))
        .collect();
    listed.must(answers, &asked, "its guest has tools");
    let passes_through = ["attached_PCIs", "VGPUs", "VUSBs"]
        .iter()
        .any(|field| !db.get("VM", this, field).set().is_empty());
    let immobile = ["nomigrate", "nested-virt"]
        .iter()
        .any(|key| db.get("VM", this, "platform").text(key) == "true");
    let moves = ["suspend", "checkpoint", "pool_migrate", "migrate_send"];
    listed.must_not(
        state == "Running" && passes_through,
        &moves,
        "a device of the host is in it",
    );
    listed.must_not(immobile, &moves, "it is immobile");
    let forgets = db.get("VM", this, "VBDs").set().iter().any(|vbd| {
        let vdi = db.get("VBD", vbd.str(), "VDI").str();
        db.get("VDI", vdi, "on_boot").str() == "reset"
    });
    let kept = ["snapshot", "checkpoint", "suspend"];
    listed.must_not(forgets, &kept, "a disk of it forgets");
    listed.must(
        idle && !forgets && kind == "halted" && !blocked.contains(&"snapshot"),
        &["snapshot"],
        "it is halted and keeps its disks",
    );
    listed.1
}

/// The machine that a device is in: its power state, whether it is HVM, and whether its guest takes part.
fn machine<'a>(db: &'a Db, class: &str, device: &str, hotplug: &str) -> (&'a str, bool, bool) {
    let vm = db.get(class, device, "VM").str().to_owned();
    let metrics = db.get("VM", &vm, "guest_metrics").str();
    (
        db.get("VM", &vm, "power_state").str(),
        !db.get("VM", &vm, "HVM_boot_policy").str().is_empty(),
        db.get("VM_guest_metrics", metrics, hotplug).str() == "yes",
    )
}

fn vbd(db: &Db, this: &str) -> Vec<String> {
    let (state, hvm, guest) = machine(db, "VBD", this, "can_use_hotplug_vbd");
    let flag = |field: &str| db.get("VBD", this, field).bool();
    let is_cd = db.get("VBD", this, "type").str() == "CD";
    let (attached, empty) = (flag("currently_attached"), flag("empty"));
    let idle = db.get("VBD", this, "current_operations").map().is_empty();
    let mut listed = Listed::of(db, "VBD", this);
    let (comes, goes) = (["plug"], ["unplug", "unplug_force"]);
    listed.must_not(!is_cd, &["insert", "eject"], "it is no drive");
    listed.must_not(empty, &["eject"], "it is empty");
    listed.must_not(!empty, &["insert"], "it is not empty");
    listed.must_not(state == "Suspended", &["insert", "eject"], "its VM is suspended");
    listed.must(
        idle && is_cd && !empty && state != "Suspended",
        &["eject"],
        "there is a disc in it",
    );
    listed.must(
        idle && is_cd && empty && state != "Suspended",
        &["insert"],
        "it is empty",
    );
    listed.must_not(attached, &comes, "it is attached");
    listed.must_not(!attached, &goes, "it is not attached");
    for operations in [&comes[..], &goes[..]] {
        listed.must_not(state != "Running", operations, "its VM does not run");
        listed.must_not(
            hvm && is_cd,
            operations,
            "it is a drive of a machine with firmware",
        );
        listed.must_not(hvm && !guest, operations, "the guest does not take part");
    }
    let plugs = idle && state == "Running" && !is_cd && (guest || !hvm);
    listed.must(plugs && attached, &["unplug"], "its guest takes part");
    listed.must(plugs && !attached, &["plug"], "its guest takes part");
    listed.1
}

fn vif(db: &Db, this: &str) -> Vec<String> {
    let (state, hvm, guest) = machine(db, "VIF", this, "can_use_hotplug_vif");
    let attached = db.get("VIF", this, "currently_attached").bool();
    let idle = db.get("VIF", this, "current_operations").map().is_empty();
    let mut listed = Listed::of(db, "VIF", this);
    listed.must_not(attached, &["plug"], "it is attached");
    listed.must_not(!attached, &["unplug", "unplug_force"], "it is not attached");
    let both = ["plug", "unplug", "unplug_force"];
    listed.must_not(state != "Running", &both, "its VM does not run");
    listed.must_not(hvm && !guest, &both, "the guest does not take part");
    let plugs = idle && state == "Running" && (guest || !hvm);
    listed.must(plugs && attached, &["unplug"], "its guest takes part");
    listed.must(plugs && !attached, &["plug"], "its guest takes part");
    listed.1
}

fn vdi(db: &Db, this: &str) -> Vec<String> {
    const SHOWN: [&str; 9] = [
        "clone",
        "copy",
        "resize",
        "resize_online",
        "snapshot",
        "destroy",
        "forget",
        "update",
        "generate_config",
    ];
    let sr = db.get("VDI", this, "SR").str();
    let kind = db.get("SR", sr, "type").str();
    let attached = db
        .get("VDI", this, "VBDs")
        .set()
        .iter()
        .any(|vbd| db.get("VBD", vbd.str(), "currently_attached").bool());
    let current = db.get("VDI", this, "current_operations").map();
    let plugged = db
        .get("SR", sr, "PBDs")
        .set()
        .iter()
        .any(|pbd| db.get("PBD", pbd.str(), "currently_attached").bool());
    let protects = db.get("pool", &db.pool(), "ha_enabled").bool()
        && db.get("pool", &db.pool(), "ha_statefiles").contains(this);
    let mut listed = Listed::of(db, "VDI", this);
    let others: Vec<String> = listed.0.clone();
    let others: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .filter(|operation| !SHOWN.contains(operation))
        .collect();
    listed.must_not(true, &others, "it is never listed");
    let busy = current.iter().any(|(_, operation)| operation.str() != "copy");
    listed.must_not(busy, &SHOWN, "something else is under way");
    let offline = ["resize", "destroy", "forget", "update", "generate_config"];
    listed.must_not(attached, &offline, "it is in use");
    listed.must_not(
        !plugged,
        &["resize", "resize_online"],
        "its storage is not plugged",
    );
    listed.must_not(kind == "udev", &["destroy"], "it is a device");
    listed.must_not(
        db.get("SR", sr, "is_tools_sr").bool(),
        &["destroy"],
        "it is the tools' disc",
    );
    listed.must_not(protects, &["destroy"], "high availability needs it");
    let is_disk = !busy && !matches!(kind, "iso" | "udev");
    listed.must(is_disk, &["clone", "snapshot"], "it is a disk");
    let idle = ["copy", "forget", "update", "generate_config"];
    listed.must(is_disk && !attached, &idle, "it is a disk that is not in use");
    listed.must(
        is_disk && !attached && plugged,
        &["resize"],
        "its storage is plugged",
    );
    listed.must(
        is_disk && !attached && !protects,
        &["destroy"],
        "nothing needs it",
    );
    listed.1
}
