//! The server on Redis: coming from today's product, and what clients meet while Redis is away.

#[path = "../store/todays.rs"]
mod todays;

use crate::{
    redis_server::{RedisServer, Relay},
    support::{Folder, *},
};
use serde_json::{Value, json};
use server::{
    limits::Limits,
    persist::redis::{Address, Owner, Redis, Waits},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test]
async fn users_of_today_sign_in_after_the_program_has_brought_them() {
    let redis = RedisServer::start().await;
    todays::fill(&redis).await;
    let folder = Folder::new();
    let socket = redis.socket();
    let uri = format!("unix://{}", socket.display());
    let import = |more: &[&str]| {
        let mut command = program("import-xo", &folder.0);
        command
            .args(["--from-redis", &uri, "--redis-socket"])
            .arg(&socket)
            .args(more);
        command
    };
    let output = import(&["--dry-run"]).output().await.expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success() && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(
        said.contains("root@example.net") && !said.contains(todays::TOKEN),
        "{said}"
    );
    let output = import(&[]).output().await.expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    let summary = said.lines().last().expect("a summary");
    assert!(
        output.status.success() && summary.contains(" 0 changed, 0 the same, 0 removed"),
        "{said}"
    );
    let output = import(&[]).output().await.expect("it ran");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        said.lines()
            .last()
            .expect("a summary")
            .starts_with("0 new, 0 changed"),
        "{said}"
    );

    // Our records and today's are in the same database; nobody else is made administrator.
    let mut command = command(&folder.0, "127.0.0.1:0");
    command.arg("--redis-socket").arg(&socket).env("XO_LOG", "off");
    let program = Program::start(command).await;
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    let credentials = json!({ "email": "bob", "password": todays::BCRYPT.0 });
    let bob = client.ok("session.signIn", credentials).await;
    assert_eq!((&bob["id"], &bob["email"]), (&json!("u-bob"), &json!("Bob")));
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    let by_token = client
        .ok("session.signIn", json!({ "token": todays::TOKEN }))
        .await;
    assert_eq!(by_token["id"], "u-bob");
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    client.fails("session.signIn", credentials).await;
    program.kill().await;
}

fn program(name: &str, folder: &std::path::Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_xo-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XO_") {
            command.env_remove(name);
        }
    }
    command.arg(name).arg("--data-dir").arg(folder);
    command
}

#[tokio::test]
async fn the_inventory_goes_on_while_redis_is_away() {
    let mut redis = RedisServer::start().await;
    let folder = Folder::new();
    let address = Address::new(&redis.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), Waits::default())
        .await
        .expect("opened");
    let server = TestServer::on(Arc::new(store), &folder.0, Limits::default()).await;
    let pool = pool().await;
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    let (vm, _) = client
        .objects
        .iter()
        .find(|(_, object)| object["type"] == "VM" && object["power_state"] == "Halted")
        .map(|(id, object)| (id.clone(), object.clone()))
        .expect("a halted VM");

    redis.kill().await;
    for (method, params) in [
        ("token.create", json!({})),
        (
            "server.add",
            json!({ "host": "h.example", "username": "u", "password": "p", "autoConnect": false }),
        ),
    ] {
        let (_, message, _) = client.fails(method, params).await;
        assert_eq!(message, "the store cannot be used now: nothing was changed");
    }
    let mut stranger = server.connect().await;
    let (_, message, _) = stranger
        .fails("session.signIn", json!({ "token": "unknown" }))
        .await;
    assert_eq!(message, "the store cannot be used now: nothing was changed");
    // Who is signed in steers the pool and sees what happens.
    client.ok("vm.start", json!({ "id": vm })).await;
    client
        .until("it runs", |objects| objects[&vm]["power_state"] == "Running")
        .await;

    redis.run().await;
    let token = eventually("tokens are made again", async || {
        client.call("token.create", json!({})).await.ok()
    })
    .await;
    stranger.ok("session.signIn", json!({ "token": token })).await;
    let servers = client.ok("server.getAll", json!({})).await;
    assert_eq!(
        servers.as_array().expect("a list").len(),
        1,
        "what was refused was not done"
    );
    server.stop().await;
}

/// The server behind a way to Redis that can be disturbed.
async fn relayed(redis: &RedisServer, folder: &Folder) -> (Relay, TestServer) {
    let relay = Relay::to(redis).await;
    let address = Address::new(&relay.place()).expect("an address");
    let impatient = Waits {
        answer: Duration::from_millis(300),
        outcome: Duration::from_millis(100),
        ..Waits::default()
    };
    let store = Redis::open(address, Owner::passing(), impatient)
        .await
        .expect("opened");
    let server = TestServer::on(Arc::new(store), &folder.0, Limits::default()).await;
    (relay, server)
}

#[tokio::test]
async fn a_change_of_unknown_outcome_counts_as_soon_as_it_is_known() {
    let (redis, folder) = (RedisServer::start().await, Folder::new());
    let (relay, server) = relayed(&redis, &folder).await;
    let mut admin = server.admin().await;
    let user = json!({ "email": "mallory", "password": PASSWORD, "permission": "admin" });
    let id = admin.ok("user.create", user).await;
    let registered = json!({ "host": "h.example", "username": "u", "password": "p", "autoConnect": false });
    let link = admin.ok("server.add", registered).await;
    let mut mallory = server.connect().await;
    let credentials = json!({ "email": "mallory", "password": PASSWORD });
    mallory.ok("session.signIn", credentials).await;

    for (method, params) in [
        ("user.set", json!({ "id": id, "permission": "none" })),
        ("server.remove", json!({ "id": link })),
    ] {
        relay.mute.store(true, Ordering::SeqCst);
        let (_, message, _) = admin.fails(method, params).await;
        assert!(
            message.contains("whether the change was made is not known"),
            "{message}"
        );
        relay.mute.store(false, Ordering::SeqCst);
        relay.cut();
        eventually("something can be changed again", async || {
            admin.call("token.create", json!({})).await.ok()
        })
        .await;
    }
    while !matches!(mallory.next().await, Incoming::Closed(_)) {}
    let permission = |user: &Value| user["permission"].clone();
    let users = admin.ok("user.getAll", json!({})).await;
    let known = users
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["id"] == id);
    assert_eq!(known.map(permission), Some(json!("none")));
    assert_eq!(admin.ok("server.getAll", json!({})).await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn while_redis_is_away_nothing_is_done_that_must_be_noted_and_nobody_is_taken_for_a_stranger() {
    let (mut redis, folder) = (RedisServer::start().await, Folder::new());
    let (_relay, server) = relayed(&redis, &folder).await;
    let pool = pool().await;
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let mut client = server.plain_user().await;
    let user = client.ok("session.getUser", json!({})).await["id"].clone();
    let (vm, id) = guest(&pool, "Halted");
    let entry = json!({ "subject": user, "object": id, "action": "admin" });
    admin.ok("acl.add", entry).await;
    let token = admin.ok("token.create", json!({})).await;
    let cookie = format!("Cookie: token={}\r\n", token.as_str().expect("a token"));
    assert_eq!(server.get("/account", &cookie).await.0, 200);

    redis.kill().await;
    eventually("the loss is noticed", async || server.app.store.status().problem).await;
    for (method, params) in [
        ("vm.snapshot", json!({ "id": id, "name": "not now" })),
        ("vm.delete", json!({ "id": id })),
    ] {
        let (_, message, _) = client.fails(method, params).await;
        assert_eq!(message, "the store cannot be used now: nothing was changed");
    }
    let snapshots = pool.read(|db| {
        assert!(db.exists("VM", &vm), "it was not deleted");
        db.get("VM", &vm, "snapshots").clone()
    });
    assert_eq!(snapshots, xapi_sim::Value::set_of(Vec::<String>::new()));
    for page in ["/account", "/admin", "/"] {
        assert_eq!(server.get(page, &cookie).await.0, 503, "{page}");
        assert_eq!(server.get(page, "").await.0, 302, "{page}");
    }
    server.stop().await;
    pool.stop().await;
}
