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
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};
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

#[tokio::test]
async fn a_download_ends_with_the_token_that_opened_its_session() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    // More than the buffers of the system hold.
    let users = (0..120).map(|number| {
        let preferences = json!({ "filters": "x".repeat(250 << 10) });
        json!({ "id": format!("u-{number}"), "email": format!("u-{number}"), "permission": "none", "preferences": preferences })
    });
    let users: Vec<Value> = users.collect();
    let export = server::transfer::Export::from_json(json!({ "users": users })).expect("an export");
    let imported = server.app.import_config(export).await;
    imported.expect("imported");
    let token = admin.ok("token.create", json!({})).await;
    let mut client = server.connect().await;
    client.ok("session.signIn", json!({ "token": token })).await;
    let path = |offer: Value| offer["$getFrom"].as_str().expect("a path").to_owned();
    let export = json!({ "entries": ["users"], "compress": false });
    let whole = path(client.ok("xo.exportConfig", export.clone()).await);
    let whole = server.get(&whole, "").await.2.len();
    let ended = path(client.ok("xo.exportConfig", export).await);

    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let request = format!(
        "GET {ended} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await.expect("taken");
    let mut answer = vec![0; 1 << 10];
    stream.read_exact(&mut answer).await.expect("the beginning");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    admin.ok("token.delete", json!({ "tokens": [token] })).await;
    // Cut off, or ended too soon.
    drop(stream.read_to_end(&mut answer).await);
    assert!(answer.len() < whole, "{} of {whole} bytes", answer.len());
    server.stop().await;
}

#[tokio::test]
async fn who_takes_no_news_does_not_hold_up_the_stop() {
    let server = TestServer::start_with(Limits {
        // Longer than this test waits for anything.
        stopping: Duration::from_secs(3_600),
        ..Limits::default()
    })
    .await;
    let pool = pool_with(PoolConfig {
        vms: 300,
        ..PoolConfig::default()
    })
    .await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    let mut lines = BufReader::new(socket.connect(server.lines).await.expect("a connection"));
    for (method, params) in [
        ("session.signIn", json!({ "email": EMAIL, "password": PASSWORD })),
        ("session.getUser", json!({})),
    ] {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let line = format!("{request}\n");
        lines.write_all(line.as_bytes()).await.expect("taken");
        lines.read_line(&mut String::new()).await.expect("an answer");
    }
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    // All of it is on its way to a client that reads no more.
    let stopped = tokio::time::timeout(DEADLINE, server.stop()).await;
    stopped.expect("it stops");
    pool.stop().await;
}
