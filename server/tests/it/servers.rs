//! server.*: registering pools, certificates, trouble, and what a restart of the server keeps.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use xapi_sim::{PoolConfig, SimPool};

async fn add(client: &mut Client, mut registration: Value, more: Value) -> String {
    for (key, value) in map(&more) {
        registration[key] = value.clone();
    }
    let id = client.ok("server.add", registration).await;
    id.as_str().expect("an id").to_owned()
}

async fn tls_pool(seed: u64) -> SimPool {
    pool_with(PoolConfig {
        tls: true,
        seed,
        ..PoolConfig::default()
    })
    .await
}

#[tokio::test]
async fn a_server_is_added_changed_and_removed() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    assert_eq!(client.ok("server.getAll", json!({})).await, json!([]));
    let id = add(&mut client, registration(&pool), json!({ "autoConnect": false })).await;
    let shown = client.server(&id).await;
    assert_eq!(shown["host"], pool.url());
    assert_eq!(
        (
            &shown["username"],
            &shown["enabled"],
            &shown["status"],
            &shown["allowUnauthorized"],
            &shown["readOnly"]
        ),
        (
            &json!("root"),
            &json!(true),
            &json!("disconnected"),
            &json!(false),
            &json!(false)
        )
    );
    assert!(!shown.to_string().contains("password"), "{shown}");

    let (code, _, data) = client.fails("server.add", registration(&pool)).await;
    assert_eq!(
        (code, &data["objectId"]),
        (16, &json!(id)),
        "the same address twice"
    );

    client.ok("server.enable", json!({ "id": id })).await;
    let shown = client.connected(&id).await;
    let (pool_id, master) = pool.read(|db| {
        let master = db.text("pool", &db.refs("pool")[0], "master");
        (uuid_of_pool(db), db.text("host", &master, "uuid"))
    });
    assert_eq!(shown["poolId"], pool_id);
    let shown = client
        .server_until(&id, "the pool's name", |server| server["master"].is_string())
        .await;
    assert_eq!(shown["master"], master);
    assert_eq!(
        shown["label"], shown["poolNameLabel"],
        "without a label of its own"
    );
    let mut addresses = pool.read(|db| {
        let hosts = db.refs("host");
        hosts
            .iter()
            .map(|host| db.text("host", host, "address"))
            .collect::<Vec<_>>()
    });
    addresses.sort();
    let shown = client
        .server_until(&id, "its hosts", |server| {
            server["poolMembersAddresses"].is_array()
        })
        .await;
    assert_eq!(shown["poolMembersAddresses"], json!(addresses));

    let (code, _, data) = client.fails("server.enable", json!({ "id": id })).await;
    assert_eq!((code, &data["actual"]), (25, &json!("connected")), "{data}");
    let (code, ..) = client
        .fails("server.set", json!({ "id": id, "password": "x" }))
        .await;
    assert_eq!(code, 25, "not while connected");
    client
        .ok("server.set", json!({ "id": id, "label": "mine" }))
        .await;
    assert_eq!(client.server(&id).await["label"], "mine");
    client.ok("server.set", json!({ "id": id, "label": null })).await;
    let shown = client.server(&id).await;
    assert_eq!(shown["label"], shown["poolNameLabel"]);

    client.ok("server.disable", json!({ "id": id })).await;
    let shown = client.server(&id).await;
    assert_eq!(
        (&shown["enabled"], &shown["status"]),
        (&json!(false), &json!("disconnected"))
    );
    assert!(
        pool.stats().calls_of("session.logout") >= 1,
        "the session was not left behind"
    );
    client
        .ok(
            "server.set",
            json!({ "id": id, "username": "root", "password": "password" }),
        )
        .await;
    client.ok("server.remove", json!({ "id": id })).await;
    assert_eq!(client.ok("server.getAll", json!({})).await, json!([]));
    let (code, ..) = client.fails("server.enable", json!({ "id": id })).await;
    assert_eq!(code, 1);
    let (code, ..) = client
        .fails(
            "server.add",
            json!({ "host": "ftp://x", "username": "u", "password": "p" }),
        )
        .await;
    assert_eq!(code, 10);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    let id = add(
        &mut client,
        registration(&pool),
        json!({ "password": "wrong", "autoConnect": false }),
    )
    .await;
    let (code, message, _) = client.fails("server.enable", json!({ "id": id })).await;
    assert_eq!((code, message.as_str()), (8, "authentication failed"));
    let shown = client
        .server_until(&id, "the error is shown", |server| server["error"].is_object())
        .await;
    assert_eq!(
        (&shown["status"], &shown["error"]["code"]),
        (&json!("disconnected"), &json!("SESSION_AUTHENTICATION_FAILED"))
    );
    assert!(shown.get("nextAttempt").is_none(), "{shown}");
    client
        .ok("server.set", json!({ "id": id, "password": "password" }))
        .await;
    client.ok("server.enable", json!({ "id": id })).await;
    assert!(client.connected(&id).await.get("error").is_none());
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn one_pool_is_connected_once() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    let first = client.add_pool(&pool).await;
    client.follow().await;
    let before = client.objects.len();
    let other_name = pool.url().replace("127.0.0.1", "localhost");
    let second = add(&mut client, registration(&pool), json!({ "host": other_name })).await;
    let shown = client
        .server_until(&second, "it is refused", |server| server["error"].is_object())
        .await;
    assert_eq!(
        (&shown["error"]["code"], &shown["status"]),
        (&json!("POOL_ALREADY_CONNECTED"), &json!("disconnected"))
    );
    assert_eq!(client.all_objects().await.len(), before);
    assert_eq!(client.server(&first).await["status"], "connected");
    assert!(shown["nextAttempt"].is_i64(), "it is tried again: {shown}");
    // When the first goes, the second has the pool at once.
    client.ok("server.remove", json!({ "id": first })).await;
    client.connected(&second).await;
    client.follow().await;
    client
        .until("its objects", |objects| {
            pool.read(|db| ids_of(db) == ids(objects))
        })
        .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_link_that_is_refused_does_not_keep_its_pool() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.ok("server.add", registration(&pool)).await;
    let first = client.ok("server.getAll", json!({})).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    client.connected(&first).await;
    // The pool's address is taken over by a host that knows another password.
    let address = pool.addr();
    pool.stop().await;
    let stranger = eventually("the address is free", async || {
        SimPool::start(PoolConfig {
            listen: address,
            password: "other".to_owned(),
            time_scale: 0.0,
            batch_ms: 5,
            ..PoolConfig::default()
        })
        .await
        .ok()
    })
    .await;
    client
        .server_until(&first, "the password is refused", |server| {
            server["error"]["code"] == "SESSION_AUTHENTICATION_FAILED"
        })
        .await;
    // The same pool under another registration.
    let other_name = stranger.url().replace("127.0.0.1", "localhost");
    let second = add(
        &mut client,
        registration(&stranger),
        json!({ "host": other_name, "password": "other" }),
    )
    .await;
    let shown = client
        .server_until(&second, "it has the pool", |server| {
            server["status"] == "connected"
        })
        .await;
    assert_eq!(shown["status"], "connected", "{shown}");
    server.stop().await;
    stranger.stop().await;
}

#[tokio::test]
async fn a_certificate_is_verified_unless_it_is_not_to_be() {
    let (server, pool) = (TestServer::start().await, tls_pool(1).await);
    let mut client = server.admin().await;
    let strict = add(&mut client, registration(&pool), json!({ "autoConnect": false })).await;
    let (code, message, data) = client.fails("server.enable", json!({ "id": strict })).await;
    assert_eq!(code, -32000);
    assert!(message.contains("certificate"), "{message}");
    assert_eq!(data["code"], "UNTRUSTED_CERTIFICATE", "{data}");
    let met = data["fingerprint"]
        .as_str()
        .expect("the fingerprint that was met")
        .to_owned();
    let real = pool.fingerprint_sha256().expect("a certificate").to_uppercase();
    assert_eq!(met.to_uppercase(), real);
    assert_eq!(
        pool.stats().calls_of("session.login_with_password"),
        0,
        "no password for a stranger"
    );

    client.ok("server.disable", json!({ "id": strict })).await;
    client
        .ok("server.set", json!({ "id": strict, "fingerprint": met }))
        .await;
    client.ok("server.enable", json!({ "id": strict })).await;
    client.connected(&strict).await;
    client.ok("server.disable", json!({ "id": strict })).await;

    client
        .ok(
            "server.set",
            json!({ "id": strict, "fingerprint": null, "allowUnauthorized": true }),
        )
        .await;
    client.ok("server.enable", json!({ "id": strict })).await;
    client.connected(&strict).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn the_first_certificate_is_kept_and_another_refused() {
    let (server, pool) = (TestServer::start().await, tls_pool(1).await);
    let mut client = server.admin().await;
    let id = add(
        &mut client,
        registration(&pool),
        json!({ "fingerprint": "first-use" }),
    )
    .await;
    let shown = client.connected(&id).await;
    let real = pool.fingerprint_sha256().expect("a certificate").to_uppercase();
    assert_eq!(shown["fingerprint"].as_str().map(str::to_uppercase), Some(real));
    let address = pool.addr();
    pool.stop().await;
    let other = eventually("the address is free", async || {
        SimPool::start(PoolConfig {
            listen: address,
            tls: true,
            seed: 2,
            ..PoolConfig::default()
        })
        .await
        .ok()
    })
    .await;
    let shown = client
        .server_until(&id, "the change is noticed", |server| {
            server["error"]["code"] == "UNTRUSTED_CERTIFICATE"
        })
        .await;
    assert_ne!(shown["status"], "connected");
    assert_eq!(
        other.stats().calls_of("session.login_with_password"),
        0,
        "no password for another host"
    );
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_host_that_knows_xml_rpc_only() {
    let server = TestServer::start().await;
    let pool = pool_with(PoolConfig {
        json_rpc: false,
        ..PoolConfig::default()
    })
    .await;
    let mut client = server.admin().await;
    client.follow().await;
    client.add_pool(&pool).await;
    client
        .until("all of it", |objects| pool.read(|db| ids_of(db) == ids(objects)))
        .await;
    let (_, id) = guest(&pool, "Running");
    client.ok("vm.pause", json!({ "id": id })).await;
    client
        .until("the pause", |objects| objects[&id]["power_state"] == "Paused")
        .await;
    let (code, ..) = client.fails("vm.pause", json!({ "id": id })).await;
    assert_eq!(code, 13);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_host_that_is_down_is_tried_again() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    pool.set_listening(false).await.expect("closed");
    let id = add(&mut client, registration(&pool), json!({})).await;
    let shown = client
        .server_until(&id, "the trouble is shown", |server| {
            server["nextAttempt"].is_i64()
        })
        .await;
    assert!(shown["error"]["message"].is_string(), "{shown}");
    pool.set_listening(true).await.expect("open");
    client.connected(&id).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_supporter_leads_to_its_master() {
    let server = TestServer::start().await;
    let (master, supporter) = (
        pool().await,
        pool_with(PoolConfig {
            seed: 9,
            ..PoolConfig::default()
        })
        .await,
    );
    supporter.set_slave_of(Some(master.addr().to_string()));
    let mut client = server.admin().await;
    let id = add(&mut client, registration(&supporter), json!({})).await;
    let shown = client.connected(&id).await;
    assert_eq!(shown["poolId"], master.read(uuid_of_pool));
    server.stop().await;
    master.stop().await;
    supporter.stop().await;
}

#[tokio::test]
async fn a_read_only_server_is_not_written_to() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    let id = client.add_pool(&pool).await;
    let (vm, uuid) = guest(&pool, "Running");
    client
        .ok("server.set", json!({ "id": id, "readOnly": true }))
        .await;
    client
        .call("vm.pause", json!({ "id": uuid }))
        .await
        .expect_err("read only");
    assert_eq!(pool.read(|db| db.text("VM", &vm, "power_state")), "Running");
    client
        .ok("server.set", json!({ "id": id, "readOnly": false }))
        .await;
    client.ok("vm.pause", json!({ "id": uuid })).await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_servers_users_and_tokens_and_no_password_in_clear() {
    let (folder, pool) = (
        Folder::new(),
        pool_with(PoolConfig {
            password: "hunter2-of-the-pool".to_owned(),
            ..PoolConfig::default()
        })
        .await,
    );
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    let id = add(
        &mut client,
        registration(&pool),
        json!({ "password": "hunter2-of-the-pool", "label": "kept" }),
    )
    .await;
    client.connected(&id).await;
    let token = client.ok("token.create", json!({})).await;
    let user = client.ok("session.getUser", json!({})).await;
    server.stop().await;

    let mut files = 0;
    for entry in std::fs::read_dir(&folder.0).expect("the folder") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        files += 1;
        for secret in ["hunter2-of-the-pool", PASSWORD, token.as_str().expect("a token")] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is on the disk in clear");
        }
    }
    assert!(files >= 2, "a store and a key");

    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.connect().await;
    assert_eq!(client.ok("session.signIn", json!({ "token": token })).await, user);
    let shown = client.connected(&id).await;
    assert_eq!(
        (&shown["label"], &shown["username"]),
        (&json!("kept"), &json!("root"))
    );
    client.follow().await;
    client
        .until("its objects", |objects| {
            pool.read(|db| ids_of(db) == ids(objects))
        })
        .await;
    client.ok("server.disable", json!({ "id": id })).await;
    server.stop().await;

    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    let shown = client.server(&id).await;
    assert_eq!(
        (&shown["enabled"], &shown["status"]),
        (&json!(false), &json!("disconnected"))
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn one_address_is_registered_once_however_many_ask_together() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = server.admin().await;
        let registration = registration(&pool);
        asking.spawn(async move { client.call("server.add", registration).await });
    }
    let answers = asking.join_all().await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers
        .iter()
        .filter(|answer| answer.as_ref().is_err_and(|error| error["code"] == 16))
        .count();
    assert_eq!((accepted, refused), (1, 9), "{answers:?}");
    pool.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_removed_server_stays_removed_after_a_restart() {
    let folder = Folder::new();
    let pool = tls_pool(3).await;
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    for _ in 0..5 {
        // The driver is about to note the certificate, or the pool's name, when it is told to go.
        let id = add(
            &mut client,
            registration(&pool),
            json!({ "fingerprint": "first-use" }),
        )
        .await;
        client.ok("server.remove", json!({ "id": id })).await;
    }
    server.stop().await;
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    assert_eq!(client.ok("server.getAll", json!({})).await, json!([]));
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn an_address_that_leads_to_another_pool_leaves_nothing_of_the_first() {
    let server = TestServer::start().await;
    let of_seed = |seed, listen| {
        pool_with(PoolConfig {
            seed,
            listen,
            ..PoolConfig::default()
        })
    };
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (first, second) = (of_seed(81, anywhere).await, of_seed(82, anywhere).await);
    let mut client = server.admin().await;
    let id = client.add_pool(&first).await;
    client.add_pool(&second).await;
    let address = first.addr();
    first.stop().await;
    let impostor = of_seed(82, address).await;
    client
        .server_until(&id, "it is found to be the other pool", |server| {
            server["error"]["code"] == "POOL_ALREADY_CONNECTED"
        })
        .await;
    let expected = second.read(ids_of);
    assert_eq!(ids(&client.all_objects().await), expected);
    impostor.stop().await;
}

#[tokio::test]
async fn two_pools_that_change_places_are_both_served() {
    let server = TestServer::start().await;
    let of_seed = |seed, listen| {
        pool_with(PoolConfig {
            seed,
            listen,
            ..PoolConfig::default()
        })
    };
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let pools = [of_seed(83, anywhere).await, of_seed(84, anywhere).await];
    let mut client = server.admin().await;
    let links = [client.add_pool(&pools[0]).await, client.add_pool(&pools[1]).await];
    let addresses = pools.each_ref().map(SimPool::addr);
    for pool in &pools {
        pool.stop().await;
    }
    let pools = [of_seed(84, addresses[0]).await, of_seed(83, addresses[1]).await];
    for (link, pool) in links.iter().zip(&pools) {
        let pool_id = json!(pool.read(uuid_of_pool));
        client
            .server_until(link, "it leads to the other pool", |server| {
                server["status"] == "connected" && server["poolId"] == pool_id
            })
            .await;
    }
    let expected: BTreeSet<String> = pools.iter().flat_map(|pool| pool.read(ids_of)).collect();
    assert_eq!(ids(&client.all_objects().await), expected);
    server.stop().await;
    for pool in pools {
        pool.stop().await;
    }
}
