//! Virtual disks' and networks' plugs: VBD and VIF.

use super::{Outcome, lifecycle, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

pub const VBD: &[&str] = &[
    "plug",
    "unplug",
    "unplug_force",
    "unplug_force_no_safety_check",
    "insert",
    "eject",
    "assert_attachable",
    "set_mode",
];
pub const VIF: &[&str] = &[
    "plug",
    "unplug",
    "unplug_force",
    "move",
    "configure_ipv4",
    "configure_ipv6",
    "set_ipv4_allowed",
    "set_locking_mode",
];

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("VBD", "create") => create_vbd(call, &p[0]).map(Some),
        ("VIF", "create") => create_vif(call, &p[0]).map(Some),
        (_, "destroy") => destroy(call, class, this),
        (_, "plug") => plug(call, class, this).await,
        (_, "unplug" | "unplug_force" | "unplug_force_no_safety_check") => unplug(call, class, this).await,
        ("VBD", "insert") => insert(call, this, p[1].str()).await,
        ("VBD", "eject") => eject(call, this).await,
        ("VBD", "assert_attachable") => {
            let db = call.pool.db();
            db.check("VBD", this)?;
            void()
        }
        ("VBD", "set_mode") => call.write(|db| {
            db.check("VBD", this)?;
            need_state(db, &db.text("VBD", this, "VM"), "Halted")?;
            db.set("VBD", this, "mode", p[1].clone());
            void()
        }),
        ("VIF", "move") => call.write(|db| {
            db.check("VIF", this)?;
            db.check("network", p[1].str())?;
            db.set("VIF", this, "network", p[1].clone());
            void()
        }),
        ("VIF", "configure_ipv4" | "configure_ipv6") => call.write(|db| {
            db.check("VIF", this)?;
            let ip = &name[name.len() - 4..];
            db.set("VIF", this, &format!("{ip}_configuration_mode"), p[1].clone());
            let addresses = if p[2].str().is_empty() {
                vec![]
            } else {
                vec![p[2].clone()]
            };
            db.set("VIF", this, &format!("{ip}_addresses"), Value::Set(addresses));
            db.set("VIF", this, &format!("{ip}_gateway"), p[3].clone());
            void()
        }),
        _ => Ok(None),
    }
}

fn need_state(db: &Db, vm: &str, expected: &str) -> Result<(), Fault> {
    let actual = db.get("VM", vm, "power_state").str().to_lowercase();
    let expected = expected.to_lowercase();
    if actual == expected {
        Ok(())
    } else {
        Err(Fault::new("VM_BAD_POWER_STATE", [vm, &expected, &actual]))
    }
}

fn create_vbd(call: &Call, record: &Value) -> Result<Value, Fault> {
    let text = |field: &str| record.text(field).to_owned();
    let (vm, vdi, kind) = (text("VM"), text("VDI"), text("type"));
    let empty = record.entry("empty").is_some_and(Value::bool);
    let device = {
        let db = call.pool.db();
        db.check("VM", &vm)?;
        if kind == "CD" && text("mode") != "RO" {
            return Err(Fault::bare("VBD_CDS_MUST_BE_READONLY"));
        }
        if empty && kind != "CD" {
            return Err(Fault::new("VBD_NOT_REMOVABLE_MEDIA", ["in constructor"]));
        }
        if !empty {
            db.check("VDI", &vdi)?;
            if db.get("VDI", &vdi, "read_only").bool() && text("mode") == "RW" {
                return Err(Fault::new("VDI_READONLY", [vdi]));
            }
        }
        free_device(
            &db,
            &vm,
            "VBD",
            "userdevice",
            &text("userdevice"),
            255,
            if kind == "CD" { 3 } else { 0 },
        )?
    };
    let mut record = record.with("userdevice", Some(Value::from(device)));
    // Fields that old clients leave out and that the server fills in.
    for (field, value) in [
        ("device", Value::void()),
        ("currently_attached", Value::Bool(false)),
    ] {
        record = record.with(field, Some(value));
    }
    if empty {
        record = record.with("VDI", Some(Value::null()));
    }
    for (field, value) in [
        ("bootable", Value::Bool(false)),
        ("empty", Value::Bool(false)),
        ("other_config", Value::empty_map()),
        ("qos_algorithm_type", Value::void()),
        ("qos_algorithm_params", Value::empty_map()),
    ] {
        if record.entry(field).is_none() {
            record = record.with(field, Some(value));
        }
    }
    let made = super::records::create(call, class("VBD"), &record)?;
    call.write(|db| {
        let metrics = db.create("VBD_metrics", []);
        db.set("VBD", made.str(), "metrics", &*metrics);
        lifecycle::refresh(db, "VBD", made.str());
        lifecycle::refresh(db, "VDI", &vdi);
    });
    Ok(made)
}

fn create_vif(call: &Call, record: &Value) -> Result<Value, Fault> {
    let text = |field: &str| record.text(field).to_owned();
    let (vm, mac) = (text("VM"), text("MAC").to_lowercase());
    let device = {
        let db = call.pool.db();
        db.check("VM", &vm)?;
        db.check("network", &text("network"))?;
        free_device(&db, &vm, "VIF", "device", &text("device"), 6, 0)?
    };
    let mut record = record.with("device", Some(Value::from(device)));
    record = record.with("currently_attached", Some(Value::Bool(false)));
    let generated = mac.is_empty();
    let mac = if generated {
        call.write(|db| db.seed.mac())
    } else {
        mac
    };
    let pairs: Vec<&str> = mac.split(':').collect();
    if pairs.len() != 6
        || !pairs
            .iter()
            .all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok())
    {
        return Err(Fault::new("MAC_INVALID", [mac]));
    }
    record = record.with("MAC", Some(Value::from(mac)));
    for (field, value) in [
        ("MTU", Value::Int(1500)),
        ("other_config", Value::empty_map()),
        ("qos_algorithm_type", Value::void()),
        ("qos_algorithm_params", Value::empty_map()),
    ] {
        if record.entry(field).is_none() {
            record = record.with(field, Some(value));
        }
    }
    let made = super::records::create(call, class("VIF"), &record)?;
    call.write(|db| {
        db.set("VIF", made.str(), "MAC_autogenerated", generated);
        lifecycle::refresh(db, "VIF", made.str());
    });
    Ok(made)
}

fn free_device(
    db: &Db,
    vm: &str,
    class: &str,
    field: &str,
    wanted: &str,
    last: i64,
    usual: i64,
) -> Result<String, Fault> {
    let list = format!("{class}s");
    let taken: Vec<String> = db
        .members("VM", vm, &list)
        .iter()
        .map(|device| db.text(class, device, field))
        .collect();
    if wanted == "autodetect" || wanted.is_empty() {
        let mut numbers = std::iter::once(usual)
            .chain(0..=last)
            .map(|number| number.to_string());
        return numbers
            .find(|number| !taken.contains(number))
            .ok_or_else(|| Fault::new("INVALID_DEVICE", [wanted]));
    }
    let known = wanted
        .parse::<i64>()
        .is_ok_and(|number| (0..=last).contains(&number))
        || (class == "VBD" && (wanted.starts_with("xvd") || wanted.starts_with("hd")));
    match known {
        false => Err(Fault::new("INVALID_DEVICE", [wanted])),
        true if taken.iter().any(|device| device == wanted) => {
            Err(Fault::new("DEVICE_ALREADY_EXISTS", [wanted]))
        }
        true => Ok(wanted.to_owned()),
    }
}

fn destroy(call: &Call, class: &str, this: &str) -> Outcome {
    call.write(|db| {
        db.check(class, this)?;
        let vm = db.text(class, this, "VM");
        let running = db.get("VM", &vm, "power_state").str() != "Halted";
        if db.get(class, this, "currently_attached").bool() && running {
            return Err(Fault::not_allowed(match class {
                "VBD" => format!(
                    "VBD '{}' still attached to '{}'",
                    db.text("VBD", this, "uuid"),
                    db.text("VM", &vm, "uuid")
                ),
                _ => "VIF currently attached to a running VM".to_owned(),
            }));
        }
        remove(db, class, this);
        void()
    })
}

/// A device goes, with its measurements; its disk may be free now.
pub fn remove(db: &mut Db, class: &str, device: &str) {
    if let "VBD" | "VIF" = class {
        let metrics = db.text(class, device, "metrics");
        db.destroy(&format!("{class}_metrics"), &metrics);
    }
    let vdi = match class {
        "VBD" => db.text("VBD", device, "VDI"),
        _ => String::new(),
    };
    db.destroy(class, device);
    lifecycle::refresh(db, "VDI", &vdi);
}

fn check_hotplug(db: &Db, class: &str, this: &str) -> Result<(), Fault> {
    db.check(class, this)?;
    let vm = db.text(class, this, "VM");
    need_state(db, &vm, "Running")?;
    lifecycle::conflict(db, class, this, "plug")?;
    for (_, operation) in db.get("VM", &vm, "current_operations").map() {
        if ["clean_shutdown", "hard_shutdown", "suspend", "pause"].contains(&operation.str()) {
            let text = format!("Current operation on VM:{vm} is {}", operation.str());
            return Err(Fault::not_allowed(text));
        }
    }
    let hvm = !db.get("VM", &vm, "HVM_boot_policy").str().is_empty();
    if class == "VBD" && hvm && db.get("VBD", this, "type").str() == "CD" {
        let text = "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected";
        return Err(Fault::not_allowed(text));
    }
    let field = if class == "VBD" {
        "can_use_hotplug_vbd"
    } else {
        "can_use_hotplug_vif"
    };
    match lifecycle::can_hotplug(db, &vm, field) {
        true => Ok(()),
        false => Err(Fault::new("VM_MISSING_PV_DRIVERS", [vm])),
    }
}

async fn plug(call: &Call, class: &str, this: &str) -> Outcome {
    let name = if class == "VBD" { "VBD" } else { "VIF" };
    let marks = call
        .begin(|db| {
            check_hotplug(db, class, this)?;
            if db.get(class, this, "currently_attached").bool() {
                return Err(Fault::new("DEVICE_ALREADY_ATTACHED", [this]));
            }
            if class == "VBD" {
                let vdi = db.text("VBD", this, "VDI");
                let shared =
                    db.get("VDI", &vdi, "sharable").bool() || db.get("VBD", this, "mode").str() == "RO";
                if lifecycle::attached(db, &vdi) && !shared {
                    return Err(Fault::new("VDI_IN_USE", [&vdi, "attach"]));
                }
            }
            Ok(vec![(name, this.to_owned(), "plug")])
        })
        .await?;
    call.pass(&marks, 0.3).await?;
    call.end(&marks, |db| {
        db.set(class, this, "currently_attached", true);
        if class == "VBD" {
            let number: u8 = db
                .get("VBD", this, "userdevice")
                .str()
                .parse()
                .unwrap_or_default();
            db.set(
                "VBD",
                this,
                "device",
                format!("xvd{}", char::from(b'a' + number % 26)),
            );
            let vdi = db.text("VBD", this, "VDI");
            lifecycle::refresh(db, "VDI", &vdi);
        }
    });
    void()
}

async fn unplug(call: &Call, class: &str, this: &str) -> Outcome {
    let name = if class == "VBD" { "VBD" } else { "VIF" };
    let marks = call
        .begin(|db| {
            check_hotplug(db, class, this)?;
            if !db.get(class, this, "currently_attached").bool() {
                return Err(Fault::new("DEVICE_ALREADY_DETACHED", [this]));
            }
            if class == "VBD" && !db.get("VBD", this, "unpluggable").bool() {
                return Err(Fault::new("VBD_NOT_UNPLUGGABLE", [this]));
            }
            Ok(vec![(name, this.to_owned(), "unplug")])
        })
        .await?;
    call.pass(&marks, 0.3).await?;
    call.end(&marks, |db| {
        db.set(class, this, "currently_attached", false);
        if class == "VBD" {
            let vdi = db.text("VBD", this, "VDI");
            lifecycle::refresh(db, "VDI", &vdi);
        }
    });
    void()
}

fn check_media(db: &Db, vbd: &str) -> Result<(), Fault> {
    db.check("VBD", vbd)?;
    if db.get("VBD", vbd, "type").str() != "CD" {
        return Err(Fault::new("VBD_NOT_REMOVABLE_MEDIA", [vbd]));
    }
    let vm = db.text("VBD", vbd, "VM");
    match db.get("VM", &vm, "power_state").str() {
        "Suspended" => Err(Fault::new(
            "VM_BAD_POWER_STATE",
            [vm.as_str(), "running, halted", "suspended"],
        )),
        _ => lifecycle::conflict(db, "VBD", vbd, "insert"),
    }
}

async fn insert(call: &Call, vbd: &str, vdi: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            check_media(db, vbd)?;
            db.check("VDI", vdi)?;
            if !db.get("VBD", vbd, "empty").bool() {
                return Err(Fault::new("VBD_NOT_EMPTY", [vbd]));
            }
            Ok(vec![("VBD", vbd.to_owned(), "insert")])
        })
        .await?;
    call.pass(&marks, 0.3).await?;
    call.end(&marks, |db| {
        db.update(
            "VBD",
            vbd,
            [("VDI", Value::from(vdi)), ("empty", Value::Bool(false))],
        );
        lifecycle::refresh(db, "VDI", vdi);
    });
    void()
}

async fn eject(call: &Call, vbd: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            check_media(db, vbd)?;
            if db.get("VBD", vbd, "empty").bool() {
                return Err(Fault::new("VBD_IS_EMPTY", [vbd]));
            }
            Ok(vec![("VBD", vbd.to_owned(), "eject")])
        })
        .await?;
    call.pass(&marks, 0.3).await?;
    call.end(&marks, |db| {
        db.update(
            "VBD",
            vbd,
            [("VDI", Value::from(NULL_REF)), ("empty", Value::Bool(true))],
        );
    });
    void()
}
