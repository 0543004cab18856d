//! Where a VM can run.

use super::records::memory;
use crate::db::Db;
use crate::fault::Fault;

/// The host to run on: the one asked for, else affinity, else the one with most free memory.
pub fn place(db: &Db, vm: &str, on: Option<&str>) -> Result<String, Fault> {
    if let Some(host) = on {
        return assert_can_boot_here(db, vm, host).map(|()| host.to_owned());
    }
    let affinity = db.text("VM", vm, "affinity");
    if assert_can_boot_here(db, vm, &affinity).is_ok() {
        return Ok(affinity);
    }
    let hosts = db
        .refs("host")
        .into_iter()
        .filter(|host| assert_can_boot_here(db, vm, host).is_ok());
    let free = |host: &str| {
        db.get(
            "host_metrics",
            db.get("host", host, "metrics").str(),
            "memory_free",
        )
        .int()
    };
    let best = hosts.max_by_key(|host| free(host));
    best.map(|host| host.to_string())
        .ok_or_else(|| Fault::bare("NO_HOSTS_AVAILABLE"))
}

pub fn assert_can_boot_here(db: &Db, vm: &str, host: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    db.check("host", host)?;
    let metrics = db.text("host", host, "metrics");
    if !db.get("host_metrics", &metrics, "live").bool() {
        return Err(Fault::new("HOST_OFFLINE", [host]));
    }
    if !db.get("host", host, "enabled").bool() {
        return Err(Fault::new("HOST_DISABLED", [host]));
    }
    for vbd in db.get("VM", vm, "VBDs").set() {
        let sr = db.text("VDI", db.get("VBD", vbd.str(), "VDI").str(), "SR");
        if db.exists("SR", &sr) && !plugged(db, &sr, host) {
            return Err(Fault::new("VM_REQUIRES_SR", [vm, &sr]));
        }
    }
    let (needed, free) = (
        memory(db, vm),
        db.get("host_metrics", &metrics, "memory_free").int(),
    );
    if needed > free {
        return Err(Fault::new(
            "HOST_NOT_ENOUGH_FREE_MEMORY",
            [needed.to_string(), free.to_string()],
        ));
    }
    Ok(())
}

fn plugged(db: &Db, sr: &str, host: &str) -> bool {
    db.get("SR", sr, "PBDs").set().iter().any(|pbd| {
        db.get("PBD", pbd.str(), "host").str() == host
            && db.get("PBD", pbd.str(), "currently_attached").bool()
    })
}

pub fn assert_agile(db: &Db, vm: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    for vbd in db.get("VM", vm, "VBDs").set() {
        let sr = db.text("VDI", db.get("VBD", vbd.str(), "VDI").str(), "SR");
        if db.exists("SR", &sr) && !db.get("SR", &sr, "shared").bool() {
            return Err(Fault::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
        }
    }
    Ok(())
}
