//! Settings of hosts and questions to them.

use super::things;
use crate::db::Db;
use crate::fault::Fault;
use crate::ops::{Outcome, membership, void};
use crate::rpc::Call;
use crate::value::Value;

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    let value = |value: Value| Ok(Some(value));
    match name {
        "disable_local_storage_caching" => call.write(|db| {
            db.set("host", this, "local_cache_sr", Value::null());
            void()
        }),
        "get_sched_gran" => {
            let db = call.pool.db();
            let set = db.get("host", this, "other_config").text("sched-gran").to_owned();
            value(Value::from(if set.is_empty() { "cpu".to_owned() } else { set }))
        }
        "set_sched_gran" => call.write(|db| {
            db.set_entry("host", this, "other_config", "sched-gran", Some(p[1].clone()));
            void()
        }),
        // Takes effect at the next restart.
        "enable_display" | "disable_display" => call.write(|db| {
            let now = db.text("host", this, "display");
            let next = match (name, now.as_str()) {
                ("enable_display", "disabled" | "enable_on_reboot") => "enable_on_reboot",
                ("enable_display", _) => "enabled",
                (_, "enabled" | "disable_on_reboot") => "disable_on_reboot",
                _ => "disabled",
            };
            db.set("host", this, "display", next);
            Ok(Some(Value::from(next)))
        }),
        "call_extension" => Err(Fault::new("MESSAGE_METHOD_UNKNOWN", [p[1].str()])),
        "dmesg_clear" => value(Value::void()),
        "get_system_status_capabilities" => value(Value::from(
            "<?xml version=\"1.0\" ?><system-status-capabilities><capability key=\"xapi\" default-checked=\"yes\"/></system-status-capabilities>",
        )),
        "get_tracked_user_agents" => {
            let db = call.pool.db();
            let agents = db.refs("session").into_iter();
            let agents = agents.map(|session| db.text("session", &session, "originator"));
            let agents = agents.filter(|agent| !agent.is_empty());
            value(Value::map_of(
                agents
                    .map(|agent| (agent, Value::from("")))
                    .collect::<std::collections::BTreeMap<_, _>>(),
            ))
        }
        "get_ntp_servers_status" => {
            let db = call.pool.db();
            let servers = db.get("host", this, "ntp_custom_servers").strings();
            value(Value::map_of(
                servers.into_iter().map(|server| (server, Value::from("^*"))),
            ))
        }
        "get_ntp_synchronized" | "ha_xapi_healthcheck" => value(Value::Bool(true)),
        "list_timezones" => value(Value::set_of([
            "UTC",
            "Europe/Paris",
            "Europe/London",
            "America/New_York",
        ])),
        "set_servertime" => {
            if call.pool.db().text("host", this, "ntp_mode") != "disabled" {
                return Err(Fault::new("NOT_ALLOWED_WHEN_NTP_IS_ENABLED", [this]));
            }
            void()
        }
        "management_reconfigure" => call.write(|db| manage_by(db, this)),
        "query_data_source" | "record_data_source" | "forget_data_source_archives" => {
            things::sources(call, "host", name, p)
        }
        "retrieve_wlb_evacuate_recommendations" => Err(Fault::bare("WLB_NOT_INITIALIZED")),
        "apply_updates" => {
            let db = call.pool.db();
            if db.get("pool", &db.pool(), "repositories").set().is_empty() {
                return Err(Fault::bare("NO_REPOSITORY_ENABLED"));
            }
            if db.get("host", this, "enabled").bool() {
                return Err(Fault::bare("HOST_NOT_DISABLED"));
            }
            value(Value::Set(vec![]))
        }
        "declare_dead" => call.write(|db| {
            let metrics = db.text("host", this, "metrics");
            db.set("host_metrics", &metrics, "live", false);
            membership::recover_guests(db, this);
            void()
        }),
        "emergency_ha_disable" => call.write(|db| {
            let pool = db.pool();
            db.set("pool", &pool, "ha_enabled", false);
            void()
        }),
        "license_add" => Err(Fault::bare("LICENSE_PROCESSING_ERROR")),
        "shutdown_agent" => {
            let pool = call.pool.clone();
            call.pool.afterwards(move || pool.restart());
            void()
        }
        _ => value(match name {
            "get_diagnostic_timing_stats" => Value::empty_map(),
            _ => Value::void(),
        }),
    }
}

/// The management interface of a host moves; its address is the host's.
pub fn manage_by(db: &mut Db, pif: &str) -> Outcome {
    if db.get("pool", &db.pool(), "ha_enabled").bool() {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    if db.exists("Bond", db.get("PIF", pif, "bond_slave_of").str()) {
        return Err(Fault::new("CANNOT_PLUG_BOND_SLAVE", [pif]));
    }
    if db.text("PIF", pif, "ip_configuration_mode") == "None" {
        return Err(Fault::new("PIF_HAS_NO_NETWORK_CONFIGURATION", [pif]));
    }
    let host = db.text("PIF", pif, "host");
    for other in db.members("host", &host, "PIFs") {
        db.set("PIF", &other, "management", *other == *pif);
    }
    db.set("PIF", pif, "currently_attached", true);
    void()
}
