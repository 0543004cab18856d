//! The inventory: complete, live, and true again after every kind of trouble.

use crate::support::*;
use serde_json::json;
use server::limits::{Limits, Pace};
use std::time::Duration;
use xapi_sim::{PoolConfig, SimPool};

/// Waits until the client, following notifications, knows exactly what the pool has.
async fn same_as(client: &mut Client, pool: &SimPool) {
    client
        .until("the client knows what the pool has", |objects| {
            pool.read(|db| ids_of(db) == ids(objects))
        })
        .await;
}

/// One with several VMs in each state.
async fn larger_pool() -> SimPool {
    pool_with(PoolConfig {
        vms: 30,
        ..PoolConfig::default()
    })
    .await
}

#[tokio::test]
async fn everything_that_a_pool_has_is_published() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.follow().await;
    client.add_pool(&pool).await;
    same_as(&mut client, &pool).await;
    let objects = client.all_objects().await;
    assert_eq!(ids(&objects), pool.read(ids_of));
    let counts = by_type(&objects);
    pool.read(|db| {
        for (kind, classes) in [
            ("pool", vec!["pool"]),
            ("host", vec!["host"]),
            ("SR", vec!["SR"]),
            ("VBD", vec!["VBD"]),
            ("VIF", vec!["VIF"]),
            ("PIF", vec!["PIF"]),
            ("network", vec!["network"]),
            ("message", vec!["message"]),
            ("patch", vec!["host_patch"]),
            ("gpuGroup", vec!["GPU_group"]),
            ("vgpuType", vec!["VGPU_type"]),
            ("bond", vec!["Bond"]),
        ] {
            let expected: usize = classes.iter().map(|class| db.count(class)).sum();
            assert_eq!(counts.get(kind).copied().unwrap_or(0), expected, "{kind}");
        }
        let of = |kinds: &[&str]| {
            kinds
                .iter()
                .map(|kind| counts.get(*kind).copied().unwrap_or(0))
                .sum::<usize>()
        };
        assert_eq!(
            of(&["VM", "VM-controller", "VM-snapshot", "VM-template"]),
            db.count("VM")
        );
        assert_eq!(of(&["VDI", "VDI-snapshot", "VDI-unmanaged"]), db.count("VDI"));
    });
    let pool_id = pool.read(uuid_of_pool);
    assert!(
        objects
            .values()
            .all(|object| object["$pool"] == pool_id && object["$poolId"] == pool_id)
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn changes_come_as_enter_and_deletions_as_exit() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let (vm, uuid) = guest(&pool, "Halted");
    pool.write(|db| db.set("VM", &vm, "name_label", "renamed"));
    client
        .until("the new name", |objects| {
            objects[&uuid]["name_label"] == "renamed"
        })
        .await;
    // A record that feeds the object, not the object's own.
    let (running, running_uuid) = guest(&pool, "Running");
    let metrics = pool.read(|db| db.text("VM", &running, "metrics"));
    pool.write(|db| {
        db.set(
            "VM_metrics",
            &metrics,
            "start_time",
            xapi_sim::Value::Date(1_706_704_496),
        )
    });
    client
        .until("the new start time", |objects| {
            objects[&running_uuid]["startTime"] == 1_706_704_496
        })
        .await;
    pool.write(|db| db.destroy("VM", &vm));
    client
        .until("the VM is gone", |objects| !objects.contains_key(&uuid))
        .await;
    same_as(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn deletions_without_a_word_are_found_out() {
    let (server, pool) = (TestServer::start().await, larger_pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let gone = guests(&pool, "Halted");
    assert!(gone.len() > 1);
    pool.drop_deletions(gone.len());
    pool.write(|db| {
        for (vm, _) in &gone {
            assert!(db.destroy("VM", vm));
        }
    });
    // Something else happens, as it always does.
    let (other, _) = guest(&pool, "Running");
    pool.write(|db| db.set("VM", &other, "name_description", "alive"));
    client
        .until("the VMs are gone", |objects| {
            gone.iter().all(|(_, uuid)| !objects.contains_key(uuid))
        })
        .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn objects_stay_while_the_link_is_cut_and_are_true_again_after() {
    let (server, pool) = (TestServer::start().await, larger_pool().await);
    let mut client = server.admin().await;
    let id = client.add_pool(&pool).await;
    client.follow().await;
    let before = ids(&client.objects);
    pool.set_listening(false).await.expect("a closed listener");
    let server_record = client
        .server_until(&id, "the loss is noticed", |server| server["error"].is_object())
        .await;
    assert_ne!(server_record["status"], "connected");
    assert_eq!(ids(&client.all_objects().await), before, "what was known stays");
    let ((changed, changed_uuid), (gone, gone_uuid)) = {
        let mut halted = guests(&pool, "Halted").into_iter();
        (halted.next().expect("a VM"), halted.next().expect("another"))
    };
    pool.write(|db| {
        db.set("VM", &changed, "name_label", "changed meanwhile");
        db.destroy("VM", &gone)
    });
    pool.set_listening(true).await.expect("listening again");
    client
        .until("the change meanwhile", |objects| {
            objects[&changed_uuid]["name_label"] == "changed meanwhile" && !objects.contains_key(&gone_uuid)
        })
        .await;
    same_as(&mut client, &pool).await;
    assert!(client.connected(&id).await.get("error").is_none());
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_toolstack_restart_and_lost_sessions_are_survived() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let (vm, uuid) = guest(&pool, "Halted");
    pool.expire_sessions();
    pool.write(|db| db.set("VM", &vm, "name_label", "after the sessions"));
    client
        .until("news with a new session", |objects| {
            objects[&uuid]["name_label"] == "after the sessions"
        })
        .await;
    pool.restart_toolstack();
    pool.write(|db| db.set("VM", &vm, "name_label", "after the restart"));
    client
        .until("news after the restart", |objects| {
            objects[&uuid]["name_label"] == "after the restart"
        })
        .await;
    // Calls of people too find a session again.
    pool.expire_sessions();
    client
        .ok("vm.set", json!({ "id": uuid, "name_label": "by a person" }))
        .await;
    client
        .until("the person's change", |objects| {
            objects[&uuid]["name_label"] == "by a person"
        })
        .await;
    same_as(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn failing_and_truncated_answers_lose_nothing() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let (vm, uuid) = guest(&pool, "Halted");
    pool.truncate_answers(1);
    pool.write(|db| db.set("VM", &vm, "name_label", "one"));
    client
        .until("news in whole", |objects| objects[&uuid]["name_label"] == "one")
        .await;
    pool.fail_requests(1);
    pool.write(|db| db.set("VM", &vm, "name_label", "two"));
    client
        .until("news after a failure", |objects| {
            objects[&uuid]["name_label"] == "two"
        })
        .await;
    same_as(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn who_was_there_all_the_time_knows_what_a_newcomer_learns() {
    let (server, pool) = (TestServer::start().await, larger_pool().await);
    let mut client = server.admin().await;
    client.follow().await;
    client.add_pool(&pool).await;
    pool.set_churn(300.0);
    for _ in 0..5 {
        let before = server.app.inventory.revision();
        eventually("the pool moves", async || {
            (server.app.inventory.revision() > before + 30).then_some(())
        })
        .await;
        // Reads what has come, and answers nothing else.
        client.ok("system.getVersion", json!({})).await;
    }
    pool.set_churn(0.0);
    let expected = eventually("the pool rests", async || {
        let (revision, objects) = (server.app.inventory.revision(), server.app.inventory.all().1);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (revision == server.app.inventory.revision()).then_some(objects)
    })
    .await;
    let newcomer = server.admin().await.all_objects().await;
    assert_eq!(newcomer.len(), expected.len());
    client
        .until("both know the same", |objects| *objects == newcomer)
        .await;
    assert_eq!(pool.read(ids_of), ids(&newcomer));
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn objects_of_a_disabled_server_leave_and_come_back() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    let id = client.add_pool(&pool).await;
    client.follow().await;
    same_as(&mut client, &pool).await;
    client.ok("server.disable", json!({ "id": id })).await;
    client.until("all are gone", |objects| objects.is_empty()).await;
    client.ok("server.enable", json!({ "id": id })).await;
    same_as(&mut client, &pool).await;
    client.ok("server.remove", json!({ "id": id })).await;
    client
        .until("all are gone again", |objects| objects.is_empty())
        .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_message_whose_deletion_the_pool_did_not_tell_goes_nevertheless() {
    let server = TestServer::start_with(Limits {
        pace: Pace {
            poll: Duration::from_millis(100),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let pool = pool().await;
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let (_, vm) = guest(&pool, "Running");
    client.ok("vm.pause", json!({ "id": vm })).await;
    same_as(&mut client, &pool).await;
    pool.drop_deletions(1);
    let messages = pool.read(|db| db.refs("message"));
    assert!(pool.write(|db| db.destroy("message", &messages[0])));
    same_as(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}
