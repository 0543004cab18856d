//! Tasks, tags, and guests that take their time.

use crate::{stage::Stage, support::*};
use serde_json::{Value, json};
use xapi_sim::{PoolConfig, SimPool};

#[tokio::test]
async fn a_task_is_seen_and_cancelled() {
    let pool = SimPool::start(PoolConfig {
        time_scale: 10.0,
        batch_ms: 5,
        ..PoolConfig::default()
    })
    .await
    .expect("a pool");
    let mut stage = Stage::with(pool).await;
    let (vm, id) = guest(&stage.pool, "Running");
    let mut other = stage.server.admin().await;
    let stop = other.request("vm.stop", json!({ "id": id })).await;
    let task = eventually("the task is seen", async || {
        let tasks = stage
            .client
            .ok("xo.getAllObjects", json!({ "filter": { "type": "task" } }))
            .await;
        map(&tasks)
            .iter()
            .find(|(_, task)| {
                task["status"] == "pending"
                    && task["name_label"]
                        .as_str()
                        .is_some_and(|name| name.contains("clean_shutdown"))
                    && task["allowedOperations"]
                        .as_array()
                        .is_some_and(|list| list.contains(&json!("cancel")))
            })
            .map(|(id, _)| id.clone())
    })
    .await;
    assert_eq!(stage.client.ok("task.cancel", json!({ "id": task })).await, true);
    let answer = other.answer().await;
    assert_eq!(answer["id"], stop);
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    assert_eq!(
        answer["error"]["data"]["code"], "TASK_CANCELLED",
        "an administrator is told why: {answer}"
    );
    assert_eq!(stage.pool.read(|db| db.text("VM", &vm, "power_state")), "Running");
    stage.done().await;
}

#[tokio::test]
async fn a_finished_task_is_destroyed() {
    let mut stage = Stage::new().await;
    let (_, id) = guest(&stage.pool, "Running");
    stage.client.ok("vm.pause", json!({ "id": id })).await;
    let done = |objects: &std::collections::BTreeMap<String, Value>| {
        let done = objects
            .iter()
            .find(|(_, object)| object["type"] == "task" && object["status"] == "success");
        done.map(|(id, _)| id.clone())
    };
    stage
        .client
        .until("a task has ended", |objects| done(objects).is_some())
        .await;
    let task = done(&stage.client.objects).expect("a task");
    assert_eq!(stage.client.ok("task.destroy", json!({ "id": task })).await, true);
    stage
        .client
        .until("it is gone", |objects| !objects.contains_key(&task))
        .await;
    let (code, ..) = stage.client.fails("task.destroy", json!({ "id": task })).await;
    assert_eq!(code, 1);
    let (code, ..) = stage.client.fails("task.cancel", json!({ "id": id })).await;
    assert_eq!(code, 1, "a VM is no task");
    stage.done().await;
}

#[tokio::test]
async fn tags_come_and_go() {
    let mut stage = Stage::new().await;
    let (_, vm) = guest(&stage.pool, "Halted");
    let (host, sr, network) = stage.pool.read(|db| {
        let first = |class: &str| db.text(class, &db.refs(class)[0], "uuid");
        (first("host"), first("SR"), first("network"))
    });
    let pool = stage.pool.read(uuid_of_pool);
    for id in [vm, host, sr, network, pool] {
        let has = |objects: &std::collections::BTreeMap<String, Value>| {
            objects[&id]["tags"]
                .as_array()
                .is_some_and(|tags| tags.contains(&json!("audit")))
        };
        stage
            .client
            .ok("tag.add", json!({ "id": id, "tag": "audit" }))
            .await;
        stage.client.until("the tag is there", has).await;
        stage
            .client
            .ok("tag.remove", json!({ "id": id, "tag": "audit" }))
            .await;
        stage
            .client
            .until("the tag is gone", |objects| !has(objects))
            .await;
    }
    stage.done().await;
}

/// A clean shutdown takes 12 s here, a hard one 2 s.
#[tokio::test]
async fn a_guest_that_does_not_obey_in_time_is_switched_off() {
    let pool = SimPool::start(PoolConfig {
        time_scale: 4.0,
        batch_ms: 5,
        ..PoolConfig::default()
    })
    .await
    .expect("a pool");
    let mut stage = Stage::with(pool).await;
    let (vm, id) = guest(&stage.pool, "Running");
    stage
        .client
        .ok(
            "vm.set",
            json!({ "id": id, "blockedOperations": { "clean_shutdown": "mine", "hard_shutdown": "mine" } }),
        )
        .await;
    let stopped = stage
        .client
        .ok(
            "vm.stop",
            json!({ "id": id, "forceShutdownDelay": 50, "bypassBlockedOperation": true }),
        )
        .await;
    assert_eq!(stopped, true);
    let (state, blocked) = stage.pool.read(|db| {
        let blocked = db.get("VM", &vm, "blocked_operations").clone();
        (db.text("VM", &vm, "power_state"), blocked)
    });
    assert_eq!(state, "Halted");
    assert_eq!(
        (blocked.text("clean_shutdown"), blocked.text("hard_shutdown")),
        ("mine", "mine"),
        "what was lifted is back, also when the patience ended"
    );
    let calls = stage.pool.stats();
    assert_eq!(calls.calls_of("Async.VM.clean_shutdown"), 1);
    assert_eq!(calls.calls_of("Async.VM.hard_shutdown"), 1);
    stage.done().await;
}

#[tokio::test]
async fn a_guest_that_obeys_is_not_switched_off() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Running");
    stage
        .client
        .ok("vm.stop", json!({ "id": id, "forceShutdownDelay": 600_000 }))
        .await;
    assert_eq!(stage.pool.read(|db| db.text("VM", &vm, "power_state")), "Halted");
    assert_eq!(stage.pool.stats().calls_of("Async.VM.hard_shutdown"), 0);
    stage.done().await;
}
