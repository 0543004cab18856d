//! From a template to a VM: the disks that its `other_config` asks for.

use crate::ops::{Outcome, lifecycle, power, void};
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

pub async fn provision(call: &Call, vm: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            lifecycle::check(db, vm, "provision")?;
            Ok(vec![("VM", vm.to_owned(), "provision")])
        })
        .await?;
    call.pass(&marks, 1.0).await?;
    call.end(&marks, |db| {
        for (at, disk) in disks(db.get("VM", vm, "other_config").text("disks"))
            .into_iter()
            .enumerate()
        {
            let sr = match db.by_uuid("SR", &disk.sr) {
                Some(sr) => sr.to_string(),
                None => {
                    let pool = db
                        .refs("pool")
                        .into_iter()
                        .next()
                        .unwrap_or_else(|| NULL_REF.into());
                    db.text("pool", &pool, "default_SR")
                }
            };
            db.check("SR", &sr)?;
            let name = format!("{} {at}", db.text("VM", vm, "name_label"));
            let vdi = crate::ops::storage::new_vdi(db, &sr, &name, disk.size);
            db.create(
                "VBD",
                [
                    ("VM", Value::from(vm)),
                    ("VDI", Value::from(vdi)),
                    ("userdevice", Value::from(disk.device)),
                    ("bootable", Value::Bool(disk.bootable)),
                    ("mode", Value::from("RW")),
                    ("type", Value::from("Disk")),
                    ("other_config", Value::map_of([("owner", "")])),
                ],
            );
        }
        for key in ["disks", "install-methods"] {
            db.set_entry("VM", vm, "other_config", key, None);
        }
        db.update(
            "VM",
            vm,
            [
                ("is_a_template", Value::Bool(false)),
                ("is_default_template", Value::Bool(false)),
            ],
        );
        power::refresh_devices(db, vm);
        void()
    })
}

struct Disk {
    device: String,
    size: i64,
    sr: String,
    bootable: bool,
}

/// The disks of `<provision><disk device="0" size="..." sr="" bootable="true" type="system"/></provision>`.
fn disks(xml: &str) -> Vec<Disk> {
    let attribute = |element: &str, name: &str| {
        let start = element.find(&format!("{name}=\""))? + name.len() + 2;
        element[start..].split('"').next().map(str::to_owned)
    };
    xml.split("<disk ")
        .skip(1)
        .map(|element| Disk {
            device: attribute(element, "device").unwrap_or_default(),
            size: attribute(element, "size")
                .and_then(|size| size.parse().ok())
                .unwrap_or(8 << 30),
            sr: attribute(element, "sr").unwrap_or_default(),
            bootable: attribute(element, "bootable").as_deref() == Some("true"),
        })
        .collect()
}
