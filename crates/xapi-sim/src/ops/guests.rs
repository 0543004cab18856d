//! Rare things that guests go through: sleep, copies with their memory, preparation of Windows for cloning, and what
//! older releases called by other names.

use super::{Outcome, clone, lifecycle, power, void};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "VM.csvm",
    "VM.pool_migrate_complete",
    "VM.s3_suspend",
    "VM.s3_resume",
    "VM.update_snapshot_metadata",
    "VM.import_convert",
    "VM.import",
    "VM.sysprep",
    "SR.make",
    "LVHD.enable_thin_provisioning",
];

/// How long Windows takes to prepare itself, at time scale 1.
const SYSPREP_SECONDS: f64 = 60.0;

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("VM", "csvm") => {
            let marks = call
                .begin(|db| {
                    lifecycle::check(db, this, "csvm")?;
                    Ok(vec![("VM", this.to_owned(), "csvm")])
                })
                .await?;
            call.pass(&marks, 3.0).await?;
            let made = call.end(&marks, |db| {
                let label = db.text("VM", this, "name_label");
                let made = clone::duplicate(db, this, "clone", &label, None, &[]);
                // Its memory comes along.
                let image = power::suspend_image(db, &made);
                db.set("VM", &made, "suspend_VDI", image);
                db.set("VM", &made, "power_state", "Suspended");
                power::refresh_devices(db, &made);
                lifecycle::refresh(db, "VM", &made);
                made
            });
            Ok(Some(Value::from(made)))
        }
        // The records say it already when the host has the guest; else it is still on its way.
        ("VM", "pool_migrate_complete") => {
            let db = call.pool.db();
            db.check("VM", this)?;
            db.check("host", p[1].str())?;
            void()
        }
        // A sleeping guest runs: no record tells.
        ("VM", "s3_suspend" | "s3_resume") => {
            {
                let db = call.pool.db();
                lifecycle::check(&db, this, "pause")?;
                if db.text("VM", this, "domain_type") == "pv" {
                    return Err(Fault::new("VM_HVM_REQUIRED", [this]));
                }
                lifecycle::check(&db, this, "suspend")?;
            }
            call.work(1.0).await?;
            void()
        }
        ("VM", "update_snapshot_metadata") => call.write(|db| {
            db.check("VM", this)?;
            db.check("VM", p[1].str())?;
            let state = db.text("VM", this, "power_state").to_lowercase();
            if state != "halted" {
                return Err(Fault::new("VM_BAD_POWER_STATE", [this, "halted", &state]));
            }
            db.update(
                "VM",
                this,
                [
                    ("is_a_snapshot", Value::Bool(true)),
                    ("is_a_template", Value::Bool(true)),
                    ("snapshot_of", p[1].clone()),
                    ("snapshot_time", p[2].clone()),
                    ("transportable_snapshot_id", p[3].clone()),
                ],
            );
            lifecycle::refresh(db, "VM", this);
            void()
        }),
        // The converter is a plugin of its own product.
        ("VM", "import_convert") => {
            call.pool.db().check("SR", p[3].str())?;
            Err(Fault::new("XENAPI_MISSING_PLUGIN", ["conversion"]))
        }
        ("VM", "import") => crate::streams::fetch::import(call, p).await.map(Some),
        ("VM", "sysprep") => sysprep(call, this, p[1].str(), p[2].float()).await,
        ("SR", "make") => Err(Fault::bare("MESSAGE_DEPRECATED")),
        ("LVHD", _) => call.write(|db| {
            let (sr, sizes) = (
                p[1].str(),
                [
                    ("initial_allocation", p[2].int()),
                    ("allocation_quantum", p[3].int()),
                ],
            );
            db.check("host", this)?;
            db.check("SR", sr)?;
            if !db.text("SR", sr, "type").starts_with("lvm") {
                return Err(Fault::new("SR_OPERATION_NOT_SUPPORTED", [sr]));
            }
            if let Some((name, size)) = sizes.iter().find(|(_, size)| *size <= 0) {
                return Err(Fault::invalid_value(name, size.to_string()));
            }
            db.set_entry("SR", sr, "sm_config", "allocation", Some(Value::from("xlvhd")));
            for (name, size) in sizes {
                db.set_entry("SR", sr, "sm_config", name, Some(Value::from(size.to_string())));
            }
            Ok(Some(Value::void()))
        }),
        _ => Ok(None),
    }
}

/// Windows prepares itself and starts again.
async fn sysprep(call: &Call, vm: &str, unattend: &str, timeout: f64) -> Outcome {
    let failed = |why: &str| Err(Fault::new("SYSPREP", [vm, why]));
    let is_windows = |call: &Call| {
        let db = call.pool.db();
        let guest = db.text("VM", vm, "guest_metrics");
        let system = db
            .get("VM_guest_metrics", &guest, "os_version")
            .text("name")
            .to_lowercase();
        system.contains("windows")
    };
    lifecycle::check(&call.pool.db(), vm, "sysprep")?;
    if unattend.trim().is_empty() {
        return failed("the unattended answers are empty");
    }
    if !is_windows(call) {
        return failed("the guest does not run Windows with its tools");
    }
    if timeout < SYSPREP_SECONDS {
        return failed("the guest did not restart in time");
    }
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "sysprep")?;
            Ok(vec![("VM", vm.to_owned(), "sysprep")])
        })
        .await?;
    call.pass(&marks, SYSPREP_SECONDS).await?;
    call.end(&marks, |_| ());
    power::run(call, "hard_reboot", &[Value::from(vm)]).await
}
