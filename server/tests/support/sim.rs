//! Simulated pools, and what of them is to be published.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use xapi_sim::{Db, PoolConfig, SimPool};

pub fn registration(pool: &SimPool) -> Value {
    json!({ "host": pool.url(), "username": "root", "password": "password" })
}

/// A pool whose operations take no time.
pub async fn pool() -> SimPool {
    pool_with(PoolConfig::default()).await
}

pub async fn pool_with(config: PoolConfig) -> SimPool {
    let config = PoolConfig {
        time_scale: 0.0,
        batch_ms: 5,
        ..config
    };
    SimPool::start(config).await.expect("a pool")
}

/// The classes that are published.
const PUBLISHED: &[&str] = &[
    "pool",
    "host",
    "VM",
    "SR",
    "SM",
    "PBD",
    "PIF",
    "VDI",
    "VBD",
    "VIF",
    "network",
    "message",
    "task",
    "host_patch",
    "pool_patch",
    "PCI",
    "PGPU",
    "VGPU",
    "GPU_group",
    "VGPU_type",
    "VTPM",
    "PUSB",
    "VUSB",
    "USB_group",
    "Bond",
];

/// The ids under which the contract wants a pool's objects to be published.
pub fn ids_of(db: &Db) -> BTreeSet<String> {
    let pool = uuid_of_pool(db);
    let mut ids = BTreeSet::new();
    for class in PUBLISHED {
        for reference in db.refs(class) {
            let uuid = db.text(class, &reference, "uuid");
            let is_default = *class == "VM"
                && db.get("VM", &reference, "is_default_template").bool()
                && db.get("VM", &reference, "is_a_template").bool()
                && !db.get("VM", &reference, "is_a_snapshot").bool();
            ids.insert(match *class {
                "pool_patch" => reference.to_string(),
                _ if is_default => format!("{pool}-{uuid}"),
                _ => uuid,
            });
        }
    }
    ids
}

pub fn uuid_of_pool(db: &Db) -> String {
    let pool = db.refs("pool");
    db.text("pool", &pool[0], "uuid")
}

/// References and uuids of the guests in a power state.
pub fn guests(pool: &SimPool, state: &str) -> Vec<(String, String)> {
    pool.read(|db| {
        let is = |vm: &str, field: &str| db.get("VM", vm, field).bool();
        db.refs("VM")
            .into_iter()
            .filter(|vm| {
                db.text("VM", vm, "power_state") == state
                    && !is(vm, "is_a_template")
                    && !is(vm, "is_a_snapshot")
                    && !is(vm, "is_control_domain")
                    && (state != "Running"
                        || db.get("VM", vm, "allowed_operations").contains("clean_shutdown"))
            })
            .map(|vm| (vm.to_string(), db.text("VM", &vm, "uuid")))
            .collect()
    })
}

pub fn guest(pool: &SimPool, state: &str) -> (String, String) {
    let guests = guests(pool, state);
    guests
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("no VM is {state}"))
}

pub fn ids(objects: &BTreeMap<String, Value>) -> BTreeSet<String> {
    objects.keys().cloned().collect()
}

/// How many objects there are of each type.
pub fn by_type(objects: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for object in objects.values() {
        *counts
            .entry(object["type"].as_str().expect("a type").to_owned())
            .or_default() += 1;
    }
    counts
}

pub fn map(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}
