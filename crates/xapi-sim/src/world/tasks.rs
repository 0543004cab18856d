//! What is under way when one looks at a lived-in pool, and what has ended lately.

use super::Ground;
use crate::db::Db;
use crate::pool::PoolConfig;
use crate::value::{NULL_REF, Value};

/// Name, status, progress, error.
const KINDS: [(&str, &str, f64, &[&str]); 6] = [
    ("Async.VM.start", "success", 1.0, &[]),
    ("VM.export", "pending", 0.42, &[]),
    (
        "Async.VM.clean_shutdown",
        "failure",
        1.0,
        &["VM_SHUTDOWN_TIMEOUT", "", "1200.0"],
    ),
    ("Async.VDI.copy", "pending", 0.07, &[]),
    ("Async.VM.pool_migrate", "cancelled", 1.0, &["TASK_CANCELLED", ""]),
    ("Async.VM.snapshot", "success", 1.0, &[]),
];

/// The ended ones stay until the collector comes by, the others until somebody cancels or destroys them.
pub fn build(db: &mut Db, config: &PoolConfig, ground: &Ground) {
    // The collector leaves them for an hour, so they cannot be as old as the rest of the world.
    let hour = db.now() - db.now() % 3600;
    let is_guest = |db: &Db, vm: &crate::db::Ref| {
        !db.get("VM", vm, "is_a_template").bool() && !db.get("VM", vm, "is_control_domain").bool()
    };
    let vms: Vec<_> = db.refs("VM").into_iter().filter(|vm| is_guest(db, vm)).collect();
    for at in 0..config.tasks {
        let (name, status, progress, error) = KINDS[at % KINDS.len()];
        let vm = vms.get(at * 5 % vms.len().max(1));
        let created = hour - 60 * (at as i64 % 60 + 1);
        let task = db.create(
            "task",
            [
                ("name_label", Value::from(name)),
                ("created", Value::Date(created)),
                ("status", Value::from(status)),
                ("progress", Value::Float(progress)),
                ("type", Value::from("<none/>")),
                (
                    "resident_on",
                    Value::from(&*ground.hosts[at % ground.hosts.len()]),
                ),
            ],
        );
        let subject = match (error.first(), vm) {
            (Some(&"TASK_CANCELLED"), _) => &*task,
            (_, Some(vm)) => &**vm,
            (_, None) => NULL_REF,
        };
        let error = error
            .iter()
            .map(|part| if part.is_empty() { subject } else { part });
        let error = Value::set_of(error);
        let result = match (name, status, vm) {
            ("Async.VM.snapshot", "success", Some(vm)) => format!("<value>{vm}</value>"),
            (_, "success", _) => "<value></value>".to_owned(),
            _ => String::new(),
        };
        let fields = match status {
            "pending" => [
                ("allowed_operations", Value::set_of(["cancel"])),
                ("error_info", Value::Set(vec![])),
                ("result", Value::from("")),
                ("finished", Value::Date(0)),
            ],
            _ => [
                ("allowed_operations", Value::Set(vec![])),
                ("error_info", error),
                ("result", Value::from(result)),
                ("finished", Value::Date(created + 45)),
            ],
        };
        db.update("task", &task, fields);
    }
}
