//! Worlds from files.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};
use crate::dice::Dice;

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

#[test]
fn a_reference_that_two_records_have_is_refused_by_its_name() {
    let text =
        |second: &str| format!("{{\"OpaqueRef:a\": {{}}, \"OpaqueRef:{second}\": {{\"class\": \"host\"}}}}");
    let error = xapi_sim::parse_records(text("a").as_bytes()).expect_err("refused");
    let error = error.to_string();
    assert!(
        error.contains("two records have the reference OpaqueRef:a at line 1"),
        "{error}"
    );
    let read = xapi_sim::parse_records(text("b").as_bytes()).expect("records");
    assert_eq!(
        read,
        json!({ "OpaqueRef:a": {}, "OpaqueRef:b": { "class": "host" } })
    );
    for wrong in ["[1]", "7", "{} {}", "{\"OpaqueRef:a\": ", ""] {
        assert!(xapi_sim::parse_records(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// What releases and tools have written where this one wants something else.
const STRANGE: [&str; 12] = [
    "null",
    "\"\"",
    "\"of another release\"",
    "-1",
    "1.5e300",
    "true",
    "[]",
    "{}",
    "[\"OpaqueRef:nowhere\", null, 3]",
    "{\"key\": null, \"other\": [\"deep\"]}",
    "\"OpaqueRef:nowhere\"",
    "\"20991231T00:00:00Z\"",
];

/// Any record may lack fields, have others, name what is gone, and say what no enum knows: the pool starts, answers,
/// and nothing fails inside.
#[tokio::test]
async fn no_record_is_too_strange() {
    let whole = pool_with(PoolConfig {
        hosts: 2,
        vms: 12,
        ..PoolConfig::default()
    })
    .await
    .dump();
    for seed in 0..8 {
        let mut dice = Dice(seed);
        let mut records = whole.clone();
        let all = records.as_object_mut().expect("records");
        let host = all
            .iter()
            .find(|(_, record)| record["class"] == "host")
            .map(|(host, _)| host.clone());
        for (reference, record) in all.iter_mut() {
            let record = record.as_object_mut().expect("a record");
            let fields: Vec<String> = record.keys().filter(|field| *field != "class").cloned().collect();
            for field in fields {
                match dice.below(8) {
                    0 => drop(record.remove(&field)),
                    1 => {
                        let strange = STRANGE[dice.below(STRANGE.len())];
                        record.insert(field, serde_json::from_str(strange).expect("JSON"));
                    }
                    _ => {}
                }
            }
            record.insert("field_of_tomorrow".to_owned(), json!(reference));
        }
        all.retain(|reference, _| dice.below(12) > 0 || Some(reference) == host.as_ref());
        let pool = load(&records).await;
        let mut client = Client::login(&pool).await;
        let master = pool.members()[0].host.to_string();
        let classes = xapi_sim::model::model().classes.iter();
        for class in classes.filter(|class| class.message("get_all_records").is_some()) {
            client
                .ok(&format!("{}.get_all_records", class.name), json!([]))
                .await;
        }
        client.events(json!(["*"]), "", 1.0).await;
        let vms = pool.read(|db| db.refs("VM"));
        for vm in vms.iter().map(|vm| vm.to_string()) {
            for (method, params) in [
                ("VM.start", json!([vm, false, false])),
                ("VM.pool_migrate", json!([vm, master, {}])),
                ("VM.snapshot", json!([vm, "strange", []])),
                ("VM.clone", json!([vm, "strange"])),
                ("VM.suspend", json!([vm])),
                ("VM.hard_shutdown", json!([vm])),
                ("VM.get_possible_hosts", json!([vm])),
                ("VM.destroy", json!([vm])),
            ] {
                // They may refuse; they may not fail.
                if let Err(error) = client.call(method, params).await {
                    assert!(
                        !error.to_string().contains("the simulator failed"),
                        "{seed} {method}: {error}"
                    );
                }
            }
        }
        let again = load(&pool.dump()).await;
        assert_eq!(again.read(|db| db.count("VM")), pool.read(|db| db.count("VM")));
        pool.stop().await;
        again.stop().await;
    }
}

#[tokio::test]
async fn hosts_keep_their_numbers_and_people_their_accounts() {
    let config = || PoolConfig {
        hosts: 4,
        users: vec![xapi_sim::User {
            name: "ann".to_owned(),
            password: "secret".to_owned(),
            role: "vm-operator".to_owned(),
        }],
        time_scale: 0.0,
        ..PoolConfig::default()
    };
    let pool = pool_with(config()).await;
    let again = SimPool::start_from(config(), &pool.dump())
        .await
        .expect("it starts");
    let hosts = |pool: &SimPool| -> Vec<_> { pool.members().into_iter().map(|member| member.host).collect() };
    assert_eq!(hosts(&again), hosts(&pool));
    assert_eq!(again.read(|db| db.count("subject")), 1);
}

#[tokio::test]
async fn what_is_made_after_loading_has_names_of_its_own() {
    let before = pool_with(PoolConfig::default()).await.dump();
    let pool = load(&before).await;
    let known = before.as_object().expect("records");
    let uuids: Vec<&Json> = known.values().map(|record| &record["uuid"]).collect();
    pool.write(|db| {
        for _ in 0..known.len() {
            let made = db.create("secret", []);
            assert!(!known.contains_key(&*made), "{made} is there already");
            assert!(!uuids.contains(&&json!(db.text("secret", &made, "uuid"))));
        }
    });
}
