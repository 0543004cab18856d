//! What strangers, floods and slow clients are held to.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::Limits;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use xapi_sim::PoolConfig;

const ELSEWHERE: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

#[tokio::test]
async fn a_flood_of_sign_ins_is_slowed_down_while_others_sign_in() {
    let server = TestServer::start().await;
    let (over, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut flood = tokio::task::JoinSet::new();
    for socket in 0..80 {
        let mut client = server.connect_with(&[ELSEWHERE]).await;
        let (over, refused) = (over.clone(), refused.clone());
        flood.spawn(async move {
            for attempt in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("{socket}-{attempt}");
                let (code, ..) = client
                    .fails("session.signIn", json!({ "email": name, "password": "guess" }))
                    .await;
                if code == -32000 {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                // Lets the others of this thread have their turn.
                tokio::task::yield_now().await;
            }
        });
    }
    eventually("the flood is slowed down", async || {
        (refused.load(Ordering::Relaxed) > 1_000).then_some(())
    })
    .await;
    for _ in 0..20 {
        server.admin().await;
    }
    over.store(true, Ordering::Relaxed);
    flood.join_all().await;
    server.stop().await;
}

#[tokio::test]
async fn a_form_that_does_not_come_is_not_waited_for() {
    let server = TestServer::start_with(Limits {
        form_time: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    let (status, ..) = server
        .http(
            "POST /signin/local HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nusername=",
        )
        .await;
    assert_eq!(status, 408);
    server.stop().await;
}

#[tokio::test]
async fn a_form_has_a_longest_length() {
    let server = TestServer::start().await;
    let long = format!("username=a&password={}", "x".repeat(20 << 10));
    let (status, ..) = server.post_form("/signin/local", "", &long).await;
    assert_eq!(status, 400);
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_sign_in_loses_the_socket() {
    let server = TestServer::start_with(Limits {
        sign_in_time: Duration::from_millis(500),
        ..Limits::default()
    })
    .await;
    // On a busy machine, the first attempt may come too late.
    let mut user = eventually("signed in", async || {
        let mut client = server.connect().await;
        let credentials = json!({ "email": EMAIL, "password": PASSWORD });
        let answer = client.call_if_there("session.signIn", credentials).await?;
        answer.get("result")?;
        Some(client)
    })
    .await;
    let mut stranger = server.connect().await;
    assert_eq!(stranger.next().await, Incoming::Closed(1008));
    // Came earlier, and stays.
    assert_eq!(user.ok("system.getVersion", json!({})).await, "0.1");
    server.stop().await;
}

#[tokio::test]
async fn an_address_has_few_sockets_for_strangers() {
    let server = TestServer::start_with(Limits {
        strangers: 3,
        ..Limits::default()
    })
    .await;
    let mut together = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = server.address;
        together.spawn(async move { Client::connect(address, &[ELSEWHERE]).await });
    }
    let mut admitted: Vec<Client> = together.join_all().await.into_iter().flatten().collect();
    assert_eq!(admitted.len(), 3, "also when they come together");
    // Others do not suffer, nor do those who have signed in count.
    let _other = server.connect().await;
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    admitted[0].ok("session.signIn", credentials).await;
    admitted.push(
        Client::connect(server.address, &[ELSEWHERE])
            .await
            .expect("a place is free"),
    );
    assert!(Client::connect(server.address, &[ELSEWHERE]).await.is_err());
    drop(admitted);
    eventually("places that were left are free", async || {
        Client::connect(server.address, &[ELSEWHERE]).await.ok()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_user_has_so_many_tokens_and_expired_ones_go() {
    let server = TestServer::start_with(Limits {
        tokens: 3,
        token_sweep: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut client = server.admin().await;
    let mut secrets = Vec::new();
    for _ in 0..3 {
        secrets.push(client.ok("token.create", json!({})).await);
    }
    let (code, message, _) = client.fails("token.create", json!({})).await;
    assert_eq!(code, 21);
    assert!(message.contains('3'), "{message}");
    let form = "username=admin%40example.net&password=correct+horse";
    let (status, _, body) = server.post_form("/signin/local", "", form).await;
    assert_eq!(status, 403);
    assert!(body.contains("too many places"), "{body}");
    // A client that names itself replaces its own.
    client
        .ok("token.deleteOwn", json!({ "tokens": [secrets.pop()] }))
        .await;
    for _ in 0..3 {
        client
            .ok("token.create", json!({ "client": { "id": "cli" } }))
            .await;
    }
    // Another user has as many.
    let id = server.app.accounts.create("other", PASSWORD, "none").await;
    let accounts = &server.app.accounts;
    let short = server::auth::tokens::NewToken {
        user_id: id.expect("a user"),
        validity_ms: Some(1),
        ..Default::default()
    };
    accounts.create_token(short).await.expect("a token");
    eventually("the expired one is removed", async || {
        let kept = accounts.tokens.list(None).await.expect("a list");
        (kept.len() == 3).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn the_calls_of_a_batch_are_held_to_what_single_calls_are() {
    let server = TestServer::start_with(Limits {
        batch_answers: 100 << 10,
        ..Limits::default()
    })
    .await;
    let pool = pool().await;
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    let whole = client.ok("xo.getAllObjects", json!({})).await.to_string().len();
    assert!(whole > 60 << 10, "two of {whole} bytes are too much, one is not");
    let batch: Vec<Value> = (0..10)
        .map(|id| {
            let method = if id < 5 {
                "xo.getAllObjects"
            } else {
                "system.getVersion"
            };
            json!({ "jsonrpc": "2.0", "id": id, "method": method })
        })
        .collect();
    client.send_text(Value::from(batch).to_string()).await;
    let answers = client.answer().await;
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 10);
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.get("result").is_some());
    assert_eq!(
        (good.len(), bad.len()),
        (6, 4),
        "the first, and all the small ones"
    );
    for answer in bad {
        assert_eq!(answer["error"]["code"], 21, "{answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains("batch"), "{message}");
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_batch_does_not_take_more_turns_than_its_client_has() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    pool.set_black_hole(true);
    let batch = |first: u64| {
        let calls: Vec<Value> = (first..first + 100)
            .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "tag.add", "params": { "id": vm, "tag": id.to_string() } }))
            .collect();
        Value::from(calls).to_string()
    };
    // Six hundred calls that hang, of which 512 may run: what comes behind them has to wait, but for the one
    // message for which there was a turn already.
    for first in [1_000, 1_100, 1_200, 1_300, 1_400, 1_500] {
        client.send_text(batch(first)).await;
    }
    eventually("the batch has begun", async || {
        (pool.stats().calls_of("VM.add_tags") > 0).then_some(())
    })
    .await;
    client.request("system.getVersion", json!({})).await;
    let last = client.request("system.getVersion", json!({})).await;
    let mut other = server.admin().await;
    for _ in 0..100 {
        other.ok("system.getVersion", json!({})).await;
    }
    while let Some(message) = client.next_if_there() {
        assert_ne!(message["id"], last, "answered out of turn");
    }
    client.send_text(batch(2_000)).await;
    pool.set_black_hole(false);
    let mut answered = Vec::new();
    while answered
        .iter()
        .filter(|answer: &&Value| answer.is_array())
        .count()
        < 7
    {
        answered.push(client.answer().await);
    }
    let single = answered.iter().find(|answer| answer["id"] == last);
    assert_eq!(single.expect("the single call is answered")["result"], "0.1");
    for batch in answered.iter().filter_map(Value::as_array) {
        assert_eq!(batch.len(), 100);
        for answer in batch {
            assert_eq!(answer["result"], true, "{answer}");
        }
    }
    server.stop().await;
    pool.stop().await;
}

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
async fn downloads_of_one_user_push_out_only_their_own() {
    let server = TestServer::start().await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    let ndjson = json!({ "ndjson": true });
    let path = |offer: Value| offer["$getFrom"].as_str().expect("a path").to_owned();
    let of_admin = path(admin.ok("xo.getAllObjects", ndjson.clone()).await);
    let first = path(user.ok("xo.getAllObjects", ndjson.clone()).await);
    let mut last = String::new();
    for _ in 0..1_020 {
        last = path(user.ok("xo.getAllObjects", ndjson.clone()).await);
    }
    assert_eq!(server.get(&of_admin, "").await.0, 200);
    assert_eq!(server.get(&first, "").await.0, 404, "the own oldest goes");
    assert_eq!(server.get(&last, "").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn who_signs_out_is_a_stranger_again() {
    let server = TestServer::start_with(Limits {
        sign_in_time: Duration::from_secs(2),
        ..Limits::default()
    })
    .await;
    let mut client = server.admin().await;
    client.ok("session.signOut", json!({})).await;
    assert_eq!(client.next().await, Incoming::Closed(1008));
    server.stop().await;
}

#[tokio::test]
async fn one_user_does_not_take_everybodys_places() {
    let server = TestServer::start_with(Limits {
        sessions: 2,
        ..Limits::default()
    })
    .await;
    let held = [server.admin().await, server.admin().await];
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    for mut third in [server.connect().await, Client::connect_lines(server.lines).await] {
        let (code, message, _) = third.fails("session.signIn", credentials.clone()).await;
        assert!(code == 21 && message.contains("2 times"), "{code} {message}");
    }
    server.plain_user().await;
    drop(held);
    eventually("a place is free", async || {
        let mut client = server.connect().await;
        client.call("session.signIn", credentials.clone()).await.ok()
    })
    .await;
    server.stop().await;
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
async fn what_was_begun_is_answered_before_the_server_stops() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    let (vm, id) = guest(&pool, "Running");
    pool.set_black_hole(true);
    let asked = client
        .request("tag.add", json!({ "id": id, "tag": "last" }))
        .await;
    eventually("the call is under way", async || {
        (pool.stats().calls_of("VM.add_tags") == 1).then_some(())
    })
    .await;
    let stopping = tokio::spawn(server.stop());
    // A new client is not served any more by the time that the answer may come.
    pool.set_black_hole(false);
    let answer = client.answer().await;
    assert_eq!((&answer["id"], &answer["result"]), (&json!(asked), &json!(true)));
    assert_eq!(client.next().await, Incoming::Closed(1001));
    stopping.await.expect("stopped");
    assert!(pool.read(|db| db.get("VM", &vm, "tags").contains("last")));
    pool.stop().await;
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

#[tokio::test]
async fn who_is_deleted_gets_nothing_more_of_what_is_under_way() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let created = json!({ "email": "slow", "password": PASSWORD, "permission": "admin" });
    let id = admin.ok("user.create", created).await;
    let mut slow = Client::connect_lines(server.lines).await;
    slow.ok("session.signIn", json!({ "email": "slow", "password": PASSWORD }))
        .await;
    // More than the buffers of the system hold, and never read.
    for _ in 0..100 {
        slow.request("xo.getAllObjects", json!({})).await;
    }
    let connections =
        async |admin: &mut Client| admin.ok("system.getStatus", json!({})).await["connections"].clone();
    let before = connections(&mut admin).await;
    admin.ok("user.delete", json!({ "id": id })).await;
    eventually("its connection is gone", async || {
        (connections(&mut admin).await != before).then_some(())
    })
    .await;
    server.stop().await;
    pool.stop().await;
}
