//! `VM.migrate_send`: a VM and its disks go to another host, to other storage, or to another pool.

use std::sync::Arc;

use super::transplant::Luggage;
use super::{Outcome, clone, lifecycle, power, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::pool::{Shared, neighbours};
use crate::rpc::{Call, sessions};
use crate::value::{NULL_REF, Value};

pub const MESSAGES: &[&str] = &["migrate_send", "assert_can_migrate", "assert_can_migrate_sender"];

/// What the caller asks for.
struct Journey<'a> {
    vm: &'a str,
    pool: Arc<Shared>,
    host: String,
    live: bool,
    keeps_source: bool,
    storage: &'a Value,
    networks: &'a Value,
}

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    if !MESSAGES.contains(&name) {
        return Ok(None);
    }
    let options = if name == "assert_can_migrate_sender" {
        &p[6]
    } else {
        &p[5]
    };
    call.pool.db().check("VM", p[0].str())?;
    let journey = Journey {
        vm: p[0].str(),
        pool: destination(call, &p[1])?,
        host: p[1].text("host").to_owned(),
        live: p[2].bool(),
        keeps_source: options.text("copy") == "true",
        storage: &p[3],
        networks: &p[4],
    };
    let within = Arc::ptr_eq(&journey.pool, &call.pool);
    if name != "migrate_send" {
        return journey.check(call, within).and_then(|()| void());
    }
    let marks = call
        .begin(|db| {
            lifecycle::check(db, journey.vm, "migrate_send")?;
            Ok(vec![("VM", journey.vm.to_owned(), "migrate_send")])
        })
        .await?;
    if let Err(fault) = journey.check(call, within) {
        call.end(&marks, |_| ());
        return Err(fault);
    }
    call.pass(&marks, 8.0).await?;
    let arrived = match within {
        true => {
            call.end(&marks, |db| journey.stay(db));
            journey.vm.to_owned()
        }
        false => {
            let arrived = journey.leave(call);
            call.end(&marks, |db| {
                if !journey.keeps_source {
                    forget(db, journey.vm);
                }
            });
            arrived
        }
    };
    Ok(Some(Value::from(arrived)))
}

/// `host.migrate_receive`: what the other side needs to find this host.
pub fn receive(call: &Call, p: &[Value]) -> Outcome {
    let (host, network) = (p[0].str(), p[1].str());
    let db = call.pool.db();
    db.check("host", host)?;
    db.check("network", network)?;
    if !db.get("host", host, "enabled").bool() {
        return Err(Fault::new("HOST_DISABLED", [host]));
    }
    let url = call.pool.url(call.pool.address());
    let address = url.split("://").nth(1).unwrap_or_default().to_owned();
    Ok(Some(Value::map_of([
        ("host", host.to_owned()),
        ("SM", format!("{url}/services/SM?session_id={}", call.session)),
        (
            "xenops",
            format!("{url}/services/xenops?session_id={}", call.session),
        ),
        ("session_id", call.session.clone()),
        ("master", address),
    ])))
}

fn destination(call: &Call, dest: &Value) -> Result<Arc<Shared>, Fault> {
    for key in ["host", "master", "session_id"] {
        if dest.entry(key).is_none() {
            return Err(Fault::invalid_value("dest", format!("{key} is missing")));
        }
    }
    let unreachable = || Fault::new("CANNOT_CONTACT_HOST", [dest.text("master")]);
    let port = call.pool.address().port();
    let pool = neighbours::find(dest.text("master"), port).ok_or_else(unreachable)?;
    {
        let db = pool.db();
        sessions::check(&db, dest.text("session_id"))?;
        db.check("host", dest.text("host"))?;
    }
    Ok(pool)
}

impl Journey<'_> {
    fn check(&self, call: &Call, within: bool) -> Result<(), Fault> {
        let (disks, vifs) = {
            let db = call.pool.db();
            if !db
                .get("VM", self.vm, "current_operations")
                .map()
                .iter()
                .any(|(_, operation)| operation.str() == "migrate_send")
            {
                lifecycle::check(&db, self.vm, "migrate_send")?;
            }
            let snapshots = db.members("VM", self.vm, "snapshots");
            if !within && snapshots.len() > 1 {
                return Err(Fault::new("VM_HAS_TOO_MANY_SNAPSHOTS", [self.vm]));
            }
            let suspended = |snapshot: &String| db.get("VM", snapshot, "power_state").str() == "Suspended";
            if self.live && snapshots.iter().any(suspended) {
                return Err(Fault::new("VM_HAS_CHECKPOINT", [self.vm]));
            }
            (disks(&db, self.vm), db.members("VM", self.vm, "VIFs"))
        };
        if within && !self.networks.map().is_empty() {
            return Err(Fault::not_allowed(
                "VIF mapping is not allowed for intra-pool migration",
            ));
        }
        let db = self.pool.db();
        if !db.get("host", &self.host, "enabled").bool() {
            return Err(Fault::new("HOST_DISABLED", [&*self.host]));
        }
        for (_, sr) in self.storage.map() {
            db.check("SR", sr.str())?;
        }
        for (_, network) in self.networks.map() {
            db.check("network", network.str())?;
        }
        if within {
            return Ok(());
        }
        let missing = |wanted: &[String], map: &Value| {
            let missing = wanted.iter().find(|reference| map.entry(reference).is_none());
            missing.cloned()
        };
        if let Some(vdi) = missing(&disks, self.storage) {
            return Err(Fault::new("VDI_NOT_IN_MAP", [vdi]));
        }
        if let Some(vif) = missing(&vifs, self.networks) {
            return Err(Fault::new("VIF_NOT_IN_MAP", [vif]));
        }
        Ok(())
    }

    /// Inside a pool the VM keeps its reference, its moved disks get new ones.
    fn stay(&self, db: &mut Db) {
        for (vdi, sr) in self.storage.map() {
            if db.exists("VDI", vdi) && db.get("VDI", vdi, "SR").str() != sr.str() {
                move_disk(db, vdi, sr.str());
            }
        }
        if db.get("VM", self.vm, "power_state").str() == "Running"
            && db.get("VM", self.vm, "resident_on").str() != self.host
        {
            power::change_host(db, self.vm, &self.host);
        }
    }

    /// Gives the VM's reference in the other pool.
    fn leave(&self, call: &Call) -> String {
        let mut luggage = Luggage::default();
        let state = {
            let db = call.pool.db();
            let mut vms = vec![self.vm.to_owned()];
            vms.extend(db.members("VM", self.vm, "snapshots"));
            for vm in &vms {
                self.pack(&db, vm, &mut luggage);
            }
            db.text("VM", self.vm, "power_state")
        };
        self.pool.write(|db| {
            let there = luggage.unpack(db);
            let vm = there.get(self.vm).cloned().unwrap_or_default();
            match state.as_str() {
                "Running" | "Paused" => power::boot(db, &vm, &self.host, state == "Paused"),
                "Suspended" => {
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
                _ => {}
            }
            for new in there.values() {
                let uuid = db.text("VDI", new, "uuid");
                db.set("VDI", new, "location", uuid);
                for class in ["VM", "VBD", "VIF", "VDI"] {
                    lifecycle::refresh(db, class, new);
                }
            }
            vm
        })
    }

    fn pack(&self, db: &Db, vm: &str, luggage: &mut Luggage) {
        luggage.pack(db, "VM", vm);
        for (field, class) in [("metrics", "VM_metrics"), ("guest_metrics", "VM_guest_metrics")] {
            luggage.pack(db, class, db.get("VM", vm, field).str());
        }
        // It arrives halted and is booted there if it ran.
        luggage.set(vm, "power_state", Value::from("Halted"));
        for (field, value) in [
            ("resident_on", Value::null()),
            ("scheduled_to_be_resident_on", Value::null()),
            ("affinity", Value::null()),
            ("appliance", Value::null()),
            ("suspend_VDI", Value::null()),
            ("domid", Value::Int(-1)),
        ] {
            luggage.set(vm, field, value);
        }
        for vbd in db.members("VM", vm, "VBDs") {
            luggage.pack(db, "VBD", &vbd);
            luggage.set(&vbd, "currently_attached", Value::Bool(false));
            luggage.set(&vbd, "metrics", Value::null());
            let vdi = db.text("VBD", &vbd, "VDI");
            if db.get("VBD", &vbd, "type").str() == "CD" {
                luggage.set(&vbd, "empty", Value::Bool(true));
                continue;
            }
            let original = db.text("VDI", &vdi, "snapshot_of");
            let sr = self.storage.entry(&vdi).or_else(|| self.storage.entry(&original));
            // A snapshot's disk goes where its original goes, else to where the first disk goes.
            let first = self.storage.map().first().map(|(_, sr)| sr);
            if let Some(sr) = sr.or(first) {
                luggage.pack(db, "VDI", &vdi);
                luggage.known(sr.str(), sr.str());
                luggage.set(&vdi, "SR", sr.clone());
                // A disk is a new one there.
                luggage.set(&vdi, "uuid", Value::void());
                luggage.set(&vdi, "sm_config", Value::map_of([("vdi_type", "vhd")]));
            }
        }
        for vif in db.members("VM", vm, "VIFs") {
            luggage.pack(db, "VIF", &vif);
            luggage.set(&vif, "currently_attached", Value::Bool(false));
            luggage.set(&vif, "metrics", Value::null());
            let network =
                self.networks
                    .entry(&vif)
                    .or(self.networks.map().first().map(|(_, network)| network));
            if let Some(network) = network {
                luggage.known(network.str(), network.str());
                luggage.set(&vif, "network", network.clone());
            }
        }
    }
}

/// A disk on other storage: a new object; its VBDs and snapshots follow.
pub fn move_disk(db: &mut Db, vdi: &str, sr: &str) -> String {
    let made = clone::copy_vdi(db, vdi, false, Some(sr));
    for vbd in db.members("VDI", vdi, "VBDs") {
        db.set("VBD", &vbd, "VDI", &made);
    }
    for snapshot in db.members("VDI", vdi, "snapshots") {
        db.set("VDI", &snapshot, "snapshot_of", &made);
    }
    super::storage::forget_disk(db, vdi);
    lifecycle::refresh(db, "VDI", &made);
    made
}

/// The disks of a VM, without media in drives.
pub fn disks(db: &Db, vm: &str) -> Vec<String> {
    let vbds = db.members("VM", vm, "VBDs").into_iter();
    vbds.filter(|vbd| db.get("VBD", vbd, "type").str() != "CD")
        .map(|vbd| db.text("VBD", &vbd, "VDI"))
        .filter(|vdi| db.exists("VDI", vdi))
        .collect()
}

/// The source after the move: the VM, its snapshots and all their disks are gone.
fn forget(db: &mut Db, vm: &str) {
    let mut vms = db.members("VM", vm, "snapshots");
    vms.push(vm.to_owned());
    for vm in vms {
        let vdis = disks(db, &vm);
        if db.get("VM", &vm, "resident_on").str() != NULL_REF {
            power::halt(db, &vm);
        }
        clone::remove(db, &vm);
        for vdi in vdis {
            super::storage::forget_disk(db, &vdi);
        }
    }
}
