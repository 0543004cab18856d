//! `message` records: what XAPI tells people about.

use crate::db::Db;
use crate::value::Value;

/// XAPI keeps at most this many; the oldest go.
const KEPT: usize = 10_000;

pub fn create(db: &mut Db, name: &str, priority: i64, cls: &str, uuid: &str, body: String) -> crate::db::Ref {
    if db.count("message") >= KEPT {
        let class = crate::db::class("message");
        let oldest = db
            .rows(class)
            .min_by_key(|(_, row)| row.created)
            .map(|(reference, _)| reference.clone());
        if let Some(oldest) = oldest {
            db.destroy("message", &oldest);
        }
    }
    db.create(
        "message",
        [
            ("name", Value::from(name)),
            ("priority", Value::Int(priority)),
            ("cls", Value::from(cls)),
            ("obj_uuid", Value::from(uuid)),
            ("timestamp", Value::Date(db.now())),
            ("body", Value::from(body)),
        ],
    )
}

/// The message of a VM operation: "VM 'name' (uuid: ...) started on host: ...".
pub fn vm(db: &mut Db, vm: &str, name: &str, what: &str) {
    let (label, uuid) = (db.text("VM", vm, "name_label"), db.text("VM", vm, "uuid"));
    let host = db.text("VM", vm, "resident_on");
    let mut body = format!("VM '{label}' (uuid: {uuid}) {what}");
    if db.exists("host", &host) {
        let (host_label, host_uuid) = (
            db.text("host", &host, "name_label"),
            db.text("host", &host, "uuid"),
        );
        body.push_str(&format!(" on host: {host_label} (uuid: {host_uuid})"));
    }
    create(db, name, 5, "VM", &uuid, body);
}
