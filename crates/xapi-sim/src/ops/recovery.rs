//! After a disaster: guests and appliances of an opened database come to life in the pool that opened it.

use std::sync::Arc;

use super::transplant::Luggage;
use super::{Outcome, clone, lifecycle, migrate, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::pool::Shared;
use crate::rpc::{Call, sessions};
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "VM.assert_can_be_recovered",
    "VM.get_SRs_required_for_recovery",
    "VM.recover",
    "VM_appliance.assert_can_be_recovered",
    "VM_appliance.get_SRs_required_for_recovery",
    "VM_appliance.recover",
];

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    if !MESSAGES.contains(&&*format!("{class}.{name}")) {
        return Ok(None);
    }
    let (this, there) = (p[0].str(), call.pool.home());
    sessions::check(&there.db(), p[1].str())?;
    let (vms, appliance) = {
        let db = call.pool.db();
        db.check(class, this)?;
        match class {
            "VM" => (vec![this.to_owned()], db.text("VM", this, "appliance")),
            _ => (db.members("VM_appliance", this, "VMs"), String::new()),
        }
    };
    if class == "VM"
        && name != "get_SRs_required_for_recovery"
        && call.pool.db().exists("VM_appliance", &appliance)
    {
        return Err(Fault::new("VM_IS_PART_OF_AN_APPLIANCE", [this, &appliance]));
    }
    if name == "get_SRs_required_for_recovery" {
        let db = call.pool.db();
        let mut srs: Vec<String> = vms.iter().flat_map(|vm| repositories(&db, vm)).collect();
        srs.sort();
        srs.dedup();
        return Ok(Some(Value::set_of(srs)));
    }
    for vm in &vms {
        assert_storage(&call.pool, &there, vm)?;
    }
    if name != "recover" {
        return void();
    }
    for vm in &vms {
        assert_newer(&call.pool, &there, vm, p[2].bool())?;
    }
    call.work(3.0).await?;
    let mut arrived = Vec::new();
    for vm in &vms {
        arrived.push(recover(&call.pool, &there, vm));
    }
    if class == "VM_appliance" {
        let fields = {
            let db = call.pool.db();
            ["uuid", "name_label", "name_description"]
                .map(|field| (field, db.get(class, this, field).clone()))
        };
        there.write(|db| {
            let known = db.by_uuid("VM_appliance", fields[0].1.str());
            let appliance = known.unwrap_or_else(|| db.create("VM_appliance", fields));
            for vm in &arrived {
                db.set("VM", vm, "appliance", &*appliance);
            }
            lifecycle::refresh(db, "VM_appliance", &appliance);
        });
    }
    void()
}

/// The repositories that hold the disks of a guest, its memory included.
fn repositories(db: &Db, vm: &str) -> Vec<String> {
    let mut disks = migrate::disks(db, vm);
    let memory = db.text("VM", vm, "suspend_VDI");
    disks.extend(db.exists("VDI", &memory).then_some(memory));
    disks.iter().map(|vdi| db.text("VDI", vdi, "SR")).collect()
}

/// The guest's storage must be here, and plugged.
fn assert_storage(origin: &Shared, there: &Shared, vm: &str) -> Result<(), Fault> {
    let needed: Vec<(String, String)> = {
        let db = origin.db();
        let srs = repositories(&db, vm).into_iter();
        srs.map(|sr| (db.text("SR", &sr, "uuid"), sr)).collect()
    };
    let db = there.db();
    for (uuid, sr) in needed {
        let plugged = db.by_uuid("SR", &uuid).is_some_and(|sr| {
            let mut pbds = db.get("SR", &sr, "PBDs").set().iter();
            pbds.any(|pbd| db.get("PBD", pbd.str(), "currently_attached").bool())
        });
        if !plugged {
            return Err(Fault::new("VM_REQUIRES_SR", [vm, &sr]));
        }
    }
    Ok(())
}

/// A guest that is here already is replaced by a newer one, or by any when that is forced, if it is halted.
fn assert_newer(origin: &Arc<Shared>, there: &Arc<Shared>, vm: &str, forced: bool) -> Result<(), Fault> {
    let (uuid, new) = {
        let db = origin.db();
        (db.text("VM", vm, "uuid"), db.get("VM", vm, "version").int())
    };
    let db = there.db();
    let Some(known) = db.by_uuid("VM", &uuid) else {
        return Ok(());
    };
    let old = db.get("VM", &known, "version").int();
    if old >= new && !forced || Arc::ptr_eq(origin, there) {
        let fault = [vm, &old.to_string(), &new.to_string()];
        return Err(Fault::new("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", fault));
    }
    lifecycle::check(&db, &known, "destroy")
}

/// The records of a guest and its snapshots. Disks are those of the same uuid, networks those of the same name.
fn recover(origin: &Shared, there: &Shared, vm: &str) -> String {
    let mut luggage = Luggage::default();
    let uuid = {
        let (from, to) = (origin.db(), there.db());
        let mut vms = vec![vm.to_owned()];
        vms.extend(from.members("VM", vm, "snapshots"));
        for vm in &vms {
            pack(&from, &to, vm, &mut luggage);
        }
        from.text("VM", vm, "uuid")
    };
    there.write(|db| {
        if let Some(known) = db.by_uuid("VM", &uuid) {
            clone::remove(db, &known);
        }
        let arrived = luggage.unpack(db);
        for reference in arrived.values() {
            for class in ["VM", "VBD", "VIF", "VDI"] {
                lifecycle::refresh(db, class, reference);
            }
        }
        arrived.get(vm).cloned().unwrap_or_default()
    })
}

fn pack(from: &Db, to: &Db, vm: &str, luggage: &mut Luggage) {
    luggage.pack(from, "VM", vm);
    for (field, class) in [("metrics", "VM_metrics"), ("guest_metrics", "VM_guest_metrics")] {
        luggage.pack(from, class, from.get("VM", vm, field).str());
    }
    let known_disk = |vdi: &str| to.by_uuid("VDI", &from.text("VDI", vdi, "uuid"));
    let memory = known_disk(&from.text("VM", vm, "suspend_VDI"));
    let state = match (from.text("VM", vm, "power_state").as_str(), &memory) {
        ("Suspended", Some(_)) => "Suspended",
        _ => "Halted",
    };
    for (field, value) in [
        ("power_state", Value::from(state)),
        (
            "suspend_VDI",
            memory.map_or_else(Value::null, |vdi| Value::from(&*vdi)),
        ),
        ("domid", Value::Int(-1)),
    ] {
        luggage.set(vm, field, value);
    }
    for field in [
        "resident_on",
        "scheduled_to_be_resident_on",
        "affinity",
        "appliance",
    ] {
        luggage.set(vm, field, Value::null());
    }
    for (field, class) in [("VBDs", "VBD"), ("VIFs", "VIF")] {
        for device in from.members("VM", vm, field) {
            luggage.pack(from, class, &device);
            luggage.set(&device, "currently_attached", Value::Bool(false));
            luggage.set(&device, "metrics", Value::null());
        }
    }
    for vbd in from.members("VM", vm, "VBDs") {
        let vdi = from.text("VBD", &vbd, "VDI");
        match known_disk(&vdi) {
            Some(known) => luggage.known(&vdi, &known),
            None => luggage.set(&vbd, "empty", Value::Bool(from.text("VBD", &vbd, "type") == "CD")),
        }
    }
    for vif in from.members("VM", vm, "VIFs") {
        let network = from.text("VIF", &vif, "network");
        let by = |field: &str| to.find("network", field, &from.text("network", &network, field));
        if let Some(known) = by("name_label").or_else(|| by("bridge")) {
            luggage.known(&network, &known);
        }
    }
}
