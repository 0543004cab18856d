//! Hosts that leave, move, change what they show, or refuse us for a while: the pool is not given up for it.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::{Limits, Pace};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use xapi::{Client as Xapi, Endpoint, tls::Trust};
use xapi_sim::{PoolConfig, SimPool};

/// As an administrator of the pool, past the server.
async fn directly(pool: &SimPool) -> std::sync::Arc<Xapi> {
    let client = Xapi::new(Endpoint {
        url: pool.url(),
        user: "root".to_owned(),
        password: "password".to_owned(),
        trust: Trust::Anyone,
        proxy: None,
        originator: "test".to_owned(),
    })
    .expect("a client");
    client.login(DEADLINE).await.expect("a session");
    client
}

async fn add(client: &mut Client, registration: Value) -> String {
    let id = client.ok("server.add", registration).await;
    let id = id.as_str().expect("an id").to_owned();
    client.connected(&id).await;
    id
}

fn beside(pool: &SimPool, number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number], pool.addr().port()))
}

#[tokio::test]
async fn a_registered_host_that_was_ejected_does_not_take_the_link_away() {
    let server = TestServer::start().await;
    let pool = pool_with(PoolConfig {
        seed: 91,
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let joining = pool_with(PoolConfig {
        seed: 92,
        fresh: true,
        hosts: 1,
        listen: beside(&pool, 9),
        ..PoolConfig::default()
    })
    .await;
    let credentials = [json!("127.0.0.1"), json!("root"), json!("password")];
    let joined = directly(&joining).await.call("pool.join", &credentials).await;
    joined.expect("it joins");
    let mut client = server.admin().await;
    client.follow().await;
    let id = add(&mut client, registration(&joining)).await;
    let known = pool.read(ids_of);
    client.until("the pool", |objects| ids(objects) == known).await;

    let ejected = pool.members()[2].host.to_string();
    let eject = directly(&pool).await.call("pool.eject", &[json!(ejected)]).await;
    eject.expect("it is ejected");
    // The toolstack of the master is away for a moment: the ejected host is a pool of its own by then.
    pool.set_listening(false).await.expect("it stops");
    client
        .server_until(&id, "the ejected host is not taken for the pool", |server| {
            let message = server["error"]["message"].as_str().unwrap_or_default();
            message.contains("belongs to another pool")
        })
        .await;
    pool.set_listening(true).await.expect("it starts");
    let pool_id = json!(pool.read(uuid_of_pool));
    let back = client.connected(&id).await;
    assert_eq!(back["poolId"], pool_id);
    let known = pool.read(ids_of);
    client
        .until("the pool again", |objects| ids(objects) == known)
        .await;
}

#[tokio::test]
async fn another_address_is_not_taken_for_the_pool_of_before() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    let id = client.add_pool(&pool).await;
    client
        .server_until(&id, "its hosts are known", |server| {
            server["poolMembersAddresses"].is_array()
        })
        .await;
    client.ok("server.disable", json!({ "id": id })).await;
    let nobody = format!("http://{}", beside(&pool, 77));
    client.ok("server.set", json!({ "id": id, "host": nobody })).await;
    client
        .call("server.enable", json!({ "id": id }))
        .await
        .expect_err("nobody is there");
    assert_ne!(client.server(&id).await["status"], "connected");
}

#[tokio::test]
async fn new_certificates_and_addresses_of_hosts_are_noted() {
    let server = TestServer::start().await;
    let pool = pool_with(PoolConfig {
        seed: 93,
        hosts: 3,
        tls: true,
        own_certificates: true,
        ..PoolConfig::default()
    })
    .await;
    let mut client = server.admin().await;
    let mut registered = registration(&pool);
    registered["fingerprint"] = json!("first-use");
    let id = add(&mut client, registered).await;
    let direct = directly(&pool).await;
    for number in [1, 2] {
        let before = pool.members()[number].clone();
        let host = json!(before.host.to_string());
        let renewed = direct.call("host.reset_server_certificate", &[host]).await;
        renewed.expect("a new certificate");
        assert_ne!(
            pool.members()[number].fingerprint_sha256,
            before.fingerprint_sha256
        );
    }
    let moved = pool.members()[2].host.clone();
    pool.write(|db| db.set("host", &moved, "address", "127.0.0.55"));
    client
        .server_until(&id, "the address is noted", |server| {
            server["poolMembersAddresses"] == json!(["127.0.0.1", "127.0.0.2", "127.0.0.55"])
        })
        .await;
    // Over the link that is trusted we were told of the new certificates: they are trusted now.
    pool.kill_master().await.expect("a master");
    pool.change_master(1).expect("another host");
    let next = pool.members()[1].host.clone();
    let master = pool.read(|db| db.text("host", &next, "uuid"));
    client
        .server_until(&id, "the next master leads", |server| {
            server["status"] == "connected" && server["master"] == json!(master)
        })
        .await;
}

#[tokio::test]
async fn credentials_that_worked_and_are_refused_for_a_while_are_tried_again() {
    let server = TestServer::start().await;
    let with_password = |password: &str, listen| {
        pool_with(PoolConfig {
            seed: 94,
            password: password.to_owned(),
            listen,
            ..PoolConfig::default()
        })
    };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let pool = with_password("password", anywhere).await;
    let mut client = server.admin().await;
    let id = client.add_pool(&pool).await;
    let known = client.all_objects().await;
    let address = pool.addr();
    pool.stop().await;
    let refusing = with_password("another", address).await;
    let shown = client
        .server_until(&id, "it is refused", |server| {
            server["error"]["code"] == "SESSION_AUTHENTICATION_FAILED"
        })
        .await;
    assert!(shown["nextAttempt"].is_i64(), "{shown}");
    assert_eq!(
        ids(&client.all_objects().await),
        ids(&known),
        "nothing is withdrawn for it"
    );
    refusing.stop().await;
    let pool = with_password("password", address).await;
    client.connected(&id).await;
    pool.stop().await;
}

#[tokio::test]
async fn a_host_that_refuses_does_not_keep_a_slow_master_from_letting_us_in() {
    let server = TestServer::start().await;
    let pool = pool_with(PoolConfig {
        seed: 95,
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let other = pool_with(PoolConfig {
        seed: 96,
        password: "another".to_owned(),
        listen: beside(&pool, 9),
        ..PoolConfig::default()
    })
    .await;
    other.set_slave_of(Some("127.0.0.1".to_owned()));
    let mut client = server.admin().await;
    let id = add(&mut client, registration(&other)).await;
    // Reinstalled as a pool of its own, while the master takes its time.
    other.set_slave_of(None);
    pool.trouble("latency", "2500@0").await.expect("a fault");
    pool.restart_toolstack();
    let logins = pool.stats().calls_of("session.login_with_password");
    eventually("it is asked again", async || {
        (pool.stats().calls_of("session.login_with_password") > logins).then_some(())
    })
    .await;
    client
        .server_until(&id, "the master leads", |server| {
            server["status"] == "connected" && server["poolId"] == json!(pool.read(uuid_of_pool))
        })
        .await;
}

/// A way to a pool that can be closed.
struct Way {
    address: SocketAddr,
    passing: JoinSet<()>,
}

impl Way {
    async fn to(pool: &SimPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, target) = (listener.local_addr().expect("an address"), pool.addr());
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut from, _) = listener.accept().await.expect("a connection");
                connections.spawn(async move {
                    let mut to = TcpStream::connect(target).await.expect("the pool");
                    // However it ends, it is over.
                    drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
                });
            }
        });
        Self { address, passing }
    }
}

#[tokio::test]
async fn a_link_that_is_down_leaves_its_pool_to_one_that_reaches_it() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let way = Way::to(&pool).await;
    let mut client = server.admin().await;
    let mut first = registration(&pool);
    first["host"] = json!(format!("http://{}", way.address));
    let first = add(&mut client, first).await;
    let second = client.ok("server.add", registration(&pool)).await;
    let second = second.as_str().expect("an id").to_owned();
    client
        .server_until(&second, "it is refused", |server| {
            server["error"]["code"] == "POOL_ALREADY_CONNECTED"
        })
        .await;
    drop(way.passing);
    pool.cut_connections();
    client.connected(&second).await;
    assert_eq!(ids(&client.all_objects().await), pool.read(ids_of));
    assert_ne!(client.server(&first).await["status"], "connected");
}

#[tokio::test]
async fn what_is_forgotten_and_introduced_again_stays_though_its_deletion_was_lost() {
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
    let (gone, uuid, sr) = pool.read(|db| {
        let disk = db
            .refs("VDI")
            .into_iter()
            .find(|disk| db.text("VDI", disk, "type") == "user");
        let disk = disk.expect("a disk");
        (
            disk.clone(),
            db.text("VDI", &disk, "uuid"),
            db.text("VDI", &disk, "SR"),
        )
    });
    pool.drop_deletions(1);
    pool.write(|db| {
        db.destroy("VDI", &gone);
        let text = |text: &str| xapi_sim::Value::from(text);
        let again = [
            ("uuid", text(&uuid)),
            ("SR", text(&sr)),
            ("name_label", text("again")),
        ];
        db.create("VDI", again);
    });
    // A drive that only the listing after the doubt takes away shows that it has been applied.
    let listings = pool.stats().calls_of("event.from");
    eventually("the pool is listed again, and followed", async || {
        (pool.stats().calls_of("event.from") > listings + 20).then_some(())
    })
    .await;
    let known: BTreeSet<String> = pool.read(ids_of);
    assert_eq!(ids(&client.all_objects().await), known);
    assert_eq!(client.all_objects().await[&uuid]["name_label"], "again");
}
