//! Schedules of snapshots: what one makes when it is time, here when somebody asks.

use super::{Outcome, alerts, clone, lifecycle, storage, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &["VMSS.snapshot_now", "VMSS.set_retained_snapshots"];

/// How many snapshots of a guest a schedule may keep.
const KEPT: std::ops::RangeInclusive<i64> = 1..=10;

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("VMSS", "snapshot_now") => {
            call.pool.db().check("VMSS", this)?;
            call.work(1.0).await?;
            call.write(|db| snapshot_all(db, this))
        }
        ("VMSS", "create") => {
            check_kept(p[0].entry("retained_snapshots").map(Value::int))?;
            super::records::create(call, crate::db::class("VMSS"), &p[0]).map(Some)
        }
        ("VMSS", "set_retained_snapshots") => call.write(|db| {
            db.check("VMSS", this)?;
            check_kept(Some(p[1].int()))?;
            db.set("VMSS", this, "retained_snapshots", p[1].clone());
            void()
        }),
        ("VMSS", "destroy") => call.write(|db| {
            db.check("VMSS", this)?;
            if !db.get("VMSS", this, "VMs").set().is_empty() {
                return Err(Fault::bare("VMSS_HAS_VM"));
            }
            db.destroy("VMSS", this);
            void()
        }),
        _ => Ok(None),
    }
}

fn check_kept(count: Option<i64>) -> Result<(), Fault> {
    match count.filter(|count| !KEPT.contains(count)) {
        Some(count) => Err(Fault::invalid_value("retained_snapshots", count.to_string())),
        None => Ok(()),
    }
}

/// A snapshot of each guest; those that cannot be taken are told of, and the oldest go.
fn snapshot_all(db: &mut Db, schedule: &str) -> Outcome {
    let (label, uuid) = (
        db.text("VMSS", schedule, "name_label"),
        db.text("VMSS", schedule, "uuid"),
    );
    let keeps_memory = db.text("VMSS", schedule, "type") == "checkpoint";
    let kept = db.get("VMSS", schedule, "retained_snapshots").int().max(1) as usize;
    let now = db.now();
    db.set("VMSS", schedule, "last_run_time", Value::Date(now));
    for vm in db.members("VMSS", schedule, "VMs") {
        let running = db.text("VM", &vm, "power_state") == "Running";
        let operation = if keeps_memory && running {
            "checkpoint"
        } else {
            "snapshot"
        };
        let name = db.text("VM", &vm, "name_label");
        if let Err(fault) = lifecycle::check(db, &vm, operation) {
            let body = format!("Snapshot of VM '{name}' by schedule '{label}' failed: {fault}");
            alerts::create(db, "VMSS_SNAPSHOT_FAILED", 3, "VMSS", &uuid, body);
            continue;
        }
        let named = format!("{label}-{name}-{}", crate::clock::basic(now));
        let made = clone::duplicate(db, &vm, operation, &named, None, &[]);
        db.set("VM", &made, "is_vmss_snapshot", true);
        lifecycle::refresh(db, "VM", &made);
        prune(db, &vm, kept);
        let body = format!("Snapshot of VM '{name}' by schedule '{label}' succeeded");
        alerts::create(db, "VMSS_SNAPSHOT_SUCCEEDED", 5, "VMSS", &uuid, body);
    }
    Ok(Some(Value::void()))
}

/// Snapshots that people made stay.
fn prune(db: &mut Db, vm: &str, kept: usize) {
    let made = db.members("VM", vm, "snapshots").into_iter();
    let made: Vec<String> = made
        .filter(|snapshot| db.get("VM", snapshot, "is_vmss_snapshot").bool())
        .collect();
    for snapshot in &made[..made.len().saturating_sub(kept)] {
        let disks = super::migrate::disks(db, snapshot);
        clone::remove(db, snapshot);
        for disk in disks {
            storage::forget_disk(db, &disk);
        }
    }
}
