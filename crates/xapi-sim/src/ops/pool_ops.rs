//! The pool object: questions and settings.

use super::{Outcome, void};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const MESSAGES: &[&str] = &[
    "sync_database",
    "get_license_state",
    "has_extension",
    "is_slave",
    "set_ha_host_failures_to_tolerate",
    "certificate_list",
    "crl_list",
    "ha_compute_max_host_failures_to_tolerate",
    "ha_failover_plan_exists",
    "test_archive_target",
    "certificate_sync",
    "create_VLAN_from_PIF",
    "designate_new_master",
];

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let value = |value: Value| Ok(Some(value));
    match name {
        "sync_database" | "certificate_sync" => void(),
        "get_license_state" => {
            call.pool.db().check("pool", p[0].str())?;
            value(Value::map_of([("edition", "xcp-ng"), ("expiry", "never")]))
        }
        "has_extension" | "is_slave" | "ha_failover_plan_exists" => value(Value::Bool(false)),
        "set_ha_host_failures_to_tolerate" => call.pool.write(|db| {
            db.check("pool", p[0].str())?;
            db.set("pool", p[0].str(), "ha_host_failures_to_tolerate", p[1].clone());
            void()
        }),
        "ha_compute_max_host_failures_to_tolerate" => value(Value::Int(0)),
        "designate_new_master" => {
            let host = p[0].str();
            let db = call.pool.db();
            db.check("host", host)?;
            let metrics = db.text("host", host, "metrics");
            if !db.get("host_metrics", &metrics, "live").bool() || !call.pool.is_up(host) {
                return Err(Fault::new("HOST_OFFLINE", [host]));
            }
            if db.master() != host {
                let (pool, host) = (call.pool.clone(), host.to_owned());
                call.pool.afterwards(move || pool.change_master(&host));
            }
            void()
        }
        "certificate_list" | "crl_list" => value(Value::Set(vec![])),
        "test_archive_target" => value(Value::from("True")),
        "create_VLAN_from_PIF" => {
            let (pif, network, tag) = (p[0].str(), p[1].str(), p[2].int());
            call.pool.write(|db| {
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
