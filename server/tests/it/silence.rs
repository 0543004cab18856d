//! Many pools, and pools that fall silent.

use crate::support::*;
use serde_json::json;
use server::limits::{Limits, Pace};
use std::{collections::BTreeSet, time::Duration};
use xapi_sim::{PoolConfig, SimPool};

async fn many(count: u64) -> Vec<SimPool> {
    let mut pools = Vec::new();
    for seed in 1..=count {
        let config = PoolConfig {
            hosts: 1,
            vms: 3,
            seed,
            ..PoolConfig::default()
        };
        pools.push(pool_with(config).await);
    }
    pools
}

#[tokio::test]
async fn fifty_pools_at_once_and_one_that_is_cut_off() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    client.follow().await;
    let pools = many(50).await;
    let mut servers = Vec::new();
    for pool in &pools {
        let id = client.ok("server.add", registration(pool)).await;
        servers.push(id.as_str().expect("an id").to_owned());
    }
    let expected: BTreeSet<String> = pools.iter().flat_map(|pool| pool.read(ids_of)).collect();
    client
        .until("all objects of all pools", |objects| ids(objects) == expected)
        .await;
    for server in &servers {
        client.connected(server).await;
    }

    pools[7].set_listening(false).await.expect("closed");
    client
        .server_until(&servers[7], "the cut is noticed", |server| {
            server["status"] != "connected" && server["error"].is_object()
        })
        .await;
    // The others go on, and what is known of the one that is away stays.
    for (index, pool) in pools.iter().enumerate().filter(|(index, _)| *index != 7) {
        assert_eq!(client.server(&servers[index]).await["status"], "connected");
        pool.write(|db| {
            db.set(
                "pool",
                db.refs("pool")[0].as_ref(),
                "name_label",
                format!("seen {index}").as_str(),
            )
        });
    }
    client
        .until("news of all the others", |objects| {
            let seen = objects.values().filter(|object| {
                object["name_label"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("seen "))
            });
            seen.count() == 49
        })
        .await;
    assert_eq!(ids(&client.objects), expected, "nothing was withdrawn");
    let running = pools
        .iter()
        .enumerate()
        .find(|(index, pool)| *index != 7 && !guests(pool, "Running").is_empty());
    let (_, pool) = running.expect("somewhere a VM runs");
    let (vm, uuid) = guest(pool, "Running");
    client.ok("vm.stop", json!({ "id": uuid, "force": true })).await;
    assert_eq!(pool.read(|db| db.text("VM", &vm, "power_state")), "Halted");

    pools[7].set_listening(true).await.expect("open");
    client.connected(&servers[7]).await;
    server.stop().await;
    for pool in pools {
        pool.stop().await;
    }
}

/// A pool that has something to say all the time, on a server that waits one second for it.
async fn talking() -> (TestServer, SimPool, Client, String) {
    let server = TestServer::start_with(Limits {
        pace: Pace {
            silence: Duration::from_secs(1),
            ..Pace::default()
        },
        ..Limits::default()
    })
    .await;
    let pool = pool_with(PoolConfig {
        churn_per_second: 50.0,
        ..PoolConfig::default()
    })
    .await;
    let mut client = server.admin().await;
    client.follow().await;
    let id = client.ok("server.add", registration(&pool)).await;
    let id = id.as_str().expect("an id").to_owned();
    there(&mut client, &pool).await;
    (server, pool, client, id)
}

async fn there(client: &mut Client, pool: &SimPool) {
    let pool_id = pool.read(uuid_of_pool);
    client
        .until("the pool is there", |objects| objects.contains_key(&pool_id))
        .await;
}

async fn gone(client: &mut Client) {
    client
        .until("its objects are withdrawn", |objects| objects.is_empty())
        .await;
}

async fn all_back(client: &mut Client, pool: &SimPool) {
    // At rest, so that both sides can be compared; the silence is over by then, or comes again.
    there(client, pool).await;
    client
        .until("all of it", |objects| pool.read(|db| ids_of(db) == ids(objects)))
        .await;
}

#[tokio::test]
async fn the_objects_of_a_pool_that_is_away_for_too_long_are_withdrawn_and_come_back() {
    let (server, pool, mut client, id) = talking().await;
    pool.set_listening(false).await.expect("closed");
    gone(&mut client).await;
    assert_ne!(client.server(&id).await["status"], "connected");
    pool.set_listening(true).await.expect("open");
    all_back(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}

/// A poll that is swallowed is given up only after 15 s.
#[tokio::test]
async fn silence_counts_while_a_poll_hangs() {
    let (server, pool, mut client, id) = talking().await;
    pool.set_black_hole(true);
    gone(&mut client).await;
    assert!(
        client.server(&id).await["lastEvent"].is_i64(),
        "it is known when the pool was last heard"
    );
    pool.set_black_hole(false);
    all_back(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}

/// A login that is swallowed is given up only after 15 s.
#[tokio::test]
async fn silence_counts_while_a_login_hangs() {
    let (server, pool, mut client, _) = talking().await;
    pool.set_black_hole(true);
    pool.cut_connections();
    gone(&mut client).await;
    pool.set_black_hole(false);
    all_back(&mut client, &pool).await;
    server.stop().await;
    pool.stop().await;
}
