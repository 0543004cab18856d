//! Classes with few rules: graphics and USB for guests, trusted platform modules, appliances, tunnels, secrets,
//! certificates of hosts, roles.

use super::{Outcome, lifecycle, power, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::{Call, rbac};
use crate::value::{NULL_REF, Value};

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "VGPU.create",
    "VGPU.destroy",
    "PGPU.get_remaining_capacity",
    "GPU_group.get_remaining_capacity",
    "GPU_group.create",
    "GPU_group.destroy",
    "VUSB.create",
    "VUSB.unplug",
    "VUSB.destroy",
    "PUSB.scan",
    "VTPM.create",
    "VTPM.destroy",
    "VM_appliance.start",
    "VM_appliance.clean_shutdown",
    "VM_appliance.hard_shutdown",
    "VM_appliance.shutdown",
    "tunnel.create",
    "tunnel.destroy",
    "secret.introduce",
    "role.get_permissions",
    "role.get_permissions_name_label",
    "subject.get_permissions_name_label",
    "session.logout_subject_identifier",
    "VDI.introduce",
];

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    let made = |reference: crate::db::Ref| Ok(Some(Value::from(&*reference)));
    match (class, name) {
        ("VGPU", "create") => call.write(|db| {
            halted(db, this)?;
            db.check("GPU_group", p[1].str())?;
            if p[4].str() != NULL_REF {
                db.check("VGPU_type", p[4].str())?;
            }
            made(db.create(
                "VGPU",
                [
                    ("VM", p[0].clone()),
                    ("GPU_group", p[1].clone()),
                    ("device", p[2].clone()),
                    ("other_config", p[3].clone()),
                    ("type", p[4].clone()),
                ],
            ))
        }),
        ("VUSB", "create") => call.write(|db| {
            db.check("VM", this)?;
            db.check("USB_group", p[1].str())?;
            if !db.get("USB_group", p[1].str(), "VUSBs").set().is_empty() {
                return Err(Fault::new("USB_GROUP_CONTAINS_VUSB", [p[1].str()]));
            }
            made(db.create(
                "VUSB",
                [
                    ("VM", p[0].clone()),
                    ("USB_group", p[1].clone()),
                    ("other_config", p[2].clone()),
                ],
            ))
        }),
        ("VTPM", "create") => call.write(|db| {
            lifecycle::check(db, this, "create_vtpm")?;
            made(db.create("VTPM", [("VM", p[0].clone()), ("is_unique", p[1].clone())]))
        }),
        ("VGPU" | "VUSB" | "VTPM", "destroy") => call.write(|db| {
            db.check(class, this)?;
            halted(db, &db.text(class, this, "VM"))?;
            db.destroy(class, this);
            void()
        }),
        ("VUSB", "unplug") => call.write(|db| {
            db.check("VUSB", this)?;
            if !db.get("VUSB", this, "currently_attached").bool() {
                return Err(Fault::new("DEVICE_ALREADY_DETACHED", [this]));
            }
            db.set("VUSB", this, "currently_attached", false);
            void()
        }),
        ("PUSB", "scan") => call.pool.db().check("host", this).and_then(|()| void()),
        ("PGPU" | "GPU_group", "get_remaining_capacity") => {
            capacity(&call.pool.db(), class, this, p[1].str())
        }
        ("GPU_group", "create") => call.write(|db| {
            made(db.create(
                "GPU_group",
                [
                    ("name_label", p[0].clone()),
                    ("name_description", p[1].clone()),
                    ("other_config", p[2].clone()),
                ],
            ))
        }),
        ("GPU_group", "destroy") => call.write(|db| {
            db.check("GPU_group", this)?;
            for (field, code) in [
                ("PGPUs", "GPU_GROUP_CONTAINS_PGPU"),
                ("VGPUs", "GPU_GROUP_CONTAINS_VGPU"),
            ] {
                let members = db.members("GPU_group", this, field);
                if !members.is_empty() {
                    return Err(Fault::new(code, members));
                }
            }
            db.destroy("GPU_group", this);
            void()
        }),
        ("VM_appliance", "start" | "clean_shutdown" | "hard_shutdown" | "shutdown") => {
            appliance(call, this, name, p).await
        }
        ("tunnel", "create") => call.write(|db| tunnel(db, p)),
        ("tunnel", "destroy") => call.write(|db| {
            db.check("tunnel", this)?;
            let pif = db.text("tunnel", this, "access_PIF");
            db.destroy("tunnel", this);
            db.destroy("PIF", &pif);
            void()
        }),
        ("secret", "introduce") => call.write(|db| {
            made(db.create(
                "secret",
                [
                    ("uuid", p[0].clone()),
                    ("value", p[1].clone()),
                    ("other_config", p[2].clone()),
                ],
            ))
        }),
        ("role", "get_permissions") => call
            .pool
            .db()
            .check("role", this)
            .map(|()| Some(Value::Set(vec![]))),
        ("role", "get_permissions_name_label") => {
            let db = call.pool.db();
            db.check("role", this)?;
            let role = db.text("role", this, "name_label");
            Ok(Some(Value::set_of(rbac::permissions(&role))))
        }
        ("subject", "get_permissions_name_label") => {
            let db = call.pool.db();
            db.check("subject", this)?;
            let roles = db.members("subject", this, "roles").into_iter();
            let mut names: Vec<String> = roles
                .flat_map(|role| rbac::permissions(db.get("role", &role, "name_label").str()))
                .collect();
            names.sort();
            names.dedup();
            Ok(Some(Value::set_of(names)))
        }
        ("session", "logout_subject_identifier") => call.write(|db| {
            for session in db.refs("session") {
                if db.get("session", &session, "auth_user_sid").str() == this && *session != *call.session {
                    db.destroy("session", &session);
                }
            }
            void()
        }),
        ("VDI", "introduce") => call.write(|db| introduce(db, p)),
        _ => Ok(None),
    }
}

fn halted(db: &Db, vm: &str) -> Result<(), Fault> {
    db.check("VM", vm)?;
    let actual = db.get("VM", vm, "power_state").str().to_lowercase();
    match actual.as_str() {
        "halted" => Ok(()),
        _ => Err(Fault::new("VM_BAD_POWER_STATE", [vm, "halted", &actual])),
    }
}

/// How many guests' cards of a type a card (or a group of cards) still has room for.
fn capacity(db: &Db, class: &str, this: &str, model: &str) -> Outcome {
    db.check(class, this)?;
    db.check("VGPU_type", model)?;
    let cards = match class {
        "PGPU" => vec![this.to_owned()],
        _ => db.members("GPU_group", this, "PGPUs"),
    };
    let of_type = |card: &String| match db.get("VGPU_type", model, "framebuffer_size").int() {
        0 => 1 - db.get("PGPU", card, "resident_VGPUs").set().len() as i64,
        size => (16 << 30) / size - db.get("PGPU", card, "resident_VGPUs").set().len() as i64,
    };
    Ok(Some(Value::Int(
        cards.iter().map(|card| of_type(card).max(0)).sum(),
    )))
}

/// All VMs of an appliance, in their order.
async fn appliance(call: &Call, this: &str, name: &str, p: &[Value]) -> Outcome {
    let mut vms = {
        let db = call.pool.db();
        db.check("VM_appliance", this)?;
        let vms = db.members("VM_appliance", this, "VMs").into_iter();
        vms.map(|vm| (db.get("VM", &vm, "order").int(), vm))
            .collect::<Vec<_>>()
    };
    vms.sort();
    for (_, vm) in vms {
        let state = call.pool.db().text("VM", &vm, "power_state");
        let params = match (name, state.as_str()) {
            ("start", "Halted") => vec![Value::from(&vm), p[1].clone(), Value::Bool(false)],
            ("start", _) | (_, "Halted") => continue,
            _ => vec![Value::from(&vm)],
        };
        power::run(call, name, &params).await?;
    }
    void()
}

fn tunnel(db: &mut Db, p: &[Value]) -> Outcome {
    let (transport, network) = (p[0].str(), p[1].str());
    db.check("PIF", transport)?;
    db.check("network", network)?;
    if db.exists("Bond", db.get("PIF", transport, "bond_slave_of").str()) {
        return Err(Fault::new("CANNOT_ADD_TUNNEL_TO_BOND_SLAVE", [transport]));
    }
    if !db.get("PIF", transport, "tunnel_access_PIF_of").set().is_empty() {
        return Err(Fault::new("IS_TUNNEL_ACCESS_PIF", [transport]));
    }
    let (device, host, mac) = (
        format!("tunnel{}", db.count("tunnel")),
        db.get("PIF", transport, "host").clone(),
        db.seed.mac(),
    );
    let access = db.create(
        "PIF",
        [
            ("device", Value::from(device)),
            ("network", p[1].clone()),
            ("host", host),
            ("MAC", Value::from(mac)),
            ("MTU", Value::Int(1500)),
            ("VLAN", Value::Int(-1)),
            ("currently_attached", Value::Bool(true)),
        ],
    );
    let made = db.create(
        "tunnel",
        [
            ("access_PIF", Value::from(&*access)),
            ("transport_PIF", p[0].clone()),
            ("status", Value::map_of([("active", "true")])),
            ("protocol", p[2].clone()),
        ],
    );
    Ok(Some(Value::from(&*made)))
}

fn introduce(db: &mut Db, p: &[Value]) -> Outcome {
    let (uuid, sr, location) = (p[0].str(), p[3].str(), p[9].str());
    db.check("SR", sr)?;
    let same = |vdi: &Value| db.get("VDI", vdi.str(), "location").str() == location;
    if db.get("SR", sr, "VDIs").set().iter().any(same) {
        return Err(Fault::new("LOCATION_NOT_UNIQUE", [sr, location]));
    }
    if db.by_uuid("VDI", uuid).is_some() {
        return Err(Fault::new(
            "DB_UNIQUENESS_CONSTRAINT_VIOLATION",
            ["VDI", "uuid", uuid],
        ));
    }
    let names = [
        "uuid",
        "name_label",
        "name_description",
        "SR",
        "type",
        "sharable",
        "read_only",
        "other_config",
        "location",
        "xenstore_data",
        "sm_config",
        "managed",
        "virtual_size",
        "physical_utilisation",
        "metadata_of_pool",
        "is_a_snapshot",
        "snapshot_time",
        "snapshot_of",
    ];
    let fields: Vec<(&str, Value)> = names.iter().copied().zip(p.iter().cloned()).collect();
    let made = db.create("VDI", fields);
    lifecycle::refresh(db, "VDI", &made);
    Ok(Some(Value::from(&*made)))
}
