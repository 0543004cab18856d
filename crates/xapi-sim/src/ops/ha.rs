//! High availability: switching it on and off, and what the pool says about its plans. What happens when a host
//! dies meanwhile is in [`crate::pool::members`].

use super::{Outcome, storage, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const MESSAGES: &[&str] = &[
    "enable_ha",
    "disable_ha",
    "ha_prevent_restarts_for",
    "ha_failover_plan_exists",
    "ha_compute_max_host_failures_to_tolerate",
    "ha_compute_hypothetical_max_host_failures_to_tolerate",
    "ha_compute_vm_failover_plan",
    "ha_schedule_plan_recomputation",
    "set_ha_host_failures_to_tolerate",
];

pub async fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let value = |value: Value| Ok(Some(value));
    match name {
        "enable_ha" => {
            call.work(5.0).await?;
            call.write(|db| enable(db, &p[0], &p[1]))
        }
        "disable_ha" => {
            call.work(3.0).await?;
            call.write(disable)
        }
        "ha_prevent_restarts_for" | "ha_schedule_plan_recomputation" => {
            let db = call.pool.db();
            match db.get("pool", &db.pool(), "ha_enabled").bool() {
                true => void(),
                false => Err(Fault::bare("HA_NOT_ENABLED")),
            }
        }
        "ha_failover_plan_exists" => {
            let db = call.pool.db();
            let most = most_failures(&db);
            value(Value::Bool(p[0].int() <= most))
        }
        "ha_compute_max_host_failures_to_tolerate"
        | "ha_compute_hypothetical_max_host_failures_to_tolerate" => {
            value(Value::Int(most_failures(&call.pool.db())))
        }
        "ha_compute_vm_failover_plan" => value(Value::empty_map()),
        "set_ha_host_failures_to_tolerate" => call.write(|db| {
            let (pool, wanted) = (p[0].str(), p[1].int());
            db.check("pool", pool)?;
            if wanted < 0 {
                return Err(Fault::invalid_value("value", wanted.to_string()));
            }
            if db.get("pool", pool, "ha_enabled").bool() && wanted > most_failures(db) {
                return Err(Fault::bare("HA_NO_PLAN"));
            }
            db.update(
                "pool",
                pool,
                [
                    ("ha_host_failures_to_tolerate", Value::Int(wanted)),
                    ("ha_plan_exists_for", Value::Int(wanted)),
                ],
            );
            void()
        }),
        _ => Ok(None),
    }
}

/// As many hosts as can fail while the others have the memory for all protected guests.
fn most_failures(db: &Db) -> i64 {
    let protected = db.refs("VM").into_iter();
    let protected = protected.filter(|vm| db.get("VM", vm, "ha_restart_priority").str() == "restart");
    let needed: i64 = protected
        .map(|vm| db.get("VM", &vm, "memory_dynamic_max").int())
        .sum();
    let mut memory: Vec<i64> = db
        .refs("host")
        .iter()
        .map(|host| {
            let metrics = db.text("host", host, "metrics");
            db.get("host_metrics", &metrics, "memory_total").int()
        })
        .collect();
    // The largest fail first.
    memory.sort_unstable();
    let mut failures = 0;
    while memory.len() > 1 {
        memory.pop();
        if memory.iter().sum::<i64>() < needed {
            break;
        }
        failures += 1;
    }
    failures
}

fn enable(db: &mut Db, srs: &Value, configuration: &Value) -> Outcome {
    let pool = db.pool();
    if db.get("pool", &pool, "ha_enabled").bool() {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    for host in db.refs("host") {
        let metrics = db.text("host", &host, "metrics");
        if !db.get("host_metrics", &metrics, "live").bool() {
            return Err(Fault::new("HOST_OFFLINE", [&*host]));
        }
    }
    let mut chosen = srs.strings();
    for sr in &chosen {
        db.check("SR", sr)?;
        if !db.get("SR", sr, "shared").bool() {
            return Err(Fault::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
        }
    }
    if chosen.is_empty() {
        let usable =
            |sr: &str| db.get("SR", sr, "shared").bool() && db.get("SR", sr, "content_type").str() != "iso";
        let all = db.refs("SR").into_iter();
        chosen.extend(all.filter(|sr| usable(sr)).map(|sr| sr.to_string()));
    }
    let Some(sr) = chosen.first().cloned() else {
        return Err(Fault::bare("CANNOT_CREATE_STATE_FILE"));
    };
    let mut made = Vec::new();
    for (name, kind, size) in [
        ("Statefile for HA", "ha_statefile", 4 << 20),
        ("Metadata for HA", "redo_log", 256 << 20),
    ] {
        let vdi = storage::new_vdi(db, &sr, name, size);
        db.set("VDI", &vdi, "type", kind);
        made.push(vdi);
    }
    let hosts = db.refs("host");
    let peers = Value::set_of(hosts.iter().map(|host| db.text("host", host, "uuid")));
    for host in &hosts {
        let state = [
            ("ha_statefiles", Value::set_of([&*made[0]])),
            ("ha_network_peers", peers.clone()),
        ];
        db.update("host", host, state);
    }
    let most = most_failures(db);
    db.update(
        "pool",
        &pool,
        [
            ("ha_enabled", Value::Bool(true)),
            ("ha_configuration", configuration.clone()),
            ("ha_statefiles", Value::set_of([&*made[0]])),
            ("ha_plan_exists_for", Value::Int(most)),
            ("ha_host_failures_to_tolerate", Value::Int(most)),
            ("ha_overcommitted", Value::Bool(false)),
        ],
    );
    void()
}

fn disable(db: &mut Db) -> Outcome {
    let pool = db.pool();
    if !db.get("pool", &pool, "ha_enabled").bool() {
        return Err(Fault::bare("HA_NOT_ENABLED"));
    }
    for vdi in db.refs("VDI") {
        if matches!(db.get("VDI", &vdi, "type").str(), "ha_statefile" | "redo_log") {
            storage::forget_disk(db, &vdi);
        }
    }
    let nothing = || Value::Set(vec![]);
    for host in db.refs("host") {
        let state = [("ha_statefiles", nothing()), ("ha_network_peers", nothing())];
        db.update("host", &host, state);
    }
    db.update(
        "pool",
        &pool,
        [
            ("ha_enabled", Value::Bool(false)),
            ("ha_configuration", Value::empty_map()),
            ("ha_statefiles", nothing()),
            ("ha_plan_exists_for", Value::Int(0)),
        ],
    );
    void()
}
