//! Which hosts a pool has and which of them is master: join, eject, designate_new_master, host.destroy.

use std::sync::Arc;

use super::transplant::Luggage;
use super::{Outcome, clone, directory, lifecycle, migrate, power, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::pool::members::Machine;
use crate::pool::{Shared, neighbours};
use crate::rpc::Call;
use crate::value::Value;

pub const POOL: &[&str] = &[
    "join",
    "join_force",
    "eject",
    "designate_new_master",
    "emergency_transition_to_master",
    "recover_slaves",
    "is_slave",
];
pub const HOST: &[&str] = &["destroy", "migrate_receive", "is_in_emergency_mode"];

pub async fn pool(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match name {
        "join" | "join_force" => {
            call.work(10.0).await?;
            join(call, p[0].str(), p[1].str(), p[2].str(), name == "join_force")
        }
        "eject" => eject(call, this).await,
        "designate_new_master" => designate(call, this),
        // Here they are asked of a master; a supporter answers before this.
        "emergency_transition_to_master" | "recover_slaves" => match name {
            "recover_slaves" => Ok(Some(Value::Set(vec![]))),
            _ => void(),
        },
        "is_slave" => Ok(Some(Value::Bool(false))),
        _ => Ok(None),
    }
}

pub async fn host(call: &Call, name: &str, p: &[Value]) -> Outcome {
    match name {
        "migrate_receive" => migrate::receive(call, p),
        "is_in_emergency_mode" => Ok(Some(Value::Bool(false))),
        "destroy" => {
            let host = p[0].str();
            {
                let db = call.pool.db();
                db.check("host", host)?;
                may_leave(&db, host)?;
                let metrics = db.text("host", host, "metrics");
                if db.get("host_metrics", &metrics, "live").bool() {
                    return Err(Fault::new("HOST_IS_LIVE", [host]));
                }
            }
            leave(call, host).await;
            void()
        }
        _ => Ok(None),
    }
}

fn designate(call: &Call, host: &str) -> Outcome {
    {
        let db = call.pool.db();
        db.check("host", host)?;
        let metrics = db.text("host", host, "metrics");
        if !db.get("host_metrics", &metrics, "live").bool() || !call.pool.is_up(host) {
            return Err(Fault::new("HOST_OFFLINE", [host]));
        }
        if db.master() == host {
            return void();
        }
    }
    // Sessions and connections end, this one too: after the answer.
    let (pool, host) = (call.pool.clone(), host.to_owned());
    call.pool.afterwards(move || pool.change_master(&host));
    void()
}

fn may_leave(db: &Db, host: &str) -> Result<(), Fault> {
    if db.get("pool", &db.pool(), "ha_enabled").bool() {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    let resident = db.members("host", host, "resident_VMs");
    let guest = |vm: &String| !db.get("VM", vm, "is_control_domain").bool();
    match resident.iter().any(guest) {
        true => Err(Fault::new("HOST_HAS_RESIDENT_VMS", [host])),
        false => Ok(()),
    }
}

async fn eject(call: &Call, host: &str) -> Outcome {
    {
        let db = call.pool.db();
        db.check("host", host)?;
        if db.master() == host {
            return Err(Fault::not_allowed("Cannot eject the pool coordinator"));
        }
        may_leave(&db, host)?;
    }
    call.work(5.0).await?;
    let at = call.pool.index_of(host);
    let was_own = leave(call, host).await;
    if let (Some(at), false) = (at, was_own) {
        call.pool.start_anew(at).await;
    }
    void()
}

/// The host's records go. True when its machine had joined: then it is its own pool again.
async fn leave(call: &Call, host: &str) -> bool {
    let at = call.pool.index_of(host);
    call.write(|db| remove_host(db, host));
    let Some(at) = at else { return false };
    call.pool.close(at).await;
    let origin = {
        let mut members = call.pool.members.lock();
        members[at].up = false;
        std::mem::take(&mut members[at].origin).upgrade()
    };
    let Some(origin) = origin else { return false };
    origin.join(None);
    origin.restart();
    true
}

/// A host with everything that is only its own: control domain, local storage, interfaces, devices.
pub fn remove_host(db: &mut Db, host: &str) {
    let of_host = |db: &Db, class: &str, field: &str| -> Vec<String> {
        let all = db.refs(class).into_iter();
        all.filter(|object| db.get(class, object, field).str() == host)
            .map(|object| object.to_string())
            .collect()
    };
    for vm in of_host(db, "VM", "resident_on") {
        clone::remove(db, &vm);
    }
    for pbd in of_host(db, "PBD", "host") {
        let sr = db.text("PBD", &pbd, "SR");
        db.destroy("PBD", &pbd);
        if !db.get("SR", &sr, "shared").bool() && db.members("SR", &sr, "PBDs").is_empty() {
            for vdi in db.members("SR", &sr, "VDIs") {
                super::storage::forget_disk(db, &vdi);
            }
            db.destroy("SR", &sr);
        } else {
            lifecycle::refresh_storage(db, &sr);
        }
    }
    for pif in of_host(db, "PIF", "host") {
        for (field, class) in [("bond_master_of", "Bond"), ("VLAN_slave_of", "VLAN")] {
            for object in db.members("PIF", &pif, field) {
                db.destroy(class, &object);
            }
        }
        let vlan = db.text("PIF", &pif, "VLAN_master_of");
        db.destroy("VLAN", &vlan);
        let metrics = db.text("PIF", &pif, "metrics");
        db.destroy("PIF_metrics", &metrics);
        db.destroy("PIF", &pif);
    }
    for class in ["host_cpu", "PGPU", "PUSB", "PCI", "Certificate", "host_patch"] {
        for object in of_host(db, class, "host") {
            db.destroy(class, &object);
        }
    }
    let metrics = db.text("host", host, "metrics");
    db.destroy("host_metrics", &metrics);
    db.destroy("host", host);
}

fn join(call: &Call, address: &str, user: &str, password: &str, forced: bool) -> Outcome {
    let own = &call.pool;
    let port = own.address().port();
    let target = neighbours::find(address, port);
    let target = target.ok_or_else(|| Fault::bare("JOINING_HOST_CONNECTION_FAILED"))?;
    if Arc::ptr_eq(&target, own) {
        return Err(Fault::not_allowed("Host is already part of a pool"));
    }
    if user != target.config.user || password != target.config.password {
        return Err(Fault::bare("JOINING_HOST_SERVICE_FAILED"));
    }
    let target_has_ha = {
        let db = target.db();
        db.get("pool", &db.pool(), "ha_enabled").bool()
    };
    if target_has_ha {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    let theirs = {
        let db = target.db();
        directory::membership(&db, &db.master())
    };
    let (luggage, host) = {
        let db = own.db();
        may_join(&db)?;
        if !forced && directory::membership(&db, &db.master()) != theirs {
            return Err(Fault::bare("POOL_JOINING_EXTERNAL_AUTH_MISMATCH"));
        }
        (pack(&db, &target), db.master())
    };
    let address = own.address();
    let number = target.members.lock().len();
    let arrived = target.write(|db| {
        let there = luggage.unpack(db);
        let host = there.get(&host).cloned().unwrap_or_default();
        db.set("host", &host, "address", address.ip().to_string());
        // Shared storage is plugged on the new host too.
        for sr in db.refs("SR") {
            if db.get("SR", &sr, "shared").bool() {
                let model = db.members("SR", &sr, "PBDs").into_iter().next();
                let config = model.map(|pbd| db.get("PBD", &pbd, "device_config").clone());
                let fields = [
                    ("host", Value::from(&host)),
                    ("SR", Value::from(&*sr)),
                    ("device_config", config.unwrap_or_else(Value::empty_map)),
                    ("currently_attached", Value::Bool(true)),
                ];
                db.create("PBD", fields);
                lifecycle::refresh_storage(db, &sr);
            }
        }
        for class in ["VM", "VBD", "VIF", "VDI", "SR", "host"] {
            for reference in there.values() {
                lifecycle::refresh(db, class, reference);
            }
        }
        host
    });
    let identity = own
        .members
        .lock()
        .first()
        .and_then(|machine| machine.identity.clone());
    let mut machine = Machine::new(arrived.as_str().into(), Some(address), identity);
    machine.origin = Arc::downgrade(own);
    target.members.lock().push(machine);
    // The toolstack restarts as a supporter: after the answer.
    let own = own.clone();
    call.pool.afterwards(move || {
        own.restart();
        own.join(Some((target, number)));
    });
    void()
}

fn may_join(db: &Db) -> Result<(), Fault> {
    let any = |class: &str, is: &dyn Fn(&str) -> bool| db.refs(class).iter().any(|object| is(object));
    let guest = |vm: &str| !db.get("VM", vm, "is_control_domain").bool();
    if db.count("host") > 1 {
        return Err(Fault::bare("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"));
    }
    if db.get("pool", &db.pool(), "ha_enabled").bool() {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    if any("VM", &|vm| {
        guest(vm) && matches!(db.get("VM", vm, "power_state").str(), "Running" | "Paused")
    }) {
        return Err(Fault::bare("JOINING_HOST_CANNOT_HAVE_RUNNING_VMS"));
    }
    if any("VM", &|vm| {
        guest(vm) && !db.get("VM", vm, "current_operations").map().is_empty()
    }) {
        return Err(Fault::bare(
            "JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS",
        ));
    }
    if any("SR", &|sr| {
        db.get("SR", sr, "shared").bool() && !db.get("SR", sr, "is_tools_sr").bool()
    }) {
        return Err(Fault::bare("JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"));
    }
    if db.count("Bond") > 0 {
        return Err(Fault::bare("POOL_JOINING_HOST_HAS_BONDS"));
    }
    if db.count("VLAN") > 0 {
        return Err(Fault::bare("POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS"));
    }
    if db.count("tunnel") > 0 {
        return Err(Fault::bare("POOL_JOINING_HOST_HAS_TUNNELS"));
    }
    Ok(())
}

/// Everything of the joining host. Networks are the same when their bridges are; what every pool has (drivers,
/// built-in templates, the tools SR, roles) stays behind.
fn pack(own: &Db, target: &Shared) -> Luggage {
    let mut luggage = Luggage::default();
    {
        let there = target.db();
        luggage.known(&own.pool(), &there.pool());
        for (class, field) in [
            ("network", "bridge"),
            ("GPU_group", "name_label"),
            ("VGPU_type", "model_name"),
            ("USB_group", "name_label"),
            ("pool_update", "name_label"),
            ("SM", "type"),
            ("role", "name_label"),
        ] {
            for object in own.refs(class) {
                if let Some(same) = there.find(class, field, own.get(class, &object, field).str()) {
                    luggage.known(&object, &same);
                }
            }
        }
    }
    let tools = |sr: &str| own.get("SR", sr, "is_tools_sr").bool();
    let stays = |class: &str, object: &str| match class {
        "SR" => tools(object),
        "VDI" | "PBD" => tools(own.get(class, object, "SR").str()),
        "VM" => own.get("VM", object, "is_default_template").bool(),
        _ => false,
    };
    for class in [
        "host_metrics",
        "host",
        "network",
        "GPU_group",
        "USB_group",
        "pool_update",
        "host_cpu",
        "PCI",
        "PGPU",
        "PUSB",
        "PIF_metrics",
        "PIF",
        "Certificate",
        "SR",
        "PBD",
        "VDI",
        "VM_metrics",
        "VM_guest_metrics",
        "VM",
        "VBD",
        "VIF",
        "console",
    ] {
        for object in own.refs(class) {
            if !stays(class, &object) && !luggage.is_known(&object) {
                luggage.pack(own, class, &object);
            }
        }
    }
    luggage
}

/// What remains of the guests of a host that died: they are halted, and the protected ones start elsewhere.
pub fn recover_guests(db: &mut Db, host: &str) {
    for vm in db.members("host", host, "resident_VMs") {
        if db.get("VM", &vm, "is_control_domain").bool() {
            continue;
        }
        power::halt(db, &vm);
        if db.get("VM", &vm, "ha_restart_priority").str() == "restart" {
            let hosts = db.refs("host");
            let place = hosts
                .iter()
                .find(|host| power::assert_can_boot_here(db, &vm, host).is_ok());
            if let Some(place) = place {
                power::boot(db, &vm, place, false);
                power::refresh_devices(db, &vm);
            }
        }
        lifecycle::refresh(db, "VM", &vm);
    }
}
