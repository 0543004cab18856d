//! Worlds from files.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};

async fn load(records: &Json) -> SimPool {
    let config = PoolConfig {
        time_scale: 0.0,
        ..PoolConfig::default()
    };
    SimPool::start_from(config, records).await.expect("it starts")
}

#[tokio::test]
async fn a_dump_starts_the_same_world() {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        vms: 30,
        ..PoolConfig::default()
    })
    .await;
    let before = pool.dump();
    let again = load(&before).await;
    let after = again.dump();
    for (reference, record) in before.as_object().expect("records") {
        let (old, new) = (record.as_object().expect("a record"), &after[reference]);
        for (field, value) in old {
            // The order of a set of references says nothing.
            let sorted = |value: &Json| match value.as_array() {
                Some(items) => {
                    let mut items: Vec<String> = items.iter().map(Json::to_string).collect();
                    items.sort();
                    json!(items)
                }
                None => value.clone(),
            };
            assert_eq!(sorted(value), sorted(&new[field]), "{} {field}", record["class"]);
        }
    }
    assert_eq!(
        before.as_object().map(|o| o.len()),
        after.as_object().map(|o| o.len())
    );
    let master = pool.members()[0].host.clone();
    assert_eq!(again.members()[0].host, master);
    Client::login(&again).await;
}

#[tokio::test]
async fn records_of_other_releases_are_taken_for_what_they_say() {
    let pool = load(&json!({
        "OpaqueRef:h": { "class": "host", "name_label": "old", "address": "10.1.1.1", "field_gone_since": 7 },
        "OpaqueRef:p": { "class": "pool", "master": "OpaqueRef:h" },
        "OpaqueRef:v": {
            "class": "vm", "name_label": "first", "power_state": "Halted", "VCPUs_max": "4", "is_a_template": "false",
            "memory_static_max": 1073741824.0, "other_config": { "a": "b" }, "VBDs": ["OpaqueRef:forged"], "tags": null,
        },
        "OpaqueRef:b": { "class": "VBD", "VM": "OpaqueRef:v", "VDI": "OpaqueRef:missing", "userdevice": 0 },
        "OpaqueRef:x": { "class": "no_such_class" },
        "OpaqueRef:s": { "class": "session" },
    }))
    .await;
    let mut client = Client::login(&pool).await;
    let vm = client.ok("VM.get_record", json!(["OpaqueRef:v"])).await;
    assert_eq!(vm["VCPUs_max"], 4);
    assert_eq!(vm["memory_static_max"], 1_073_741_824_i64);
    assert_eq!(
        vm["VBDs"],
        json!(["OpaqueRef:b"]),
        "relations follow from their forward ends"
    );
    assert_eq!(vm["other_config"], json!({ "a": "b" }));
    assert_eq!(vm["is_a_template"], false);
    assert!(
        vm["uuid"].as_str().is_some_and(|uuid| uuid.len() == 36),
        "made up when missing"
    );
    assert!(
        vm["allowed_operations"]
            .as_array()
            .expect("a set")
            .contains(&json!("start"))
    );
    assert_eq!(client.ok("VBD.get_userdevice", json!(["OpaqueRef:b"])).await, "0");
    // The hosts are where the simulator is.
    assert_eq!(
        client.ok("host.get_address", json!(["OpaqueRef:h"])).await,
        "127.0.0.1"
    );
    client.ok("VM.start", json!(["OpaqueRef:v", false, false])).await;
}

#[tokio::test]
async fn records_without_a_host_are_refused() {
    let config = PoolConfig::default;
    assert!(SimPool::start_from(config(), &json!({})).await.is_err());
    assert!(SimPool::start_from(config(), &json!([1])).await.is_err());
}
