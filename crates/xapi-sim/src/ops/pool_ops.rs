//! The pool object: questions and settings.

use super::{Outcome, void};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const MESSAGES: &[&str] = &[
    "sync_database",
    "get_license_state",
    "has_extension",
    "test_archive_target",
    "certificate_sync",
    "create_VLAN_from_PIF",
];

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let value = |value: Value| Ok(Some(value));
    match name {
        "sync_database" | "certificate_sync" => void(),
        "get_license_state" => {
            call.pool.db().check("pool", p[0].str())?;
            value(Value::map_of([("edition", "xcp-ng"), ("expiry", "never")]))
        }
        "has_extension" => value(Value::Bool(false)),
        "test_archive_target" => value(Value::from("True")),
        "create_VLAN_from_PIF" => {
            let (pif, network, tag) = (p[0].str(), p[1].str(), p[2].int());
            call.write(|db| {
                db.check("PIF", pif)?;
                let device = db.text("PIF", pif, "device");
                let mut made = Vec::new();
                for other in db.refs("PIF") {
                    if db.text("PIF", &other, "device") == device && db.get("PIF", &other, "VLAN").int() == -1
                    {
                        let vlan = super::network::create_vlan(db, &other, tag, network)?;
                        made.push(db.text("VLAN", &vlan, "untagged_PIF"));
                    }
                }
                Ok::<_, Fault>(Some(Value::set_of(made)))
            })
        }
        _ => Ok(None),
    }
}
