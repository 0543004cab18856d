//! `event.from` and its older sisters.

use serde_json::json;
use xapi_sim::Value;

use crate::client::{Client, pool, vm_in};

#[tokio::test]
async fn the_first_call_brings_everything_and_the_counts() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let batch = client.events(json!(["VM", "host"]), "", 1.0).await;
    assert!(
        batch
            .events
            .iter()
            .all(|event| event["operation"] == "add" && event["timestamp"] == "0.0")
    );
    let expected = pool.read(|db| db.count("VM") + db.count("host"));
    assert_eq!(batch.events.len(), expected);
    assert_eq!(
        batch.counts["vbd"].as_u64(),
        Some(pool.read(|db| db.count("VBD")) as u64)
    );
    assert_eq!(batch.counts["session"], 1);
    assert_eq!(batch.token.len(), 41);
}

#[tokio::test]
async fn changes_come_coalesced_and_in_order() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["*"]), "", 1.0).await.token;
    let (vm, gone, new) = pool.write(|db| {
        let gone = db.create("VDI", []);
        let vms = db.refs("VM");
        db.set("VM", &vms[0], "name_label", "one");
        db.set("VM", &vms[0], "name_label", "two");
        let short_lived = db.create("VM", []);
        db.destroy("VM", &short_lived);
        let new = db.create("VBD", [("VM", Value::from(&*vms[0]))]);
        (vms[0].to_string(), gone.to_string(), new.to_string())
    });
    let batch = client.events(json!(["vm", "VBD", "vdi"]), &token, 5.0).await;
    let expected = [
        ("vdi", "add", gone.as_str()),
        ("vbd", "add", &new),
        ("vm", "mod", &vm),
    ];
    assert_eq!(batch.summary(), expected);
    assert_eq!(batch.events[2]["snapshot"]["name_label"], "two");
    assert!(batch.events[2]["id"].is_string());
    pool.write(|db| db.destroy("VDI", &gone));
    let batch = client.events(json!(["VDI"]), &batch.token, 5.0).await;
    assert_eq!(batch.summary(), [("vdi", "del", gone.as_str())]);
    assert!(batch.events[0].get("snapshot").is_none());
}

#[tokio::test]
async fn a_time_out_gives_an_empty_list_and_a_valid_token() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["pool"]), "", 1.0).await.token;
    let batch = client.events(json!(["pool"]), &token, 0.05).await;
    assert!(batch.events.is_empty());
    pool.write(|db| {
        let vm = db.refs("VM")[0].clone();
        db.set("VM", &vm, "name_label", "unseen");
    });
    let batch = client
        .events(json!(["pool", "nonsense"]), &batch.token, 0.05)
        .await;
    assert!(batch.events.is_empty(), "other classes do not wake");
    assert_eq!(
        client.fault("event.from", json!([["a/b/c"], "", 1.0])).await,
        ["EVENT_SUBSCRIPTION_PARSE_FAILURE", "a/b/c"]
    );
    assert_eq!(
        client.fault("event.from", json!([["*"], "x", 1.0])).await,
        ["EVENT_FROM_TOKEN_PARSE_FAILURE", "x"]
    );
}

#[tokio::test]
async fn a_change_wakes_a_blocked_call() {
    let pool = pool().await;
    let (mut waiting, mut acting) = (Client::login(&pool).await, Client::login(&pool).await);
    let vm = vm_in(&pool, "Running");
    let token = waiting.events(json!([format!("VM/{vm}")]), "", 1.0).await.token;
    let (batch, _) = tokio::join!(
        waiting.events(json!([format!("vm/{vm}")]), &token, 15.0),
        acting.ok("VM.set_name_description", json!([vm, "woken"])),
    );
    assert_eq!(batch.events[0]["snapshot"]["name_description"], "woken");
}

#[tokio::test]
async fn inject_gives_a_token_that_brings_the_event() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let reference = client.ok("pool.get_all", json!([])).await[0].clone();
    let token = client.ok("event.inject", json!(["pool", reference])).await;
    let batch = client
        .events(json!(["pool"]), token.as_str().expect("token"), 5.0)
        .await;
    assert_eq!(
        batch.summary(),
        [("pool", "mod", reference.as_str().expect("ref"))]
    );
}

#[tokio::test]
async fn messages_come_first_and_never_as_mods() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["*"]), "", 1.0).await.token;
    let vm = vm_in(&pool, "Running");
    client.ok("VM.hard_shutdown", json!([vm])).await;
    let batch = client.events(json!(["message", "vm"]), &token, 5.0).await;
    assert_eq!(batch.events[0]["class"], "message");
    assert_eq!(batch.events[0]["id"], "0");
    assert_eq!(batch.events[0]["snapshot"]["name"], "VM_SHUTDOWN");
    assert!(batch.counts.get("message").is_none());
}

#[tokio::test]
async fn the_older_calls_work_too() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    assert_eq!(
        client.fault("event.next", json!([])).await[0],
        "SESSION_NOT_REGISTERED"
    );
    client.ok("event.register", json!([["VM"]])).await;
    let vm = vm_in(&pool, "Running");
    client.ok("VM.set_name_label", json!([vm, "older"])).await;
    let events = client.ok("event.next", json!([])).await;
    assert_eq!(
        (&events[0]["operation"], &events[0]["snapshot"]["name_label"]),
        (&json!("mod"), &json!("older"))
    );
}

#[tokio::test]
async fn the_older_calls_tell_when_events_are_lost() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    client.ok("event.register", json!([["task"]])).await;
    pool.write(|db| {
        for _ in 0..600 {
            let task = db.create("task", []);
            db.destroy("task", &task);
        }
    });
    assert_eq!(client.fault("event.next", json!([])).await, ["EVENTS_LOST"]);
    assert_eq!(
        client.fault("event.next", json!([])).await,
        ["EVENTS_LOST"],
        "until registered anew"
    );
    client.ok("event.unregister", json!([["task"]])).await;
    client.ok("event.register", json!([["task"]])).await;
    let task = client.ok("task.create", json!(["after", ""])).await;
    let events = client.ok("event.next", json!([])).await;
    // The call that registers runs under a task of its own, which ends meanwhile.
    let mut events = events.as_array().expect("events").iter();
    let event = events.find(|event| event["ref"] == task).expect("the new one");
    assert_eq!(event["operation"], "add");
    // Others do not care.
    let mut other = Client::login(&pool).await;
    other.ok("event.register", json!([["pool"]])).await;
    pool.write(|db| {
        for _ in 0..600 {
            let task = db.create("task", []);
            db.destroy("task", &task);
        }
    });
    // A pool that nothing happens to says that it lives.
    let events = other.ok("event.next", json!([])).await;
    assert_eq!(
        (&events[0]["class"], &events[0]["operation"]),
        (&json!("pool"), &json!("mod"))
    );
}
