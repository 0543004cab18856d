//! Objects that go while an answer is made (`vanish`), and answers that are lost (`black-hole=swallow`).

use std::time::Duration;

use serde_json::json;
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Batch, Client, DEADLINE, pool, pool_with};

/// So long an answer is waited for that must not come.
const SILENCE: Duration = Duration::from_millis(200);

fn rows(pool: &SimPool, class: &str) -> Vec<String> {
    pool.read(|db| db.refs(class).iter().map(ToString::to_string).collect())
}

fn shown(batch: &Batch, class: &str) -> Vec<String> {
    let events = batch.events.iter().filter(|event| event["class"] == class);
    let refs = events.map(|event| event["ref"].as_str().expect("a reference").to_owned());
    refs.collect()
}

/// A task is counted and not shown, and its deletion is the next event.
#[tokio::test]
async fn a_task_vanishes_from_a_listing_and_from_an_answer() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    for name in ["a", "b", "c"] {
        client.ok("task.create", json!([name, ""])).await;
    }
    let before = rows(&pool, "task");
    assert_eq!(before.len(), 3);
    pool.trouble("vanish", "2").await.expect("a known fault");
    assert_eq!(pool.active_troubles(), [("vanish", "2".to_owned())]);
    let listing = client.events(json!(["*"]), "", 1.0).await;
    let kept = rows(&pool, "task");
    assert_eq!(listing.counts["task"], 3, "counted before it went");
    assert_eq!((shown(&listing, "task"), kept.len()), (kept.clone(), 2));
    let gone = before
        .iter()
        .find(|task| !kept.contains(task))
        .expect("one is gone");
    // A change of another one: the answer tells of it, and of the deletion; now the answer lacks the changed one.
    client.ok("task.set_progress", json!([kept[0], 0.5])).await;
    let answer = client.events(json!(["task"]), &listing.token, 5.0).await;
    assert_eq!(answer.summary(), [("task", "del", gone.as_str())]);
    assert_eq!(answer.counts["task"], 2);
    assert_eq!(rows(&pool, "task"), kept[1..]);
    let answer = client.events(json!(["task"]), &answer.token, 5.0).await;
    assert_eq!(answer.summary(), [("task", "del", kept[0].as_str())]);
    assert_eq!(answer.counts["task"], 1);
    // It was for two answers.
    assert_eq!(pool.active_troubles(), []);
    client.ok("task.set_progress", json!([kept[1], 0.5])).await;
    let answer = client.events(json!(["task"]), &answer.token, 5.0).await;
    assert_eq!(answer.summary(), [("task", "mod", kept[1].as_str())]);
}

#[tokio::test]
async fn without_a_task_another_object_vanishes_and_0_ends_it() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    assert_eq!(rows(&pool, "task").len(), 0);
    let before: usize = pool.read(|db| db.counts().map(|(_, count)| count).sum());
    pool.trouble("vanish", "20").await.expect("a known fault");
    let listing = client.events(json!(["*"]), "", 1.0).await;
    let after: usize = pool.read(|db| db.counts().map(|(_, count)| count).sum());
    assert_eq!(after, before - 1);
    let lacking: Vec<_> = ["vif", "vbd", "vdi", "vm"]
        .into_iter()
        .filter(|class| listing.counts[*class] != shown(&listing, class).len())
        .collect();
    assert_eq!(lacking.len(), 1, "one class lacks one: {lacking:?}");
    assert!(
        pool.read(|db| xapi_sim::consistency::contradictions(db, true))
            .is_empty()
    );
    pool.trouble("vanish", "0").await.expect("a known fault");
    assert_eq!(pool.active_troubles(), []);
    let listing = client.events(json!(["*"]), "", 1.0).await;
    for class in ["vif", "vbd", "vdi", "vm", "task"] {
        assert_eq!(listing.counts[class], shown(&listing, class).len(), "{class}");
    }
}

/// An answer that lacks its only object comes nevertheless, empty.
#[tokio::test]
async fn the_only_change_may_vanish() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["VM"]), "", 1.0).await.token;
    pool.vanish(1);
    let vm = crate::client::vm_in(&pool, "Halted");
    client.ok("VM.set_name_label", json!([vm, "changed"])).await;
    let empty = client.events(json!(["VM"]), &token, 600.0).await;
    assert_eq!(empty.events, Vec::<serde_json::Value>::new());
    let next = client.events(json!(["VM"]), &empty.token, 600.0).await;
    assert_eq!(next.summary(), [("vm", "del", vm.as_str())]);
}

fn question(client: &Client, method: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [client.session] }).to_string()
}

async fn swallowed(pool: &SimPool, address: &str, on: &str, off: &str) {
    let (mut asker, mut idle) = (
        Client::connect_to(address).await,
        Client::connect_to(address).await,
    );
    pool.trouble("black-hole", on).await.expect("a known fault");
    assert_eq!(pool.active_troubles(), [("black-hole", on.to_owned())]);
    let body = question(&asker, "system.listMethods");
    let lost = asker.request("POST", "/jsonrpc", &body);
    tokio::pin!(lost);
    assert!(
        tokio::time::timeout(SILENCE, &mut lost).await.is_err(),
        "silent while it lasts"
    );
    pool.trouble("black-hole", off).await.expect("a known fault");
    // Neither an answer nor an end of the connection, also now.
    assert!(
        tokio::time::timeout(SILENCE, &mut lost).await.is_err(),
        "lost for good"
    );
    // What is new is answered, also over a connection that was there before.
    let body = question(&idle, "system.listMethods");
    assert_eq!(
        idle.request("POST", "/jsonrpc", &body)
            .await
            .expect("an answer")
            .status,
        200
    );
    let mut new = Client::connect_to(address).await;
    assert_eq!(
        new.request("POST", "/jsonrpc", &body)
            .await
            .expect("an answer")
            .status,
        200
    );
    // The silent connection ends when it is cut, so it was open all the time.
    pool.cut_connections();
    assert!(tokio::time::timeout(DEADLINE, lost).await.expect("cut").is_err());
}

#[tokio::test]
async fn swallowed_answers_never_come_and_their_connections_stay_open() {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    swallowed(&pool, &pool.addr().to_string(), "swallow", "off").await;
    let supporter = pool.members()[1].address.expect("an address").to_string();
    swallowed(&pool, &supporter, "swallow@1", "off@1").await;
}

/// Also what was asked before and waits still.
#[tokio::test]
async fn a_blocked_call_is_swallowed_too() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["pool"]), "", 1.0).await.token;
    let this = rows(&pool, "pool")[0].clone();
    let mut other = Client::login(&pool).await;
    let lost = client.call("event.from", json!([["pool"], token, 600.0]));
    tokio::pin!(lost);
    tokio::select! {
        _ = &mut lost => panic!("nothing has changed yet"),
        () = async {
            while pool.stats().calls_of("event.from") < 2 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    pool.swallow_answers();
    pool.set_black_hole(false);
    other.ok("pool.set_name_label", json!([this, "changed"])).await;
    assert!(tokio::time::timeout(SILENCE, &mut lost).await.is_err());
}

/// A machine that is frozen says nothing when another one becomes master, not even that its connections end.
#[tokio::test]
async fn a_frozen_old_master_does_not_cut_its_connections() {
    for frozen in ["on@0", "swallow@0"] {
        let pool = pool_with(PoolConfig {
            hosts: 3,
            ..PoolConfig::default()
        })
        .await;
        let address = |at: usize| pool.members()[at].address.expect("an address").to_string();
        let mut client = Client::login(&pool).await;
        let mut beside = Client::connect_to(&address(1)).await;
        let mut idle = Client::connect(&pool).await;
        pool.trouble("black-hole", frozen).await.expect("a known fault");
        let body = question(&client, "pool.get_all");
        let waiting = client.request("POST", "/jsonrpc", &body);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(SILENCE, &mut waiting).await.is_err());
        pool.change_master(2).expect("a host that is up");
        assert!(
            tokio::time::timeout(SILENCE, &mut waiting).await.is_err(),
            "{frozen}: it says nothing"
        );
        assert!(
            beside.request("POST", "/jsonrpc", &body).await.is_err(),
            "the others restart"
        );
        pool.trouble("black-hole", "off@0").await.expect("a known fault");
        if frozen == "on@0" {
            assert_eq!(waiting.await.expect("an answer, late").status, 200);
        }
        // Thawed, it is a supporter, on the connections that it had.
        let error = idle
            .rpc("session.login_with_password", json!(["root", "password"]))
            .await;
        let error = error.expect_err("a supporter");
        let master = pool.members()[2].address.expect("an address").ip().to_string();
        assert_eq!(
            (&error["message"], &error["data"]),
            (&json!("HOST_IS_SLAVE"), &json!([master]))
        );
    }
}
