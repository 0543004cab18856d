//! What a call does when its connection dies.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::{Limits, Pace};
use std::time::Duration;
use xapi_sim::{PoolConfig, SimPool};

struct Scene {
    server: TestServer,
    pool: SimPool,
    client: Client,
    link: String,
}

/// A pool whose next answer is the one of the next call: polls neither end by themselves nor bring news at once.
async fn scene() -> Scene {
    let server = TestServer::start_with(Limits {
        pace: Pace {
            poll: Duration::from_secs(60),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let pool = SimPool::start(PoolConfig {
        time_scale: 0.0,
        batch_ms: 500,
        ..PoolConfig::default()
    })
    .await
    .expect("a pool");
    let mut client = server.admin().await;
    let link = client.add_pool(&pool).await;
    Scene {
        server,
        pool,
        client,
        link,
    }
}

#[tokio::test]
async fn what_only_reads_is_asked_again() {
    let scene = scene().await;
    let (vm, id) = guest(&scene.pool, "Running");
    let pool = scene.server.app.pools.pool_of_server(&scene.link);
    let pool = pool.expect("connected");
    scene.pool.truncate_answers(1);
    let answer = pool.call("VM.get_uuid", &[json!(vm)]).await.expect("an answer");
    assert_eq!(answer.parse::<String>().expect("a uuid"), id);
    assert_eq!(scene.pool.stats().calls_of("VM.get_uuid"), 2);
}

#[tokio::test]
async fn a_refusal_of_what_is_asked_again_is_an_answer() {
    let scene = scene().await;
    let pool = scene.server.app.pools.pool_of_server(&scene.link);
    let pool = pool.expect("connected");
    scene
        .pool
        .trouble("black-hole", "swallow")
        .await
        .expect("a fault");
    let nobody = [json!("OpaqueRef:00000000-0000-0000-0000-000000000001")];
    let asking = tokio::spawn(async move { pool.call("VM.get_record", &nobody).await });
    let asked = || scene.pool.stats().calls_of("VM.get_record");
    eventually("it is asked", async || (asked() > 0).then_some(())).await;
    scene.pool.trouble("black-hole", "off").await.expect("an end");
    let answer = tokio::time::timeout(DEADLINE, asking).await;
    let error = answer.expect("in time").expect("it ran").expect_err("refused");
    assert!(error.is_fault("HANDLE_INVALID"), "{error}");
}

#[tokio::test]
async fn what_changes_something_is_not_asked_again() {
    let mut scene = scene().await;
    let (vm, id) = guest(&scene.pool, "Running");
    scene.pool.truncate_answers(1);
    let tag = json!({ "id": id, "tag": "lost" });
    let answer = scene
        .client
        .call("tag.add", tag)
        .await
        .expect_err("no answer came");
    let data = &answer["data"];
    assert_eq!(data["code"], "OUTCOME_UNKNOWN", "{answer}");
    assert_eq!(data["params"][0], "VM.add_tags", "{answer}");
    assert_eq!(scene.pool.stats().calls_of("VM.add_tags"), 1);
    let tags = scene.pool.read(|db| db.get("VM", &vm, "tags").clone());
    assert!(tags.contains("lost"), "that is why it must not be called again");
}

#[tokio::test]
async fn an_operation_whose_start_was_not_answered_names_its_task() {
    let mut scene = scene().await;
    let (vm, id) = guest(&scene.pool, "Halted");
    scene.pool.truncate_answers(1);
    let start = scene.client.call("vm.start", json!({ "id": id })).await;
    let answer = start.expect_err("no answer came");
    let data = &answer["data"];
    assert_eq!(data["code"], "OUTCOME_UNKNOWN", "{answer}");
    let named = data["params"][2].as_str().expect("a task");
    let objects: Value = json!(scene.client.all_objects().await);
    assert_eq!(objects[named]["type"], "task", "{answer}");
    assert_eq!(objects[named]["name_label"], "Async.VM.start");
    assert_eq!(scene.pool.stats().calls_of("Async.VM.start"), 1);
    assert_eq!(scene.pool.read(|db| db.text("VM", &vm, "power_state")), "Running");
}

#[tokio::test]
async fn a_call_waits_for_a_link_that_comes_back() {
    let mut scene = scene().await;
    let (vm, id) = guest(&scene.pool, "Running");
    scene.pool.set_listening(false).await.expect("it stops");
    scene
        .client
        .server_until(&scene.link, "the link is lost", |server| {
            server["status"] != "connected"
        })
        .await;
    let mut other = scene.server.admin().await;
    let tag = json!({ "id": id, "tag": "patient" });
    let asked = other.request("tag.add", tag).await;
    scene.pool.set_listening(true).await.expect("it starts");
    let answer = other.answer().await;
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(asked), &json!(true)),
        "{answer}"
    );
    let tags = scene.pool.read(|db| db.get("VM", &vm, "tags").clone());
    assert!(tags.contains("patient"));
}

#[tokio::test]
async fn a_call_that_waits_is_refused_when_the_pool_is_only_to_be_read_meanwhile() {
    let mut scene = scene().await;
    let (vm, id) = guest(&scene.pool, "Running");
    scene.pool.set_listening(false).await.expect("it stops");
    scene
        .client
        .server_until(&scene.link, "the link is lost", |server| {
            server["status"] != "connected"
        })
        .await;
    let mut other = scene.server.admin().await;
    other.request("tag.add", json!({ "id": id, "tag": "late" })).await;
    // It is waiting by the time that something asked after it is answered.
    other
        .send_text(r#"{"jsonrpc":"2.0","id":"after","method":"session.getUser"}"#)
        .await;
    assert_eq!(other.answer().await["id"], "after");
    let locked = json!({ "id": scene.link, "readOnly": true });
    scene.client.ok("server.set", locked).await;
    scene.pool.set_listening(true).await.expect("it starts");
    let answer = other.answer().await;
    assert_eq!(answer["error"]["data"]["code"], "READ_ONLY", "{answer}");
    let tags = scene.pool.read(|db| db.get("VM", &vm, "tags").clone());
    assert!(!tags.contains("late"));
}

#[tokio::test]
async fn a_call_that_comes_with_the_end_of_a_link_leaves_no_session() {
    let mut scene = scene().await;
    let pool = scene.server.app.pools.pool_of_server(&scene.link);
    let pool = pool.expect("connected");
    scene
        .client
        .ok("server.disable", json!({ "id": scene.link }))
        .await;
    let error = pool.call("VM.get_all", &[]).await.expect_err("there is no link");
    assert!(
        matches!(error, xapi::CallError::Transport { sent: false, .. }),
        "{error}"
    );
    assert_eq!(scene.pool.read(|db| db.refs("session").len()), 0);
}

#[tokio::test]
async fn a_login_that_is_given_up_leaves_no_session() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    pool.set_black_hole(true);
    let link = client.ok("server.add", registration(&pool)).await;
    let sessions = || pool.read(|db| db.refs("session").len());
    eventually("the host lets it in and does not say so", async || {
        (sessions() == 1).then_some(())
    })
    .await;
    client.ok("server.disable", json!({ "id": link })).await;
    pool.set_black_hole(false);
    eventually("the session is ended", async || (sessions() == 0).then_some(())).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn what_only_reads_does_not_wait_for_a_link_that_was_given_up() {
    let mut scene = scene().await;
    let (vm, _) = guest(&scene.pool, "Running");
    let pool = scene.server.app.pools.pool_of_server(&scene.link);
    let pool = pool.expect("connected");
    scene.pool.set_black_hole(true);
    let reading = tokio::spawn(async move { pool.call("VM.get_uuid", &[json!(vm)]).await });
    eventually("the host is asked", async || {
        (scene.pool.stats().calls_of("VM.get_uuid") == 1).then_some(())
    })
    .await;
    scene
        .client
        .ok("server.disable", json!({ "id": scene.link }))
        .await;
    // A minute without this.
    let ended = tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("it ends in time");
    let error = ended.expect("no panic").expect_err("there is no link");
    assert!(
        matches!(error, xapi::CallError::Transport { sent: false, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_silent_host_was_asked_to_change_is_told_soon_after_its_link_was_given_up() {
    let mut scene = scene().await;
    let (_, id) = guest(&scene.pool, "Running");
    scene.pool.set_black_hole(true);
    let asked = json!({ "id": id, "tag": "silent" });
    let asked = scene.client.request("tag.add", asked).await;
    eventually("it is under way", async || {
        (scene.pool.stats().calls_of("VM.add_tags") == 1).then_some(())
    })
    .await;
    let mut other = scene.server.admin().await;
    other.ok("server.disable", json!({ "id": scene.link })).await;
    let answer = scene.client.answer().await;
    assert_eq!(answer["id"], asked);
    assert_eq!(answer["error"]["data"]["code"], "OUTCOME_UNKNOWN", "{answer}");
}

#[tokio::test]
async fn everybody_is_told_that_something_may_be_done_and_nobody_where() {
    let mut scene = scene().await;
    let (_, id) = guest(&scene.pool, "Running");
    let mut user = scene.server.plain_user().await;
    let own = user.ok("session.getUser", json!({})).await["id"].clone();
    let entry = json!({ "subject": own, "object": id, "action": "admin" });
    scene.client.ok("acl.add", entry).await;
    scene.pool.truncate_answers(1);
    let error = user.call("tag.add", json!({ "id": id, "tag": "lost" })).await;
    let error = error.expect_err("no answer came");
    assert_eq!(error["data"]["code"], "OUTCOME_UNKNOWN", "{error}");
    assert_eq!(error["data"]["params"][0], "VM.add_tags", "{error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_login_whose_answer_is_mislabelled_leaves_no_second_session() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    pool.trouble("content-type", "1").await.expect("a fault");
    client.add_pool(&pool).await;
    assert_eq!(pool.read(|db| db.refs("session").len()), 1);
    server.stop().await;
    pool.stop().await;
}
