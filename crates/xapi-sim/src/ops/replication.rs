//! Preparing for a disaster: a pool keeps a copy of its database on storage, and another pool that sees the storage
//! introduces it and opens the copy.

use super::{Outcome, lifecycle, storage, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::pool::libraries::{Replica, pool_uuid, replicas};
use crate::rpc::Call;
use crate::value::Value;
use crate::world::load::dump;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "SR.enable_database_replication",
    "SR.disable_database_replication",
    "SR.assert_supports_database_replication",
    "VDI.open_database",
    "VDI.read_database_pool_uuid",
    "session.create_from_db_file",
    "DR_task.create",
    "DR_task.destroy",
];

/// Where a host keeps the database of its pool.
const DATABASE: &str = "/var/xapi/state.db";
const METADATA_SIZE: i64 = 256 << 20;

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("SR", "assert_supports_database_replication") => {
            supports(&call.pool.db(), this).and_then(|()| void())
        }
        ("SR", "enable_database_replication") => {
            supports(&call.pool.db(), this)?;
            call.work(2.0).await?;
            call.write(|db| enable(call, db, this))
        }
        ("SR", "disable_database_replication") => call.write(|db| {
            db.check("SR", this)?;
            for vdi in own_copies(db, this) {
                let uuid = db.text("VDI", &vdi, "uuid");
                replicas().retain(|replica| replica.vdi != uuid);
                storage::forget_disk(db, &vdi);
            }
            void()
        }),
        ("VDI", "read_database_pool_uuid") => {
            let db = call.pool.db();
            db.check("VDI", this)?;
            let uuid = match replica_on(&db, this) {
                Some(replica) if replica.is_of(call) => pool_uuid(&db),
                Some(replica) => pool_uuid(&replica.pool.db()),
                None => String::new(),
            };
            Ok(Some(Value::from(uuid)))
        }
        ("VDI", "open_database") => open(call, this).map(Some),
        ("session", "create_from_db_file") => {
            if this != DATABASE {
                let text = format!("Unix.Unix_error(Unix.ENOENT, \"open\", \"{this}\")");
                return Err(Fault::internal(text));
            }
            let records = dump(&call.pool.db());
            let session = call.pool.open_library(&records, "")?;
            Ok(Some(Value::from(session)))
        }
        ("DR_task", "create") => {
            if call.pool.db().find("SM", "type", this).is_none() {
                return Err(Fault::new("SR_UNKNOWN_DRIVER", [this]));
            }
            call.work(5.0).await?;
            create_task(call, this, &p[1], &p[2])
        }
        ("DR_task", "destroy") => destroy_task(call, this),
        _ => Ok(None),
    }
}

impl Replica {
    fn is_of(&self, call: &Call) -> bool {
        std::sync::Arc::ptr_eq(&self.pool, &call.pool)
    }
}

fn supports(db: &Db, sr: &str) -> Result<(), Fault> {
    db.check("SR", sr)?;
    let pbds = db.members("SR", sr, "PBDs");
    if pbds.is_empty() {
        return Err(Fault::new("SR_HAS_NO_PBDS", [sr]));
    }
    if pbds
        .iter()
        .any(|pbd| !db.get("PBD", pbd, "currently_attached").bool())
    {
        return Err(Fault::new("SR_NOT_ATTACHED", [sr]));
    }
    let kind = db.text("SR", sr, "type");
    match matches!(kind.as_str(), "iso" | "udev") || db.get("SR", sr, "is_tools_sr").bool() {
        true => Err(Fault::new("SR_OPERATION_NOT_SUPPORTED", [sr])),
        false => Ok(()),
    }
}

/// The copies of the own database in a repository.
fn own_copies(db: &Db, sr: &str) -> Vec<String> {
    let own = db.pool();
    let vdis = db.members("SR", sr, "VDIs").into_iter();
    vdis.filter(|vdi| {
        db.text("VDI", vdi, "type") == "metadata" && db.text("VDI", vdi, "metadata_of_pool") == *own
    })
    .collect()
}

fn enable(call: &Call, db: &mut Db, sr: &str) -> Outcome {
    if !own_copies(db, sr).is_empty() {
        return void();
    }
    let vdi = storage::new_vdi(db, sr, "Metadata for DR", METADATA_SIZE);
    let pool = db.pool();
    db.update(
        "VDI",
        &vdi,
        [
            ("type", Value::from("metadata")),
            ("metadata_of_pool", Value::from(&*pool)),
            ("metadata_latest", Value::Bool(true)),
        ],
    );
    lifecycle::refresh(db, "VDI", &vdi);
    let pbd = db
        .members("SR", sr, "PBDs")
        .into_iter()
        .next()
        .unwrap_or_default();
    replicas().push(Replica {
        sr: db.text("SR", sr, "uuid"),
        vdi: db.text("VDI", &vdi, "uuid"),
        kind: db.text("SR", sr, "type"),
        device_config: db.get("PBD", &pbd, "device_config").clone(),
        pool: call.pool.clone(),
    });
    void()
}

fn replica_on(db: &Db, vdi: &str) -> Option<Replica> {
    let uuid = db.text("VDI", vdi, "uuid");
    replicas().iter().find(|replica| replica.vdi == uuid).cloned()
}

fn open(call: &Call, vdi: &str) -> Result<Value, Fault> {
    let replica = {
        let db = call.pool.db();
        db.check("VDI", vdi)?;
        let kind = db.text("VDI", vdi, "type");
        if kind != "metadata" {
            return Err(Fault::new("VDI_INCOMPATIBLE_TYPE", [vdi, &kind]));
        }
        let missing = || Fault::new("COULD_NOT_IMPORT_DATABASE", ["there is no database on the disk"]);
        let replica = replica_on(&db, vdi).ok_or_else(missing)?;
        if replica.is_of(call) {
            return Err(Fault::new(
                "VDI_CONTAINS_METADATA_OF_THIS_POOL",
                [vdi, &db.pool()],
            ));
        }
        replica
    };
    let records = dump(&replica.pool.db());
    call.pool.open_library(&records, vdi).map(Value::from)
}

/// What of a repository's disks another pool finds on the storage.
const ON_STORAGE: [&str; 11] = [
    "uuid",
    "location",
    "name_label",
    "name_description",
    "type",
    "virtual_size",
    "physical_utilisation",
    "read_only",
    "sharable",
    "is_a_snapshot",
    "sm_config",
];

/// Introduces the wanted repositories of that storage that hold databases.
fn create_task(call: &Call, kind: &str, device_config: &Value, wanted: &Value) -> Outcome {
    let given = |replica: &&Replica| {
        let mut config = device_config.map().iter();
        let same = config.all(|(key, value)| replica.device_config.entry(key) == Some(value));
        replica.kind == kind && same && wanted.contains(&replica.sr) && !replica.is_of(call)
    };
    let found: Vec<Replica> = replicas().iter().filter(given).cloned().collect();
    let task = call.write(|db| db.create("DR_task", []));
    for replica in found {
        let there = replica.pool.db();
        let Some(origin) = there.by_uuid("SR", &replica.sr) else {
            continue;
        };
        let sr: Vec<(&str, Value)> = [
            "uuid",
            "name_label",
            "name_description",
            "type",
            "content_type",
            "physical_size",
        ]
        .map(|field| (field, there.get("SR", &origin, field).clone()))
        .into();
        let disks: Vec<Vec<(&str, Value)>> = there
            .members("SR", &origin, "VDIs")
            .iter()
            .map(|vdi| {
                let mut fields: Vec<_> = ON_STORAGE
                    .map(|field| (field, there.get("VDI", vdi, field).clone()))
                    .into();
                if there.text("VDI", vdi, "type") == "metadata" {
                    fields.push((
                        "metadata_of_pool",
                        there.get("VDI", vdi, "metadata_of_pool").clone(),
                    ));
                    fields.push(("metadata_latest", Value::Bool(true)));
                }
                fields
            })
            .collect();
        drop(there);
        call.write(|db| {
            if db.by_uuid("SR", &replica.sr).is_none() {
                introduce(db, &task, sr, disks, &replica.device_config);
            }
        });
    }
    Ok(Some(Value::from(&*task)))
}

fn introduce(
    db: &mut Db,
    task: &str,
    sr: Vec<(&str, Value)>,
    disks: Vec<Vec<(&str, Value)>>,
    device_config: &Value,
) {
    let own = [
        ("shared", Value::Bool(true)),
        ("introduced_by", Value::from(task)),
    ];
    let sr = db.create("SR", sr.into_iter().chain(own));
    for host in db.refs("host") {
        let fields = [
            ("host", Value::from(&*host)),
            ("SR", Value::from(&*sr)),
            ("device_config", device_config.clone()),
            ("currently_attached", Value::Bool(true)),
        ];
        db.create("PBD", fields);
    }
    for disk in disks {
        // Snapshots of other pools come with their VMs.
        if disk
            .iter()
            .any(|(field, uuid)| *field == "uuid" && db.by_uuid("VDI", uuid.str()).is_some())
        {
            continue;
        }
        let own = [("SR", Value::from(&*sr)), ("managed", Value::Bool(true))];
        let vdi = db.create("VDI", disk.into_iter().chain(own));
        lifecycle::refresh(db, "VDI", &vdi);
    }
    lifecycle::refresh(db, "SR", &sr);
}

/// What is needed by guests that were recovered stays, the rest is forgotten.
fn destroy_task(call: &Call, task: &str) -> Outcome {
    call.write(|db| {
        db.check(&class("DR_task").name, task)?;
        let srs = db.members("DR_task", task, "introduced_SRs");
        for sr in &srs {
            if let Some(vdi) = db
                .members("SR", sr, "VDIs")
                .iter()
                .find(|vdi| call.pool.is_open(vdi))
            {
                let why = format!("the database on {vdi} is open");
                return Err(Fault::new("CANNOT_DESTROY_DISASTER_RECOVERY_TASK", [why]));
            }
        }
        for sr in srs {
            let vdis = db.members("SR", &sr, "VDIs");
            if vdis
                .iter()
                .any(|vdi| !db.get("VDI", vdi, "VBDs").set().is_empty())
            {
                db.set("SR", &sr, "introduced_by", Value::null());
                continue;
            }
            for (class, field) in [("PBD", "PBDs"), ("VDI", "VDIs")] {
                for member in db.members("SR", &sr, field) {
                    db.destroy(class, &member);
                }
            }
            db.destroy("SR", &sr);
        }
        db.destroy("DR_task", task);
        void()
    })
}
