//! What messages, answers and listings may take in memory, and how long they are waited for.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::Limits;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use xapi_sim::PoolConfig;

#[tokio::test]
async fn texts_have_longest_lengths() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let long = "x".repeat(5_000);
    let many: Vec<Value> = (0..2_000).map(|i| json!({ "name_label": i })).collect();
    let mut nested = json!({});
    for _ in 0..50 {
        nested = json!({ "__and": (0..50).map(|_| json!("a")).chain([nested]).collect::<Vec<_>>() });
    }
    for (method, params) in [
        ("xo.getAllObjects", json!({ "filter": long })),
        ("xo.getAllObjects", json!({ "filter": { "__or": many } })),
        ("xo.getAllObjects", json!({ "filter": nested })),
        ("xo.getAllObjects", json!({ "filter": { "name_label": long } })),
        (
            "server.add",
            json!({ "host": long, "username": "u", "password": "p" }),
        ),
        (
            "server.add",
            json!({ "host": "h", "label": long, "username": "u", "password": "p" }),
        ),
        ("server.set", json!({ "id": "x", "httpProxy": long })),
        ("token.create", json!({ "client": { "id": long } })),
        ("token.set", json!({ "id": "x", "description": long })),
        (
            "view.subscribe",
            json!({ "view": { "scope": "object", "id": long } }),
        ),
    ] {
        let (code, ..) = client.fails(method, params).await;
        assert_eq!(code, 10, "{method}");
    }
    let ids: Vec<Value> = (0..500).map(|i| json!(i.to_string())).collect();
    let filter = json!({ "filter": { "type": "VM", "id": { "__or": ids } } });
    client.ok("xo.getAllObjects", filter).await;
    server.stop().await;
}

/// Each ping asks for a pong: who takes none is not read from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_without_end_do_not_fill_the_memory() {
    let server = TestServer::start_with(Limits {
        sign_in_time: Duration::from_secs(3),
        ..Limits::default()
    })
    .await;
    let mut socket = TcpStream::connect(server.address).await.expect("a connection");
    let upgrade = "GET /api/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.expect("taken");
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    let pings = ping.repeat(1_000);
    let mut sent = 0;
    // Until the server ends it: nobody signed in.
    let flood = async {
        while let Ok(length) = socket.write(&pings[sent % ping.len()..]).await {
            sent += length;
        }
    };
    tokio::time::timeout(DEADLINE, flood)
        .await
        .expect("the server ends it");
    assert!(
        sent < 40 << 20,
        "{sent} bytes of pings were read, and no pong was taken"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_message_full_of_unknown_params_is_answered_in_short() {
    let server = TestServer::start().await;
    let mut user = server.plain_user().await;
    let params: Value = (0..60_000)
        .map(|number| (format!("unknown{number}"), json!(0)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let error = user.call("acl.explain", params).await.expect_err("refused");
    assert_eq!(error["code"], 10);
    let told = error["data"]["errors"].as_array().expect("a list").len();
    // An object and a permission are missing, too.
    assert_eq!((told, &error["data"]["more"]), (20, &json!(60_002 - 20)));
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("59982"))
    );
    assert!(error.to_string().len() < 10_000);
    server.stop().await;
}

#[tokio::test]
async fn a_message_of_too_many_values_is_refused_before_it_is_read() {
    let server = TestServer::start().await;
    let mut user = server.plain_user().await;
    let zeros = vec![0; 500_000];
    let error = user
        .call(
            "user.set",
            json!({ "id": "x", "preferences": { "a": zeros[..250_000] } }),
        )
        .await;
    assert_eq!(error.expect_err("refused")["code"], -32600);
    let within = json!({ "id": "x", "preferences": { "a": zeros[..100_000] } });
    assert_eq!(
        user.fails("user.set", within).await.0,
        2,
        "not too many for a user"
    );
    // A stranger asks nothing that needs as much.
    let mut stranger = server.connect().await;
    let guess = |values: usize| json!({ "email": "x", "password": "y", "more": zeros[..values] });
    let error = stranger.call("session.signIn", guess(10_000)).await;
    assert_eq!(error.expect_err("refused")["code"], -32600);
    let error = stranger.call("session.signIn", guess(100)).await;
    assert_eq!(error.expect_err("refused")["code"], 3);
    server.stop().await;
}

#[tokio::test]
async fn large_messages_of_one_user_wait_for_one_another_and_others_do_not() {
    let server = TestServer::start_with(Limits {
        messages: 400 << 10,
        ..Limits::default()
    })
    .await;
    let pool = pool().await;
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    let mut other = server.plain_user().await;
    let own = other.ok("session.getUser", json!({})).await["id"].clone();
    pool.set_black_hole(true);
    // Each takes more than half of what one user may take.
    let tag = |number: u32| json!({ "id": vm, "tag": format!("{number}{}", "x".repeat(30 << 10)) });
    let mut waiting = vec![admin.request("tag.add", tag(1)).await];
    waiting.push(admin.request("tag.add", tag(2)).await);
    eventually("the first has begun", async || {
        (pool.stats().calls_of("VM.add_tags") > 0).then_some(())
    })
    .await;
    let preferences = json!({ "id": own, "preferences": { "note": "x".repeat(30 << 10) } });
    for _ in 0..20 {
        other.ok("user.set", preferences.clone()).await;
    }
    assert_eq!(
        pool.stats().calls_of("VM.add_tags"),
        1,
        "the second has not begun"
    );
    pool.set_black_hole(false);
    for _ in 0..2 {
        let answer = admin.answer().await;
        assert_eq!(answer["result"], true, "{answer}");
        waiting.retain(|id| answer["id"] != *id);
    }
    assert!(waiting.is_empty());
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_takes_end_the_connection() {
    let server = TestServer::start_with(Limits {
        stalled: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let request = format!("GET /signin HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).repeat(1_000);
    // Its answers are never read: sooner or later nothing more is taken, and then it is given up.
    let asking = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    let ended = tokio::time::timeout(DEADLINE, asking).await;
    ended.expect("the connection is ended");
    server.stop().await;
}

#[tokio::test]
async fn a_message_waits_for_room_only_so_long() {
    let server = TestServer::start_with(Limits {
        messages: 400 << 10,
        room_patience: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let pool = pool().await;
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    pool.set_black_hole(true);
    let tag = |number: u32| json!({ "id": vm, "tag": format!("{number}{}", "x".repeat(30 << 10)) });
    let first = admin.request("tag.add", tag(1)).await;
    let second = admin.request("tag.add", tag(2)).await;
    let answer = admin.answer().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(second), &json!(21))
    );
    admin.ok("session.getUser", json!({})).await;
    pool.set_black_hole(false);
    assert_eq!(admin.answer().await["id"], first);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn listings_that_nobody_reads_take_what_their_user_may_take() {
    let (server, pool) = (
        TestServer::start_with(Limits {
            listings: 8 << 20,
            room_patience: Duration::from_millis(300),
            ..Limits::default()
        })
        .await,
        pool_with(PoolConfig {
            vms: 300,
            ..PoolConfig::default()
        })
        .await,
    );
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let mut other = server.connect().await;
    admin
        .ok(
            "user.create",
            json!({ "email": "other", "password": PASSWORD, "permission": "admin" }),
        )
        .await;
    other
        .ok(
            "session.signIn",
            json!({ "email": "other", "password": PASSWORD }),
        )
        .await;
    // What looks like a filter: nobody shares the answer. What the system's buffers hold is not our memory.
    let everything = json!({ "filter": { "type": { "__not": "nothing" } } });
    let mut silent = Vec::new();
    let error = eventually("one user's share is taken", async || {
        let mut client = server.admin().await;
        for _ in 0..10 {
            client.request("xo.getAllObjects", everything.clone()).await;
        }
        silent.push(client);
        admin.call("xo.getAllObjects", everything.clone()).await.err()
    })
    .await;
    assert_eq!(error["code"], 21, "{error}");
    other.ok("xo.getAllObjects", everything.clone()).await;
    drop(silent);
    eventually("it comes back", async || {
        admin.call("xo.getAllObjects", everything.clone()).await.ok()
    })
    .await;
    server.stop().await;
    pool.stop().await;
}
