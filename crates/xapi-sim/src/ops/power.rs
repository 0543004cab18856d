//! The power of a VM: start, shut down, reboot, suspend, resume, pause, migrate, and the checks around them.

mod placement;
mod records;

use super::{Outcome, alerts, lifecycle, void};
use crate::fault::Fault;
use crate::ops::Mark;
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

pub use placement::assert_can_boot_here;
use placement::{assert_agile, place};
pub use records::{boot, change_host, freeze, halt, refresh_devices, suspend_image};
use records::{create_console, destroy_consoles, forget_guest, next_domid, report_guest, suspend_sr};

pub const MESSAGES: &[&str] = &[
    "start",
    "start_on",
    "clean_shutdown",
    "hard_shutdown",
    "shutdown",
    "clean_reboot",
    "hard_reboot",
    "suspend",
    "resume",
    "resume_on",
    "pause",
    "unpause",
    "pool_migrate",
    "power_state_reset",
    "assert_can_boot_here",
    "assert_operation_valid",
    "assert_agile",
    "get_possible_hosts",
    "update_allowed_operations",
];

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let vm = p.first().map_or("", Value::str);
    match name {
        "start" => start(call, vm, None, "start", p[1].bool()).await?,
        "start_on" => start(call, vm, Some(p[1].str()), "start_on", p[2].bool()).await?,
        "resume" => start(call, vm, None, "resume", p[1].bool()).await?,
        "resume_on" => start(call, vm, Some(p[1].str()), "resume_on", p[2].bool()).await?,
        "clean_shutdown" => stop(call, vm, "clean_shutdown", 3.0).await?,
        "hard_shutdown" => stop(call, vm, "hard_shutdown", 0.5).await?,
        "shutdown" => match stop(call, vm, "clean_shutdown", 3.0).await {
            Err(fault) if fault.code == "VM_LACKS_FEATURE" => stop(call, vm, "hard_shutdown", 0.5).await?,
            result => result?,
        },
        "clean_reboot" => reboot(call, vm, "clean_reboot", 4.0).await?,
        "hard_reboot" => reboot(call, vm, "hard_reboot", 1.0).await?,
        "suspend" => suspend(call, vm).await?,
        "pause" => switch(call, vm, "pause", "Paused", "VM_PAUSED", "paused").await?,
        "unpause" => switch(call, vm, "unpause", "Running", "VM_UNPAUSED", "unpaused").await?,
        "pool_migrate" => migrate(call, vm, p[1].str()).await?,
        "power_state_reset" => call.write(|db| {
            db.check("VM", vm)?;
            if db.get("VM", vm, "is_control_domain").bool() {
                return Err(Fault::new("CANNOT_RESET_CONTROL_DOMAIN", [vm]));
            }
            lifecycle::check(db, vm, "power_state_reset")?;
            // Only for what a dead host has left behind.
            let host = db.text("VM", vm, "resident_on");
            let domain = db.get("VM", vm, "domid").int();
            if host == db.master() && domain > 0 {
                return Err(Fault::new("DOMAIN_EXISTS", [vm, &domain.to_string()]));
            }
            let metrics = db.text("host", &host, "metrics");
            if db.get("host_metrics", &metrics, "live").bool() {
                return Err(Fault::new("HOST_IS_LIVE", [host]));
            }
            halt(db, vm);
            lifecycle::refresh(db, "VM", vm);
            Ok(())
        })?,
        "assert_can_boot_here" => assert_can_boot_here(&call.pool.db(), vm, p[1].str())?,
        "assert_operation_valid" => lifecycle::check(&call.pool.db(), vm, p[1].str())?,
        "assert_agile" => assert_agile(&call.pool.db(), vm)?,
        "update_allowed_operations" => call.write(|db| lifecycle::refresh(db, "VM", vm)),
        "get_possible_hosts" => {
            let db = call.pool.db();
            db.check("VM", vm)?;
            let hosts = db
                .refs("host")
                .into_iter()
                .filter(|host| assert_can_boot_here(&db, vm, host).is_ok());
            return Ok(Some(
                hosts.map(|host| Value::from(&*host)).collect::<Vec<_>>().into(),
            ));
        }
        _ => return Ok(None),
    }
    void()
}

async fn start(
    call: &Call,
    vm: &str,
    on: Option<&str>,
    operation: &'static str,
    paused: bool,
) -> Result<(), Fault> {
    let resuming = operation.starts_with("resume");
    let host_operation = if resuming { "vm_resume" } else { "vm_start" };
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            let host = place(db, vm, on)?;
            let mut marks: Vec<Mark> = vec![("VM", vm.to_owned(), operation)];
            marks.extend(
                db.members("VM", vm, "VBDs")
                    .into_iter()
                    .map(|vbd| ("VBD", vbd, "attach")),
            );
            marks.extend(
                db.members("VM", vm, "VIFs")
                    .into_iter()
                    .map(|vif| ("VIF", vif, "attach")),
            );
            marks.push(("host", host, host_operation));
            Ok(marks)
        })
        .await?;
    let host = marks.last().map(|(_, host, _)| host.clone()).unwrap_or_default();
    call.write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", &host));
    if let Err(fault) = call.pass(&marks, if resuming { 3.0 } else { 1.5 }).await {
        call.write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", NULL_REF));
        return Err(fault);
    }
    let old_guest = call.end(&marks, |db| {
        // A hard shutdown may have overtaken the resumption; it cancels it.
        let expected = if resuming { "Suspended" } else { "Halted" };
        if db.get("VM", vm, "power_state").str() != expected {
            return Err(Fault::new("TASK_CANCELLED", [&*call.task]));
        }
        let old_guest = if resuming {
            None
        } else {
            Some(forget_guest(db, vm))
        };
        boot(db, vm, &host, paused);
        if resuming {
            let image = db.text("VM", vm, "suspend_VDI");
            db.set("VM", vm, "suspend_VDI", NULL_REF);
            super::storage::forget_disk(db, &image);
            alerts::vm(db, vm, "VM_RESUMED", "resumed");
        } else {
            alerts::vm(db, vm, "VM_STARTED", "started");
        }
        refresh_devices(db, vm);
        Ok(old_guest)
    })?;
    if let Some(old_guest) = old_guest {
        report_guest(call, vm, old_guest);
    }
    Ok(())
}

async fn stop(call: &Call, vm: &str, operation: &'static str, seconds: f64) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, seconds).await?;
    call.end(&marks, |db| {
        // A hard shutdown may have overtaken a clean one.
        if db.get("VM", vm, "power_state").str() != "Halted" {
            alerts::vm(db, vm, "VM_SHUTDOWN", "shut down");
            halt(db, vm);
        }
    });
    Ok(())
}

async fn reboot(call: &Call, vm: &str, operation: &'static str, seconds: f64) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, seconds).await?;
    let old_guest = call.end(&marks, |db| {
        // Something that was under way before may have ended meanwhile.
        if !matches!(db.get("VM", vm, "power_state").str(), "Running" | "Paused") {
            return None;
        }
        let old_guest = forget_guest(db, vm);
        let domid = next_domid(db);
        let metrics = db.text("VM", vm, "metrics");
        db.update(
            "VM",
            vm,
            [
                ("domid", Value::Int(domid)),
                ("power_state", Value::from("Running")),
            ],
        );
        db.set("VM_metrics", &metrics, "start_time", Value::Date(db.now()));
        destroy_consoles(db, vm);
        create_console(db, vm);
        alerts::vm(db, vm, "VM_REBOOTED", "rebooted");
        Some(old_guest)
    });
    if let Some(old_guest) = old_guest {
        report_guest(call, vm, old_guest);
    }
    Ok(())
}

async fn suspend(call: &Call, vm: &str) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "suspend")?;
            if suspend_sr(db, vm).is_none() {
                return Err(Fault::new("VM_NO_SUSPEND_SR", [vm]));
            }
            Ok(vec![("VM", vm.to_owned(), "suspend")])
        })
        .await?;
    call.pass(&marks, 3.0).await?;
    call.end(&marks, |db| {
        if db.get("VM", vm, "power_state").str() != "Running" {
            return;
        }
        alerts::vm(db, vm, "VM_SUSPENDED", "suspended");
        freeze(db, vm);
        refresh_devices(db, vm);
    });
    Ok(())
}

async fn switch(
    call: &Call,
    vm: &str,
    operation: &'static str,
    state: &str,
    alert: &str,
    what: &str,
) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, operation)?;
            Ok(vec![("VM", vm.to_owned(), operation)])
        })
        .await?;
    call.pass(&marks, 0.2).await?;
    call.end(&marks, |db| {
        if matches!(db.get("VM", vm, "power_state").str(), "Running" | "Paused") {
            db.set("VM", vm, "power_state", state);
            refresh_devices(db, vm);
            alerts::vm(db, vm, alert, what);
        }
    });
    Ok(())
}

async fn migrate(call: &Call, vm: &str, host: &str) -> Result<(), Fault> {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "pool_migrate")?;
            if db.text("VM", vm, "resident_on") != host {
                assert_can_boot_here(db, vm, host)?;
            }
            Ok(vec![
                ("VM", vm.to_owned(), "pool_migrate"),
                ("host", host.to_owned(), "vm_migrate"),
            ])
        })
        .await?;
    call.write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", host));
    let worked = call.pass(&marks, 5.0).await;
    call.write(|db| db.set("VM", vm, "scheduled_to_be_resident_on", NULL_REF));
    worked?;
    call.end(&marks, |db| {
        if db.get("VM", vm, "power_state").str() != "Running" {
            return;
        }
        change_host(db, vm, host);
    });
    Ok(())
}
