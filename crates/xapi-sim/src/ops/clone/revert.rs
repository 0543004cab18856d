//! The way back from a VM to its snapshot.

use super::{copy_vdi, row_copy};
use crate::db::Db;
use crate::ops::{Outcome, alerts, lifecycle, power, void};
use crate::rpc::Call;
use crate::value::Value;

pub async fn revert(call: &Call, snapshot: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, snapshot, "revert")?;
            let vm = db.text("VM", snapshot, "snapshot_of");
            db.check("VM", &vm)?;
            lifecycle::check(db, &vm, "reverting")?;
            Ok(vec![
                ("VM", snapshot.to_owned(), "revert"),
                ("VM", vm, "reverting"),
            ])
        })
        .await?;
    call.pass(&marks, 2.0).await?;
    let vm = marks[1].1.clone();
    call.end(&marks, |db| {
        if db.get("VM", &vm, "power_state").str() != "Halted" {
            power::halt(db, &vm);
        }
        revert_disks(db, snapshot, &vm);
        for vif in db.members("VM", &vm, "VIFs") {
            crate::ops::devices::remove(db, "VIF", &vif);
        }
        for vif in db.members("VM", snapshot, "VIFs") {
            row_copy(db, "VIF", &vif, &[("VM", Value::from(&vm))]);
        }
        restore_fields(db, snapshot, &vm);
        db.set("VM", &vm, "parent", snapshot);
        if db.get("VM", snapshot, "power_state").str() == "Suspended" {
            let image = power::suspend_image(db, &vm);
            db.update(
                "VM",
                &vm,
                [
                    ("suspend_VDI", Value::from(image)),
                    ("power_state", Value::from("Suspended")),
                ],
            );
        }
        power::refresh_devices(db, &vm);
        alerts::vm(db, &vm, "VM_SNAPSHOT_REVERTED", "reverted to a snapshot");
    });
    void()
}

/// Every disk of the VM gives way to a clone of the snapshot's; snapshots of the old disk follow to the new one.
fn revert_disks(db: &mut Db, snapshot: &str, vm: &str) {
    let old: Vec<(String, String)> = db
        .members("VM", vm, "VBDs")
        .into_iter()
        .map(|vbd| (db.text("VBD", &vbd, "VDI"), vbd))
        .collect();
    let sources: Vec<String> = db.members("VM", snapshot, "VBDs");
    let snapshotted: Vec<String> = sources
        .iter()
        .map(|vbd| db.text("VDI", db.get("VBD", vbd, "VDI").str(), "snapshot_of"))
        .collect();
    for (_, vbd) in &old {
        crate::ops::devices::remove(db, "VBD", vbd);
    }
    for (vbd, original) in sources.iter().zip(&snapshotted) {
        let disk = db.text("VBD", vbd, "VDI");
        let vdi = match db.get("VBD", vbd, "type").str() == "Disk" && db.exists("VDI", &disk) {
            true => copy_vdi(db, &disk, false, None),
            false => disk,
        };
        row_copy(
            db,
            "VBD",
            vbd,
            &[("VM", Value::from(vm)), ("VDI", Value::from(&vdi))],
        );
        if db.exists("VDI", original) && old.iter().any(|(old, _)| old == original) {
            for of_old in db.members("VDI", original, "snapshots") {
                db.set("VDI", &of_old, "snapshot_of", &vdi);
            }
            crate::ops::storage::forget_disk(db, original);
        }
    }
}

/// What the VM looked like when the snapshot was taken, including its name.
fn restore_fields(db: &mut Db, snapshot: &str, vm: &str) {
    let metadata = db.text("VM", snapshot, "snapshot_metadata");
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap_or_default();
    for field in ["name_label", "name_description"] {
        if let Some(text) = metadata[field].as_str() {
            db.set("VM", vm, field, text);
        }
    }
    for field in [
        "memory_static_min",
        "memory_static_max",
        "memory_dynamic_min",
        "memory_dynamic_max",
        "memory_target",
        "VCPUs_max",
        "VCPUs_at_startup",
        "VCPUs_params",
        "platform",
        "HVM_boot_policy",
        "HVM_boot_params",
        "PV_args",
        "xenstore_data",
        "NVRAM",
        "hardware_platform_version",
        "affinity",
        "recommendations",
        "bios_strings",
    ] {
        let value = db.get("VM", snapshot, field).clone();
        db.set("VM", vm, field, value);
    }
}
