//! Hosts: enabling, emptying, rebooting, and what one asks of them.

use super::{Outcome, lifecycle, power, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const MESSAGES: &[&str] = &[
    "enable",
    "disable",
    "evacuate",
    "assert_can_evacuate",
    "get_vms_which_prevent_evacuation",
    "get_servertime",
    "get_server_localtime",
    "reboot",
    "shutdown",
    "power_on",
    "restart_agent",
    "compute_free_memory",
    "compute_memory_overhead",
    "call_plugin",
    "has_extension",
    "get_management_interface",
    "list_methods",
    "get_uncooperative_resident_VMs",
    "set_multipathing",
    "set_iscsi_iqn",
    "set_hostname_live",
    "syslog_reconfigure",
    "set_power_on_mode",
    "get_data_sources",
    "get_log",
    "dmesg",
    "sync_data",
];

/// Where a host's own settings would keep it.
const STAYS_DISABLED: &str = "host_auto_enable_off";

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    if !MESSAGES.contains(&name) {
        return Ok(None);
    }
    let host = p.first().map_or("", Value::str);
    if name == "list_methods" {
        return Ok(Some(Value::Set(vec![])));
    }
    call.pool.db().check("host", host)?;
    let value = |value: Value| Ok(Some(value));
    match name {
        "enable" | "disable" => call.write(|db| {
            db.set("host", host, "enabled", name == "enable");
            // Whether it stays disabled when it restarts.
            let stays = name == "disable" && p.get(1).is_some_and(|auto| !auto.bool());
            let mark = stays.then(|| Value::from("true"));
            db.set_entry("host", host, "other_config", STAYS_DISABLED, mark);
            lifecycle::refresh(db, "host", host);
            void()
        }),
        "evacuate" => evacuate(call, host).await,
        "assert_can_evacuate" => {
            let blockers = blockers(&call.pool.db(), host);
            if blockers.is_empty() {
                return void();
            }
            let texts: Vec<String> = blockers
                .iter()
                .map(|(_, fault)| fault.description().join(","))
                .collect();
            Err(Fault::new("CANNOT_EVACUATE_HOST", [texts.join("|")]))
        }
        "get_vms_which_prevent_evacuation" => {
            let blockers = blockers(&call.pool.db(), host);
            value(Value::map_of(
                blockers
                    .into_iter()
                    .map(|(vm, fault)| (vm, Value::set_of(fault.description()))),
            ))
        }
        "get_servertime" | "get_server_localtime" => value(Value::Date(call.pool.db().now())),
        "reboot" | "shutdown" => down(call, host, name == "reboot").await,
        "power_on" => {
            let metrics = call.pool.db().text("host", host, "metrics");
            if call.pool.db().get("host_metrics", &metrics, "live").bool() {
                return Err(Fault::new("HOST_IS_LIVE", [host]));
            }
            call.work(10.0).await?;
            rise(call, host).await;
            void()
        }
        "compute_free_memory" => {
            let db = call.pool.db();
            value(
                db.get(
                    "host_metrics",
                    db.get("host", host, "metrics").str(),
                    "memory_free",
                )
                .clone(),
            )
        }
        "compute_memory_overhead" => value(call.pool.db().get("host", host, "memory_overhead").clone()),
        "call_plugin" => Err(Fault::new("XENAPI_MISSING_PLUGIN", [p[1].str()])),
        "has_extension" => value(Value::Bool(false)),
        "get_management_interface" => {
            let db = call.pool.db();
            let pifs = db.members("host", host, "PIFs");
            let pif = pifs
                .into_iter()
                .find(|pif| db.get("PIF", pif, "management").bool());
            pif.map(|pif| Some(Value::from(pif)))
                .ok_or_else(|| Fault::bare("HOST_HAS_NO_MANAGEMENT_IP"))
        }
        "set_multipathing" => call.write(|db| {
            db.set("host", host, "multipathing", p[1].clone());
            void()
        }),
        "set_iscsi_iqn" => call.write(|db| {
            db.set("host", host, "iscsi_iqn", p[1].clone());
            void()
        }),
        "set_hostname_live" => call.write(|db| {
            db.set("host", host, "hostname", p[1].clone());
            void()
        }),
        "set_power_on_mode" => call.write(|db| {
            db.update(
                "host",
                host,
                [("power_on_mode", p[1].clone()), ("power_on_config", p[2].clone())],
            );
            void()
        }),
        "get_uncooperative_resident_VMs" => value(Value::Set(vec![])),
        "get_data_sources" => value(Value::Set(crate::rrd::data_sources(
            &call.pool.db(),
            "host",
            host,
        ))),
        "get_log" | "dmesg" => value(Value::void()),
        _ => void(),
    }
}

/// Guests that cannot leave, and why.
fn blockers(db: &Db, host: &str) -> Vec<(String, Fault)> {
    let guests = guests(db, host);
    let others: Vec<_> = db
        .refs("host")
        .into_iter()
        .filter(|other| **other != *host)
        .collect();
    let mut blockers = Vec::new();
    for vm in guests {
        let fault = lifecycle::check(db, &vm, "pool_migrate").err().or_else(|| {
            let mut faults = others
                .iter()
                .map(|other| power::assert_can_boot_here(db, &vm, other));
            let fault = faults
                .next()
                .unwrap_or_else(|| Err(Fault::bare("NO_HOSTS_AVAILABLE")))
                .err()?;
            if faults.any(|placed| placed.is_ok()) {
                None
            } else {
                Some(fault)
            }
        });
        blockers.extend(fault.map(|fault| (vm, fault)));
    }
    blockers
}

fn guests(db: &Db, host: &str) -> Vec<String> {
    let resident = db.members("host", host, "resident_VMs").into_iter();
    resident
        .filter(|vm| !db.get("VM", vm, "is_control_domain").bool())
        .collect()
}

async fn evacuate(call: &Call, host: &str) -> Outcome {
    let marks = call
        .begin(|db| match blockers(db, host).into_iter().next() {
            Some((_, fault)) => Err(fault),
            None => Ok(vec![("host", host.to_owned(), "evacuate")]),
        })
        .await?;
    let guests = guests(&call.pool.db(), host);
    for vm in guests {
        let target = {
            let db = call.pool.db();
            let others = db.refs("host").into_iter().filter(|other| **other != *host);
            others
                .into_iter()
                .find(|other| power::assert_can_boot_here(&db, &vm, other).is_ok())
        };
        let moved = match target {
            Some(target) => {
                let params = [Value::from(&vm), Value::from(&*target), Value::empty_map()];
                power::run(call, "pool_migrate", &params).await
            }
            None => Err(Fault::bare("NO_HOSTS_AVAILABLE")),
        };
        if let Err(fault) = moved {
            call.end(&marks, |_| ());
            return Err(fault);
        }
    }
    call.end(&marks, |_| ());
    void()
}

/// The call returns at once; the machine goes down a little later, and comes back when it reboots.
async fn down(call: &Call, host: &str, reboots: bool) -> Outcome {
    call.write(|db| {
        if db.get("host", host, "enabled").bool() {
            return Err(Fault::bare("HOST_NOT_DISABLED"));
        }
        if let Some(vm) = guests(db, host).first() {
            return Err(Fault::new("HOST_IN_USE", [host, "vm", vm]));
        }
        db.set_entry(
            "host",
            host,
            "current_operations",
            &call.task,
            Some(Value::from("shutdown")),
        );
        lifecycle::refresh(db, "host", host);
        Ok(())
    })?;
    let (own, host) = (call.clone(), host.to_owned());
    let work = async move { go_down(&own, &host, reboots).await };
    match call.pool.config.time_scale > 0.0 {
        true => drop(call.pool.spawn(work)),
        false => work.await,
    }
    void()
}

async fn go_down(call: &Call, host: &str, reboots: bool) {
    let scale = call.pool.config.time_scale;
    let wait = |seconds: f64| tokio::time::sleep(std::time::Duration::from_secs_f64(seconds * scale));
    wait(10.0).await;
    // The master goes on answering: it is the simulator itself.
    let machine = match call.pool.db().master() == host {
        true => None,
        false => call.pool.index_of(host),
    };
    if let Some(at) = machine {
        call.pool.close(at).await;
    }
    call.write(|db| {
        let metrics = db.text("host", host, "metrics");
        db.set("host_metrics", &metrics, "live", false);
        db.set("host", host, "current_operations", Value::empty_map());
        lifecycle::refresh(db, "host", host);
    });
    if reboots {
        wait(30.0).await;
        rise(call, host).await;
    }
}

/// The machine answers again and its records say so.
async fn rise(call: &Call, host: &str) {
    if let Some(at) = call.pool.index_of(host)
        && let Err(error) = call.pool.power_on(at).await
    {
        tracing::warn!(%error, "a host does not listen after its start");
    }
    call.write(|db| up(db, host));
}

fn up(db: &mut Db, host: &str) {
    let metrics = db.text("host", host, "metrics");
    let now = format!("{}.", db.now());
    for key in ["boot_time", "agent_start_time"] {
        db.set_entry("host", host, "other_config", key, Some(Value::from(&now)));
    }
    db.set("host", host, "updates_requiring_reboot", Value::Set(vec![]));
    db.set("host_metrics", &metrics, "live", true);
    let stays = db
        .get("host", host, "other_config")
        .entry(STAYS_DISABLED)
        .is_some();
    db.set("host", host, "enabled", !stays);
    lifecycle::refresh(db, "host", host);
}
