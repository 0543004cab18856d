//! A pool outlives its master: another host is found, also after a restart of this server, and the first one
//! leads there once it is back.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::{Limits, Pace};
use std::time::Duration;
use xapi_sim::{PoolConfig, SimPool};

/// Three hosts with addresses and certificates of their own.
async fn three_hosts(seed: u64) -> SimPool {
    pool_with(PoolConfig {
        tls: true,
        own_certificates: true,
        hosts: 3,
        seed,
        ..PoolConfig::default()
    })
    .await
}

async fn follow(client: &mut Client, pool: &SimPool) -> String {
    let mut registration = registration(pool);
    registration["fingerprint"] = json!("first-use");
    let id = client.ok("server.add", registration).await;
    let id = id.as_str().expect("an id").to_owned();
    client.connected(&id).await;
    id
}

/// Waits until the server follows the pool through this host.
async fn led_by(client: &mut Client, pool: &SimPool, id: &str, host: usize) {
    let master = pool.members()[host].host.clone();
    let master = pool.read(|db| db.text("host", &master, "uuid"));
    client
        .server_until(id, "the new master leads", |server| {
            server["status"] == "connected" && server["master"] == json!(master)
        })
        .await;
}

/// Waits until a change that is made now was seen: the link is alive, not only said to be.
async fn sees_changes(client: &mut Client, pool: &SimPool, name: &str) {
    let vm = pool.write(|db| {
        let vm = db
            .refs("VM")
            .into_iter()
            .find(|vm| !db.get("VM", vm, "is_control_domain").bool())
            .expect("a VM");
        db.set("VM", &vm, "name_label", name);
        db.text("VM", &vm, "uuid")
    });
    eventually("the new name is published", async || {
        let objects = client.all_objects().await;
        let object = objects.values().find(|object| object["uuid"] == vm)?;
        (object["name_label"] == name).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_death_of_a_master_leads_to_the_next_one_and_back() {
    let (server, pool) = (TestServer::start().await, three_hosts(71).await);
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;

    let dead = pool.kill_master().await.expect("a master");
    pool.change_master(1).expect("another host");
    led_by(&mut client, &pool, &id, 1).await;
    sees_changes(&mut client, &pool, "after the death").await;

    // The registered host is back, follows the new master, and names it.
    pool.power_on(dead).await.expect("it starts");
    pool.cut_connections();
    led_by(&mut client, &pool, &id, 1).await;
    sees_changes(&mut client, &pool, "after the return").await;
}

#[tokio::test]
async fn a_restart_remembers_the_hosts_of_a_pool() {
    let folder = Folder::new();
    let pool = three_hosts(72).await;
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    client
        .server_until(&id, "the hosts are known", |server| {
            server["poolMembersAddresses"].as_array().map(Vec::len) == Some(3)
        })
        .await;
    drop(client);
    server.stop().await;

    pool.kill_master().await.expect("a master");
    pool.change_master(2).expect("another host");
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    led_by(&mut client, &pool, &id, 2).await;
}

#[tokio::test]
async fn an_impostor_at_another_address_is_not_believed() {
    let (server, pool) = (TestServer::start().await, three_hosts(73).await);
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    // All certificates change at once, and nobody told us over a link that we trust.
    pool.set_listening(false).await.expect("it stops");
    pool.change_certificate().expect("new certificates");
    pool.set_listening(true).await.expect("it starts");
    let shown: Value = client
        .server_until(&id, "it is refused", |server| {
            server["error"]["code"] == "UNTRUSTED_CERTIFICATE"
        })
        .await;
    assert_eq!(shown["status"], "disconnected");
}

#[tokio::test]
async fn hosts_that_let_us_wait_do_not_keep_us_from_asking_the_others() {
    let pool = pool_with(PoolConfig {
        tls: true,
        own_certificates: true,
        hosts: 5,
        seed: 74,
        ..PoolConfig::default()
    })
    .await;
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    // One after the other they would take a minute.
    for frozen in 0..4 {
        let of_host = format!("on@{frozen}");
        pool.trouble("black-hole", &of_host).await.expect("a fault");
    }
    pool.change_master(4).expect("another host");
    pool.cut_connections();
    led_by(&mut client, &pool, &id, 4).await;
    sees_changes(&mut client, &pool, "among the frozen").await;
}

#[tokio::test]
async fn a_frozen_master_is_left_for_the_one_that_leads_now() {
    let pool = three_hosts(75).await;
    let server = TestServer::start_with(Limits {
        pace: Pace {
            poll: Duration::from_millis(500),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    pool.trouble("black-hole", "on@0").await.expect("a fault");
    pool.change_master(1).expect("another host");
    let master = pool.members()[1].host.clone();
    let master = pool.read(|db| db.text("host", &master, "uuid"));
    let seen = client.server_until(&id, "the new master leads", |server| {
        // The poll was not waited for until it was given up.
        assert_ne!(server["status"], "disconnected");
        server["master"] == json!(master)
    });
    seen.await;
    sees_changes(&mut client, &pool, "under the new master").await;
    pool.trouble("black-hole", "off@0").await.expect("an end");
    eventually("one session is left", async || {
        (pool.read(|db| db.refs("session").len()) == 1).then_some(())
    })
    .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_host_under_its_other_name_is_no_other_master() {
    let pool = pool_with(PoolConfig {
        vms: 100,
        seed: 76,
        ..PoolConfig::default()
    })
    .await;
    let server = TestServer::start_with(Limits {
        pace: Pace {
            poll: Duration::from_millis(500),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let mut client = server.admin().await;
    let mut by_name = registration(&pool);
    by_name["host"] = json!(format!("http://localhost:{}", pool.addr().port()));
    let id = client.ok("server.add", by_name).await;
    let id = id.as_str().expect("an id").to_owned();
    client
        .server_until(&id, "its hosts are known", |server| {
            server["status"] == "connected" && server["poolMembersAddresses"].is_array()
        })
        .await;
    // A listing that takes longer than anybody waits before the other hosts are asked.
    let speed = pool.dump().to_string().len() / 4;
    pool.trouble("slow", &speed.to_string()).await.expect("a fault");
    let listings = || pool.stats().calls_of("event.from");
    pool.restart_toolstack();
    let before = listings();
    client
        .server_until(&id, "listed again", |server| {
            server["status"] == "connected" && listings() > before
        })
        .await;
    pool.trouble("slow", "0").await.expect("an end");
    sees_changes(&mut client, &pool, "under its own name").await;
    let logins = pool.stats().calls_of("session.login_with_password");
    assert!(logins < 8, "{logins} logins");
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_link_whose_host_is_changed_does_not_lead_to_the_old_one() {
    let (server, old, new) = (
        TestServer::start().await,
        three_hosts(77).await,
        three_hosts(78).await,
    );
    let mut client = server.admin().await;
    let id = follow(&mut client, &old).await;
    old.trouble("refuse", "on").await.expect("a fault");
    old.cut_connections();
    client
        .server_until(&id, "down", |server| server["status"] == "disconnected")
        .await;
    let change = json!({ "id": id, "host": new.url(), "fingerprint": "first-use" });
    client.ok("server.set", change).await;
    old.trouble("refuse", "off").await.expect("an end");
    let uuid = new.read(uuid_of_pool);
    client
        .server_until(&id, "the new pool", |server| {
            let connected = server["status"] == "connected";
            assert!(!connected || server["poolId"] == json!(uuid), "{server}");
            connected
        })
        .await;
    client
        .server_until(&id, "its hosts are known", |server| {
            server["poolMembersAddresses"]
                .as_array()
                .is_some_and(|hosts| hosts.len() == 3)
        })
        .await;
    server.stop().await;
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_registered_host_with_a_new_certificate_does_not_keep_the_others_from_being_asked() {
    let pool = three_hosts(79).await;
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    pool.change_master(1).expect("another host");
    led_by(&mut client, &pool, &id, 1).await;
    let link = server.app.pools.pool_of_server(&id).expect("connected");
    let registered = [json!(pool.members()[0].host.to_string())];
    let reset = link.call("host.reset_server_certificate", &registered);
    reset.await.expect("a new certificate");
    sees_changes(&mut client, &pool, "with a new certificate").await;
    pool.kill_master().await.expect("a master");
    pool.change_master(2).expect("another host");
    led_by(&mut client, &pool, &id, 2).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn who_only_says_that_it_leads_is_not_followed_while_others_name_the_master() {
    let pool = three_hosts(80).await;
    let server = TestServer::start_with(Limits {
        pace: Pace {
            poll: Duration::from_millis(500),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    pool.trouble("claim", "on@1").await.expect("a fault");
    pool.trouble("latency", "4000@0").await.expect("a fault");
    let asked = || pool.stats().calls_of("session.login_with_password");
    let before = asked();
    eventually("the others were asked", async || (asked() > before).then_some(())).await;
    pool.trouble("latency", "0@0").await.expect("an end");
    led_by(&mut client, &pool, &id, 0).await;
    sees_changes(&mut client, &pool, "by its own master").await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_master_that_refused_for_a_moment_is_asked_again_while_the_others_say_nothing() {
    let pool = three_hosts(81).await;
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    for (name, argument) in [
        ("black-hole", "on@1"),
        ("black-hole", "on@2"),
        ("truncate", "all@0"),
    ] {
        pool.trouble(name, argument).await.expect("a fault");
    }
    let asked = || pool.stats().calls_of("session.login_with_password");
    let before = asked();
    pool.cut_connections();
    eventually("the master refused", async || (asked() > before).then_some(())).await;
    pool.trouble("truncate", "off@0").await.expect("an end");
    client
        .server_until(&id, "the master is asked again", |server| {
            assert_ne!(server["status"], "disconnected", "{server}");
            server["status"] == "connected"
        })
        .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_pool_of_which_no_host_says_anything_is_given_up_for_the_moment() {
    let pool = three_hosts(82).await;
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let id = follow(&mut client, &pool).await;
    led_by(&mut client, &pool, &id, 0).await;
    client.ok("server.disable", json!({ "id": id })).await;
    pool.trouble("black-hole", "on").await.expect("a fault");
    // Each host is given up at another moment; it is asked again at the next attempt, not without end in this one.
    let (_, message, _) = client.fails("server.enable", json!({ "id": id })).await;
    assert!(message.contains("no answer"), "{message}");
    pool.trouble("black-hole", "off").await.expect("an end");
    led_by(&mut client, &pool, &id, 0).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_listing_whose_answer_is_lost_is_made_again_beside_itself() {
    let pool = pool().await;
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    // What is answered is under way for so long: there is time to lose it.
    pool.trouble("latency", "1500").await.expect("a fault");
    let id = client.ok("server.add", registration(&pool)).await;
    let id = id.as_str().expect("an id").to_owned();
    let listings = || pool.stats().calls_of("event.from");
    eventually("it is listed", async || (listings() == 1).then_some(())).await;
    // What is under way is lost, and nothing else.
    for argument in ["swallow", "off"] {
        pool.trouble("black-hole", argument).await.expect("a fault");
    }
    client
        .server_until(&id, "the second listing came", |server| {
            assert_ne!(server["status"], "disconnected", "{server}");
            server["status"] == "connected"
        })
        .await;
    assert!(listings() > 1);
    server.stop().await;
    pool.stop().await;
}
