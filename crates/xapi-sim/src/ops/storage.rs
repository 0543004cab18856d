//! Disks and where they live: VDI, SR, PBD.

mod repositories;

use super::{Outcome, clone, lifecycle, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const VDI: &[&str] = &[
    "snapshot",
    "clone",
    "copy",
    "resize",
    "resize_online",
    "forget",
    "update",
    "set_name_label",
    "set_name_description",
    "pool_migrate",
    "enable_cbt",
    "disable_cbt",
    "data_destroy",
    "list_changed_blocks",
    "get_nbd_info",
    "revert",
];
pub const SR: &[&str] = &[
    "scan",
    "create",
    "introduce",
    "forget",
    "destroy",
    "update",
    "get_supported_types",
    "probe",
    "probe_ext",
    "get_live_hosts",
    "set_name_label",
    "set_name_description",
    "set_shared",
    "assert_can_host_ha_statefile",
];
pub const PBD: &[&str] = &["plug", "unplug"];

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("VDI", "create") => create_vdi(call, &p[0]).map(Some),
        ("VDI", "snapshot" | "clone") => {
            let operation = if name == "clone" { "clone" } else { "snapshot" };
            let marks = call.begin(|db| mark_vdi(db, this, operation)).await?;
            call.pass(&marks, 0.5).await?;
            Ok(Some(Value::from(call.end(&marks, |db| {
                clone::copy_vdi(db, this, name == "snapshot", None)
            }))))
        }
        ("VDI", "copy") => {
            let into = p[3].str();
            let plan = |db: &Db| {
                assert_copy_fits(db, this, into)?;
                mark_vdi(db, this, "copy")
            };
            let marks = call.begin(plan).await?;
            call.pass(&marks, 4.0).await?;
            let made = call.end(&marks, |db| match db.exists("VDI", into) {
                true => {
                    let uuid = db.text("VDI", this, "uuid");
                    db.disks.copy(this, &uuid, into);
                    into.to_owned()
                }
                false => clone::copy_vdi(db, this, false, Some(p[1].str())),
            });
            Ok(Some(Value::from(made)))
        }
        ("VDI", "pool_migrate") => migrate_vdi(call, this, p[1].str()).await,
        ("VDI", "resize" | "resize_online") => resize(call, this, p[1].int(), name == "resize").await,
        ("VDI", "destroy" | "forget") => destroy_vdi(call, this, name == "destroy").await,
        ("VDI", "update") => call.pool.db().check("VDI", this).and_then(|()| void()),
        ("VDI", "enable_cbt" | "disable_cbt") => call.write(|db| {
            db.check("VDI", this)?;
            db.set("VDI", this, "cbt_enabled", name == "enable_cbt");
            void()
        }),
        ("VDI", "data_destroy") => call.write(|db| {
            db.check("VDI", this)?;
            db.update(
                "VDI",
                this,
                [
                    ("type", Value::from("cbt_metadata")),
                    ("physical_utilisation", Value::Int(0)),
                ],
            );
            void()
        }),
        ("VDI", "revert") => revert(call, this).await,
        ("VDI", "list_changed_blocks") => call.pool.db().check("VDI", this).map(|()| Some(Value::void())),
        ("VDI", "get_nbd_info") => call
            .pool
            .db()
            .check("VDI", this)
            .map(|()| Some(Value::Set(vec![]))),
        ("SR", "scan") => {
            let marks = call
                .begin(|db| {
                    db.check("SR", this)?;
                    need_pbd(db, this)?;
                    Ok(vec![("SR", this.to_owned(), "scan")])
                })
                .await?;
            call.pass(&marks, 1.0).await?;
            call.end(&marks, |db| {
                db.set_entry("SR", this, "other_config", "dirty", None);
            });
            void()
        }
        ("SR", "create") => repositories::create(call, p).await.map(Some),
        ("SR", "introduce") => repositories::introduce(call, p).map(Some),
        ("SR", "forget" | "destroy") => repositories::remove(call, this, name == "destroy"),
        ("SR", "update" | "assert_can_host_ha_statefile") => {
            call.pool.db().check("SR", this).and_then(|()| void())
        }
        ("SR", "get_supported_types") => {
            let db = call.pool.db();
            Ok(Some(Value::set_of(
                db.refs("SM").iter().map(|sm| db.text("SM", sm, "type")),
            )))
        }
        ("SR", "probe" | "probe_ext") => super::probe::run(call, name, p),
        ("SR", "get_live_hosts") => {
            let db = call.pool.db();
            db.check("SR", this)?;
            let pbds = db.members("SR", this, "PBDs");
            let plugged = pbds
                .iter()
                .filter(|pbd| db.get("PBD", pbd, "currently_attached").bool());
            Ok(Some(Value::set_of(
                plugged.map(|pbd| db.text("PBD", pbd, "host")),
            )))
        }
        ("SR", "set_shared") => call.write(|db| {
            db.check("SR", this)?;
            if !p[1].bool() && db.get("SR", this, "PBDs").set().len() > 1 {
                return Err(Fault::new("SR_HAS_MULTIPLE_PBDS", [this]));
            }
            db.set("SR", this, "shared", p[1].clone());
            void()
        }),
        ("PBD", "create") => repositories::create_pbd(call, &p[0]).map(Some),
        ("PBD", "plug" | "unplug") => repositories::plug(call, this, name == "plug").await,
        ("PBD", "destroy") => call.write(|db| {
            db.check("PBD", this)?;
            if db.get("PBD", this, "currently_attached").bool() {
                return Err(Fault::not_allowed("PBD is currently attached"));
            }
            db.destroy("PBD", this);
            void()
        }),
        _ => Ok(None),
    }
}

fn need_pbd(db: &Db, sr: &str) -> Result<(), Fault> {
    let mut pbds = db.get("SR", sr, "PBDs").set().iter();
    match pbds.any(|pbd| db.get("PBD", pbd.str(), "currently_attached").bool()) {
        true => Ok(()),
        false => Err(Fault::new("SR_HAS_NO_PBDS", [sr])),
    }
}

/// Is it the memory of a suspended VM?
fn holds_memory(db: &Db, vdi: &str) -> bool {
    db.get("VDI", vdi, "type").str() == "suspend" && db.find("VM", "suspend_VDI", vdi).is_some()
}

/// Asserts an operation on a disk and marks the disk and its SR.
fn mark_vdi(db: &Db, vdi: &str, operation: &'static str) -> Result<Vec<super::Mark>, Fault> {
    db.check("VDI", vdi)?;
    lifecycle::conflict(db, "VDI", vdi, operation)?;
    let sr = db.text("VDI", vdi, "SR");
    need_pbd(db, &sr)?;
    let live = matches!(operation, "snapshot" | "clone" | "resize_online");
    let may_copy = operation == "copy" && !lifecycle::attached_for_writing(db, vdi);
    if !live && lifecycle::attached(db, vdi) && !may_copy {
        return Err(Fault::new("VDI_IN_USE", [vdi, operation]));
    }
    if matches!(operation, "destroy" | "forget") && holds_memory(db, vdi) {
        return Err(Fault::new("VDI_IN_USE", [vdi, operation]));
    }
    if operation == "destroy" {
        match db.get("SR", &sr, "type").str() {
            "udev" => return Err(Fault::new("VDI_IS_A_PHYSICAL_DEVICE", [vdi])),
            _ if db.get("SR", &sr, "is_tools_sr").bool() => {
                return Err(Fault::new("SR_OPERATION_NOT_SUPPORTED", [sr]));
            }
            _ if lifecycle::keeps_heartbeat(db, vdi) => return Err(Fault::bare("HA_IS_ENABLED")),
            _ => {}
        }
    }
    let on_sr = match operation {
        "snapshot" => "vdi_snapshot",
        "clone" => "vdi_clone",
        "copy" => "vdi_copy",
        "destroy" => "vdi_destroy",
        _ => "vdi_resize",
    };
    Ok(vec![("VDI", vdi.to_owned(), operation), ("SR", sr, on_sr)])
}

/// The record of a fresh disk.
pub fn new_vdi(db: &mut Db, sr: &str, name: &str, size: i64) -> String {
    let uuid = db.seed.uuid();
    let vdi = db.create(
        "VDI",
        [
            ("uuid", Value::from(&uuid)),
            ("location", Value::from(&uuid)),
            ("name_label", Value::from(name)),
            ("SR", Value::from(sr)),
            ("type", Value::from("user")),
            ("managed", Value::Bool(true)),
            ("virtual_size", Value::Int(size)),
            ("physical_utilisation", Value::Int(size / 50)),
            ("sm_config", Value::map_of([("vdi_type", "vhd")])),
        ],
    );
    account(db, sr, size);
    lifecycle::refresh(db, "VDI", &vdi);
    vdi.to_string()
}

fn account(db: &mut Db, sr: &str, size: i64) {
    for (field, share) in [("virtual_allocation", 1), ("physical_utilisation", 50)] {
        let sum = db.get("SR", sr, field).int().saturating_add(size / share);
        db.set("SR", sr, field, sum.max(0));
    }
}

/// The largest disk that VHD can hold.
const LARGEST_DISK: i64 = 2040 << 30;

/// Can the repository make a disk of that size?
fn assert_room(db: &Db, sr: &str, size: i64) -> Result<(), Fault> {
    let kind = db.get("SR", sr, "type").str();
    if kind == "udev" || db.get("SR", sr, "is_tools_sr").bool() {
        return Err(Fault::new("SR_OPERATION_NOT_SUPPORTED", [sr]));
    }
    if !(0..=LARGEST_DISK).contains(&size) {
        let text = "VDI Invalid size [opterr=VDI size must be between 1 MB and 2088960 MB]";
        return Err(Fault::new("SR_BACKEND_FAILURE_79", ["", text, ""]));
    }
    let used = db.get("SR", sr, "physical_utilisation").int();
    let free = db.get("SR", sr, "physical_size").int().saturating_sub(used);
    // The others take room as it is written.
    if kind.starts_with("lvm") && size > free {
        return Err(Fault::new(
            "SR_BACKEND_FAILURE_44",
            ["", "There is insufficient space", ""],
        ));
    }
    Ok(())
}

fn create_vdi(call: &Call, record: &Value) -> Result<Value, Fault> {
    let sr = record.text("SR").to_owned();
    {
        let db = call.pool.db();
        db.check("SR", &sr)?;
        need_pbd(&db, &sr)?;
        assert_room(&db, &sr, record.entry("virtual_size").map_or(0, Value::int))?;
    }
    let mut record = record.clone();
    for (field, value) in [("sharable", false), ("read_only", false)] {
        if record.entry(field).is_none() {
            record = record.with(field, Some(Value::Bool(value)));
        }
    }
    if record.entry("other_config").is_none() {
        record = record.with("other_config", Some(Value::empty_map()));
    }
    let made = super::records::create(call, crate::db::class("VDI"), &record)?;
    call.write(|db| {
        let vdi = made.str();
        // The VHD format rounds up to 2 MiB.
        let size = db.get("VDI", vdi, "virtual_size").int();
        let size = (size + (2 << 20) - 1) / (2 << 20) * (2 << 20);
        let uuid = db.text("VDI", vdi, "uuid");
        db.set_entry("VDI", vdi, "sm_config", "vdi_type", Some(Value::from("vhd")));
        db.update(
            "VDI",
            vdi,
            [
                ("location", Value::from(uuid)),
                ("managed", Value::Bool(true)),
                ("virtual_size", Value::Int(size)),
                ("physical_utilisation", Value::Int(size / 50)),
            ],
        );
        db.disks.blank(vdi);
        account(db, &sr, size);
        lifecycle::refresh(db, "VDI", vdi);
    });
    Ok(made)
}

async fn resize(call: &Call, vdi: &str, size: i64, offline: bool) -> Outcome {
    let operation = if offline { "resize" } else { "resize_online" };
    let marks = call.begin(|db| mark_vdi(db, vdi, operation)).await?;
    call.pass(&marks, 0.5).await?;
    call.end(&marks, |db| {
        let old = db.get("VDI", vdi, "virtual_size").int();
        if size < old {
            return Err(Fault::new(
                "SR_BACKEND_FAILURE_79",
                ["", "VDI Invalid size [opterr=shrinking not allowed]", ""],
            ));
        }
        db.set("VDI", vdi, "virtual_size", size);
        let sr = db.text("VDI", vdi, "SR");
        account(db, &sr, size - old);
        void()
    })
}

async fn destroy_vdi(call: &Call, vdi: &str, with_data: bool) -> Outcome {
    let marks = call
        .begin(|db| mark_vdi(db, vdi, if with_data { "destroy" } else { "forget" }))
        .await?;
    call.pass(&marks, 0.5).await?;
    call.end(&marks, |db| forget_disk(db, vdi));
    void()
}

/// Can the contents of a disk go into another one, if there is one?
fn assert_copy_fits(db: &Db, vdi: &str, into: &str) -> Result<(), Fault> {
    db.check("VDI", vdi)?;
    if !db.exists("VDI", into) {
        return Ok(());
    }
    let size = |vdi: &str| db.get("VDI", vdi, "virtual_size").int();
    if db.get("VDI", into, "read_only").bool() {
        return Err(Fault::new("VDI_READONLY", [into]));
    }
    match size(into) < size(vdi) {
        true => Err(Fault::new("VDI_TOO_SMALL", [into, &size(vdi).to_string()])),
        false => Ok(()),
    }
}

/// A disk gets the contents of its snapshot back; it keeps its reference, and all its snapshots.
async fn revert(call: &Call, snapshot: &str) -> Outcome {
    let disk = {
        let db = call.pool.db();
        db.check("VDI", snapshot)?;
        if !db.get("VDI", snapshot, "is_a_snapshot").bool() {
            return Err(Fault::not_allowed("VDI is not a snapshot"));
        }
        db.text("VDI", snapshot, "snapshot_of")
    };
    let marks = call.begin(|db| mark_vdi(db, &disk, "revert")).await?;
    call.pass(&marks, 1.0).await?;
    call.end(&marks, |db| {
        let (sr, old) = (
            db.text("VDI", &disk, "SR"),
            db.get("VDI", &disk, "virtual_size").int(),
        );
        for field in ["virtual_size", "physical_utilisation", "type"] {
            let value = db.get("VDI", snapshot, field).clone();
            db.set("VDI", &disk, field, value);
        }
        let uuid = db.text("VDI", snapshot, "uuid");
        db.disks.copy(snapshot, &uuid, &disk);
        let new = db.get("VDI", &disk, "virtual_size").int();
        account(db, &sr, new - old);
    });
    void()
}

/// The record of a disk goes, and what pointed to it: VBDs too, but for CD drives, which become empty.
pub fn forget_disk(db: &mut Db, vdi: &str) {
    for vbd in db.members("VDI", vdi, "VBDs") {
        if db.get("VBD", &vbd, "type").str() == "CD" {
            let empty = [("empty", Value::Bool(true)), ("VDI", Value::null())];
            db.update("VBD", &vbd, empty);
        } else {
            super::devices::remove(db, "VBD", &vbd);
        }
    }
    let (sr, size) = (
        db.text("VDI", vdi, "SR"),
        db.get("VDI", vdi, "virtual_size").int(),
    );
    if db.destroy("VDI", vdi) {
        account(db, &sr, size.saturating_neg());
    }
}

/// The disk moves and gets a new reference and uuid; its VBDs follow.
async fn migrate_vdi(call: &Call, vdi: &str, sr: &str) -> Outcome {
    let marks = call
        .begin(|db| {
            db.check("VDI", vdi)?;
            db.check("SR", sr)?;
            lifecycle::conflict(db, "VDI", vdi, "mirror")?;
            if db.get("VDI", vdi, "VBDs").set().is_empty() {
                return Err(Fault::new("VDI_NEEDS_VM_FOR_MIGRATE", [vdi]));
            }
            if holds_memory(db, vdi) {
                return Err(Fault::new("VDI_IN_USE", [vdi, "mirror"]));
            }
            Ok(vec![("VDI", vdi.to_owned(), "mirror")])
        })
        .await?;
    call.pass(&marks, 6.0).await?;
    let made = call.end(&marks, |db| super::migrate::move_disk(db, vdi, sr));
    Ok(Some(Value::from(made)))
}
