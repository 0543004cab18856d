//! Patches of older releases, updates of newer ones, and the crash dumps that one sends about them.

use super::{Outcome, void};
use crate::db::{Db, Ref};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "pool_patch.apply",
    "pool_patch.pool_apply",
    "pool_patch.precheck",
    "pool_patch.clean",
    "pool_patch.pool_clean",
    "pool_patch.clean_on_host",
    "pool_patch.destroy",
    "host_patch.apply",
    "host_patch.destroy",
    "pool_update.introduce",
    "pool_update.precheck",
    "pool_update.apply",
    "pool_update.pool_apply",
    "pool_update.pool_clean",
    "pool_update.destroy",
    "pool_update.attach",
    "pool_update.detach",
    "pool_update.resync_host",
    "crashdump.destroy",
    "host_crashdump.destroy",
    "host_crashdump.upload",
];

/// How long it takes to install one, at time scale 1.
const APPLY_SECONDS: f64 = 20.0;
const CHECK_SECONDS: f64 = 2.0;

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("pool_patch", _) => patch(call, name, p).await,
        ("pool_update", "introduce") => introduce(call, this),
        ("pool_update", _) => update(call, name, p).await,
        ("host_patch", "apply") => {
            let patch = {
                let db = call.pool.db();
                db.check("host_patch", this)?;
                let applied = db.get("host_patch", this, "applied").bool();
                let patch = db.text("host_patch", this, "pool_patch");
                if applied {
                    return Err(Fault::new("PATCH_ALREADY_APPLIED", [patch]));
                }
                patch
            };
            call.work(APPLY_SECONDS).await?;
            call.write(|db| {
                db.check("host_patch", this)?;
                let host = db.text("host_patch", this, "host");
                apply_patch(db, &patch, &host);
                Ok(Some(Value::from("patch applied")))
            })
        }
        ("host_patch", "destroy") => call.write(|db| {
            db.check("host_patch", this)?;
            if db.get("host_patch", this, "applied").bool() {
                return Err(Fault::bare("PATCH_IS_APPLIED"));
            }
            db.destroy("host_patch", this);
            void()
        }),
        ("crashdump", "destroy") | ("host_crashdump", "destroy") => call.write(|db| {
            db.check(class, this)?;
            db.destroy(class, this);
            void()
        }),
        ("host_crashdump", "upload") => {
            call.pool.db().check(class, this)?;
            super::machines::check_url(p[1].str())?;
            // Nothing is sent anywhere.
            void()
        }
        _ => Ok(None),
    }
}

async fn patch(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    call.pool.db().check("pool_patch", this)?;
    let host = p.get(1).map_or("", Value::str);
    match name {
        "precheck" | "apply" | "clean_on_host" => call.pool.db().check("host", host)?,
        _ => {}
    }
    let is_on = |db: &Db, host: &str| has_patch(db, this, host);
    let refuse = |db: &Db, host: &str| match is_on(db, host) {
        true => Err(Fault::new("PATCH_ALREADY_APPLIED", [this])),
        false => Ok(()),
    };
    match name {
        "precheck" => {
            refuse(&call.pool.db(), host)?;
            call.work(CHECK_SECONDS).await?;
            Ok(Some(Value::from("")))
        }
        "apply" | "pool_apply" => {
            let hosts = {
                let db = call.pool.db();
                match name {
                    "apply" => {
                        refuse(&db, host)?;
                        vec![Ref::from(host)]
                    }
                    _ => {
                        let hosts: Vec<Ref> = db
                            .refs("host")
                            .into_iter()
                            .filter(|host| !is_on(&db, host))
                            .collect();
                        if hosts.is_empty() {
                            return Err(Fault::new("PATCH_ALREADY_APPLIED", [this]));
                        }
                        hosts
                    }
                }
            };
            for host in hosts {
                call.work(APPLY_SECONDS).await?;
                call.write(|db| apply_patch(db, this, &host));
            }
            match name {
                "apply" => Ok(Some(Value::from("patch applied"))),
                _ => void(),
            }
        }
        "destroy" => call.write(|db| {
            if db.refs("host").iter().any(|host| is_on(db, host)) {
                return Err(Fault::bare("PATCH_IS_APPLIED"));
            }
            for record in db.members("pool_patch", this, "host_patches") {
                db.destroy("host_patch", &record);
            }
            db.destroy("pool_patch", this);
            void()
        }),
        // The file goes, the records stay.
        _ => call.write(|db| {
            db.set("pool_patch", this, "size", 0);
            void()
        }),
    }
}

/// What a patch changes, by way of its update where it has one.
fn apply_patch(db: &mut Db, patch: &str, host: &str) {
    match update_of(db, patch) {
        Some(update) => install(db, &update, host),
        None => note_patch(db, patch, host),
    }
}

/// The record that a patch is on a host.
fn note_patch(db: &mut Db, patch: &str, host: &str) {
    let records = db.members("pool_patch", patch, "host_patches").into_iter();
    let mut own = records.filter(|record| db.text("host_patch", record, "host") == host);
    let record = match own.next() {
        Some(record) => record,
        None => {
            let copied = ["name_label", "name_description", "version", "size"];
            let copied = copied.map(|field| (field, db.get("pool_patch", patch, field).clone()));
            let fields = copied
                .into_iter()
                .chain([("host", Value::from(host)), ("pool_patch", Value::from(patch))]);
            db.create("host_patch", fields).to_string()
        }
    };
    let now = Value::Date(db.now());
    let applied = [("applied", Value::Bool(true)), ("timestamp_applied", now)];
    db.update("host_patch", &record, applied);
    let on_all = db.refs("host").iter().all(|host| has_patch(db, patch, host));
    db.set("pool_patch", patch, "pool_applied", on_all);
}

fn has_patch(db: &Db, patch: &str, host: &str) -> bool {
    let records = db.members("pool_patch", patch, "host_patches").into_iter();
    let mut records = records.filter(|record| db.text("host_patch", record, "host") == host);
    records.any(|record| db.get("host_patch", &record, "applied").bool())
}

fn update_of(db: &Db, patch: &str) -> Option<String> {
    let update = db.text("pool_patch", patch, "pool_update");
    db.exists("pool_update", &update).then_some(update)
}

/// An update is on a host: older clients read it as a patch, and it may want a restart.
fn install(db: &mut Db, update: &str, host: &str) {
    let add = |db: &mut Db, class: &str, reference: &str, field: &str, item: &str| {
        let mut items = db.get(class, reference, field).set().to_vec();
        items.push(Value::from(item));
        db.set(class, reference, field, Value::Set(items));
    };
    if !db.get("pool_update", update, "hosts").contains(host) {
        add(db, "pool_update", update, "hosts", host);
    }
    if db
        .get("pool_update", update, "after_apply_guidance")
        .contains("restartHost")
        && !db.get("host", host, "updates_requiring_reboot").contains(update)
    {
        add(db, "host", host, "updates_requiring_reboot", update);
    }
    let of_update = |patch: &Ref| db.text("pool_patch", patch, "pool_update") == update;
    let patches: Vec<Ref> = db.refs("pool_patch").into_iter().filter(of_update).collect();
    for patch in patches {
        note_patch(db, &patch, host);
    }
}

/// An update is a disk, known by its name: one that was cleaned away comes back with a new disk.
fn introduce(call: &Call, vdi: &str) -> Outcome {
    call.write(|db| {
        db.check("VDI", vdi)?;
        let (name, size) = (
            db.text("VDI", vdi, "name_label"),
            db.get("VDI", vdi, "virtual_size").clone(),
        );
        if let Some(known) = db.find("pool_update", "name_label", &name) {
            if db.exists("VDI", &db.text("pool_update", &known, "vdi")) {
                return Err(Fault::new(
                    "UPDATE_ALREADY_EXISTS",
                    [db.text("pool_update", &known, "uuid")],
                ));
            }
            db.set("pool_update", &known, "vdi", vdi);
            return Ok(Some(Value::from(&*known)));
        }
        let about = Value::from(db.text("VDI", vdi, "name_description"));
        let update = db.create(
            "pool_update",
            [
                ("name_label", Value::from(name)),
                ("name_description", about),
                ("version", Value::from("1.0")),
                ("installation_size", size),
                ("vdi", Value::from(vdi)),
            ],
        );
        Ok(Some(Value::from(&*update)))
    })
}

async fn update(call: &Call, name: &str, p: &[Value]) -> Outcome {
    if name == "resync_host" {
        call.pool.db().check("host", p[0].str())?;
        return void();
    }
    let this = p[0].str();
    call.pool.db().check("pool_update", this)?;
    let host = p.get(1).map_or("", Value::str);
    let is_on = |db: &Db, host: &str| db.get("pool_update", this, "hosts").contains(host);
    let already = || Err(Fault::new("UPDATE_ALREADY_APPLIED", [this]));
    match name {
        "precheck" | "apply" => {
            {
                let db = call.pool.db();
                db.check("host", host)?;
                if is_on(&db, host) {
                    return already();
                }
            }
            if name == "precheck" {
                call.work(CHECK_SECONDS).await?;
                return Ok(Some(Value::from("ok")));
            }
            call.work(APPLY_SECONDS).await?;
            call.write(|db| install(db, this, host));
            void()
        }
        "pool_apply" => {
            let hosts: Vec<Ref> = {
                let db = call.pool.db();
                db.refs("host")
                    .into_iter()
                    .filter(|host| !is_on(&db, host))
                    .collect()
            };
            if hosts.is_empty() {
                return Err(Fault::new("UPDATE_ALREADY_APPLIED_IN_POOL", [this]));
            }
            for host in hosts {
                call.work(APPLY_SECONDS).await?;
                call.write(|db| install(db, this, &host));
            }
            void()
        }
        "destroy" => call.write(|db| {
            if !db.get("pool_update", this, "hosts").set().is_empty() {
                return Err(Fault::bare("UPDATE_IS_APPLIED"));
            }
            for patch in db.members("pool_update", this, "patches") {
                db.set("pool_patch", &patch, "pool_update", Value::null());
            }
            let vdi = db.text("pool_update", this, "vdi");
            db.destroy("pool_update", this);
            if db.exists("VDI", &vdi) {
                super::storage::forget_disk(db, &vdi);
            }
            void()
        }),
        "pool_clean" => call.write(|db| {
            let vdi = db.text("pool_update", this, "vdi");
            db.set("pool_update", this, "vdi", Value::null());
            if db.exists("VDI", &vdi) {
                super::storage::forget_disk(db, &vdi);
            }
            void()
        }),
        "attach" => {
            let db = call.pool.db();
            let uuid = db.text("pool_update", this, "uuid");
            let address = db.text("host", &db.master(), "address");
            Ok(Some(Value::from(format!("http://{address}/update/{uuid}/"))))
        }
        _ => void(),
    }
}
