//! JSON-RPC over WebSocket: envelopes, errors of the envelope, sizes, order.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio_websockets::Message;

#[tokio::test]
async fn what_is_no_request_is_answered_and_harms_nothing() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for (sent, code, id) in [
        ("{", -32700, Value::Null),
        ("", -32700, Value::Null),
        ("not json", -32700, Value::Null),
        ("42", -32600, Value::Null),
        ("\"text\"", -32600, Value::Null),
        ("null", -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":2,"method":7}"#, -32600, json!(2)),
        (
            r#"{"jsonrpc":"3.0","id":"a","method":"system.getVersion"}"#,
            -32600,
            json!("a"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"system.getVersion"}"#,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"system.getVersion"}"#,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"system.getVersion","params":7}"#,
            -32600,
            json!(3),
        ),
        ("[]", -32600, Value::Null),
    ] {
        client.send_text(sent).await;
        let answer = client.answer().await;
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(code), &id),
            "{sent}: {answer}"
        );
    }
    client
        .send_text(r#"{"jsonrpc":"2.0","id":4,"method":"no.such"}"#)
        .await;
    assert_eq!(
        client.answer().await,
        json!({ "jsonrpc": "2.0", "id": 4, "error": { "code": -32601, "message": "method not found: no.such", "data": "no.such" } })
    );
    let (code, ..) = client.fails("backupNg.runJob", json!({})).await;
    assert_eq!(code, 0, "a method of today's product that is not here yet");
    assert_eq!(client.ok("system.getVersion", json!({})).await, "0.1");
    server.stop().await;
}

#[tokio::test]
async fn ids_and_versions_come_back_as_they_were() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for id in [
        json!(0),
        json!("text"),
        json!(""),
        json!(-1),
        json!(1.5),
        json!(9_007_199_254_740_993_i64),
    ] {
        client
            .send_text(json!({ "jsonrpc": "2.0", "id": id, "method": "system.getVersion" }).to_string())
            .await;
        assert_eq!(
            client.answer().await,
            json!({ "jsonrpc": "2.0", "id": id, "result": "0.1" })
        );
    }
    client
        .send_text(r#"{"id":1,"method":"system.getVersion","params":[]}"#)
        .await;
    assert_eq!(
        client.answer().await,
        json!({ "id": 1, "result": "0.1", "error": null })
    );
    client
        .send_text(r#"{"id":2,"method":"no.such","params":[]}"#)
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (&answer["error"]["code"], &answer["result"]),
        (&json!(-32601), &Value::Null)
    );
    assert!(answer.get("jsonrpc").is_none());
    // Notifications of either version, and answers to nothing, are not answered.
    for silent in [
        r#"{"jsonrpc":"2.0","method":"system.getVersion"}"#,
        r#"{"id":null,"method":"system.getVersion","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":true}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
    ] {
        client.send_text(silent).await;
    }
    assert_eq!(client.ok("system.getVersion", json!({})).await, "0.1");
    server.stop().await;
}

#[tokio::test]
async fn batches_are_answered_as_batches() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "system.getVersion" },
        { "jsonrpc": "2.0", "method": "system.getVersion" },
        { "jsonrpc": "2.0", "id": "x", "method": "no.such" },
        7,
    ]);
    client.send_text(batch.to_string()).await;
    let answers = client.answer().await;
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), 3);
    let find = |id: Value| {
        answers
            .iter()
            .find(|answer| answer["id"] == id)
            .expect("an answer")
    };
    assert_eq!(find(json!(1))["result"], "0.1");
    assert_eq!(find(json!("x"))["error"]["code"], -32601);
    assert_eq!(find(Value::Null)["error"]["code"], -32600);
    client
        .send_text(r#"[{"jsonrpc":"2.0","method":"system.getVersion"},{"jsonrpc":"2.0","method":"no.such"}]"#)
        .await;
    // Nothing comes of a batch of notifications: the next answer is of the next call.
    assert_eq!(client.ok("system.getVersion", json!({})).await, "0.1");
    let long: Vec<Value> = (0..1_000)
        .map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "system.getVersion" }))
        .collect();
    client.send_text(Value::from(long).to_string()).await;
    assert_eq!(client.answer().await["error"]["code"], -32600);
    server.stop().await;
}

#[tokio::test]
async fn a_message_too_long_ends_its_connection_only() {
    let server = TestServer::start().await;
    let mut other = server.admin().await;
    let padded = |length: usize| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": "system.methodSignature", "params": { "method": "x".repeat(length) } }).to_string()
    };
    let mut stranger = server.connect().await;
    stranger.send_text(padded(60 << 10)).await;
    assert_eq!(
        stranger.answer().await["error"]["code"],
        1,
        "long enough is not too long"
    );
    stranger.send_text(padded(65 << 10)).await;
    assert_eq!(stranger.next().await, Incoming::Closed(1009));

    let mut client = server.admin().await;
    let large = padded(1_000_000);
    // The limit grows when the sign-in has been answered.
    client.ok("system.getVersion", json!({})).await;
    client.send_text(large).await;
    assert_eq!(client.answer().await["error"]["code"], 1);
    client.send_text(padded(1 << 20)).await;
    assert_eq!(client.next().await, Incoming::Closed(1009));
    assert_eq!(
        other.ok("system.getVersion", json!({})).await,
        "0.1",
        "others notice nothing"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_farewell_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.ok("system.getVersion", json!({})).await;
    client.send(Message::close(None, "")).await;
    assert_ne!(
        client.next().await,
        Incoming::Closed(0),
        "the close frame is answered with one"
    );
    eventually("the connection is forgotten", async || {
        server.app.connections.is_empty().then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    server.stop().await;
    assert_eq!(client.next().await, Incoming::Closed(1001));
}

#[tokio::test]
async fn binary_frames_are_read_as_text() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client
        .send(Message::binary(
            br#"{"jsonrpc":"2.0","id":5,"method":"system.getVersion"}"#.to_vec(),
        ))
        .await;
    assert_eq!(
        client.answer().await,
        json!({ "jsonrpc": "2.0", "id": 5, "result": "0.1" })
    );
    client.send(Message::binary(vec![0xff, 0xfe, 0])).await;
    assert_eq!(client.answer().await["error"]["code"], -32700);
    client.send(Message::ping("ping")).await;
    assert_eq!(client.ok("system.getVersion", json!({})).await, "0.1");
    server.stop().await;
}

#[tokio::test]
async fn many_calls_at_once_are_all_answered() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    let mut waiting = BTreeSet::new();
    for _ in 0..500 {
        waiting.insert(client.request("session.getUser", json!({})).await);
    }
    while !waiting.is_empty() {
        let answer = client.answer().await;
        assert_eq!(answer["result"]["email"], EMAIL);
        assert!(
            waiting.remove(&answer["id"].as_u64().expect("an id")),
            "answered once: {answer}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn an_answer_overtakes_a_slow_call() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    pool.set_black_hole(true);
    let slow = client.request("vm.pause", json!({ "id": vm })).await;
    assert_eq!(client.ok("system.getVersion", json!({})).await, "0.1");
    pool.set_black_hole(false);
    let answer = client.answer().await;
    assert_eq!(
        (answer["id"].as_u64(), &answer["result"]),
        (Some(slow), &json!(true))
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn an_answer_does_not_wait_behind_notifications() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    let vms: Vec<String> = pool.read(|db| db.refs("VM").iter().map(ToString::to_string).collect());
    // Several megabytes that this client does not read yet.
    for round in 0..60 {
        let text = format!("{round} {}", "x".repeat(2_000));
        pool.write(|db| {
            for vm in &vms {
                db.set("VM", vm, "name_description", text.as_str());
            }
        });
        let seen = server.app.inventory.revision();
        eventually("the server has seen it", async || {
            (server.app.inventory.revision() > seen).then_some(())
        })
        .await;
    }
    let id = client.request("system.getVersion", json!({})).await;
    let (mut bytes, mut frames) = (0, 0);
    loop {
        let message = client.text().await;
        if message["id"] == id {
            break;
        }
        bytes += message.to_string().len();
        frames += 1;
    }
    // What the sockets hold comes first, and no more than a few chunks of 256 KiB.
    assert!(
        bytes < 12 << 20,
        "{frames} notifications of {bytes} bytes came before the answer"
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn positional_params_mean_nothing_but_are_no_envelope_error() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client
        .send_text(r#"{"jsonrpc":"2.0","id":1,"method":"system.getVersion","params":["a","b"]}"#)
        .await;
    assert_eq!(client.answer().await["result"], "0.1");
    client
        .send_text(
            r#"{"jsonrpc":"2.0","id":1,"method":"system.methodSignature","params":["system.getVersion"]}"#,
        )
        .await;
    assert_eq!(client.answer().await["error"]["code"], 10);
    server.stop().await;
}

#[tokio::test]
async fn only_the_exact_path_upgrades() {
    let server = TestServer::start().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for path in ["/api/?x=1", "/api", "/other"] {
        let host = server.address;
        let (status, ..) = server
            .http(&format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{}\r\n",
                upgrade.replace("Connection: Upgrade\r\n", "")
            ))
            .await;
        assert_ne!(status, 101, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_method_describes_itself() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let info = client.ok("system.getMethodsInfo", json!({})).await;
    let names = client.ok("system.listMethods", json!({})).await;
    let names = names.as_array().expect("a list");
    assert_eq!(names.len(), map(&info).len());
    for name in names {
        let name = name.as_str().expect("a name");
        let method = &info[name];
        assert!(
            method["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let permission = method.get("permission");
        assert!(
            matches!(permission, None | Some(Value::Null)) || permission == Some(&json!("admin")),
            "{name}: {method}"
        );
        for (param, schema) in method["params"].as_object().into_iter().flatten() {
            // The contract lets one of them be anything.
            let typed = schema.get("type").is_some() || (name == "group.setUsers" && param == "userIds");
            assert!(typed, "{name}.{param}: {schema}");
        }
        let signature = client
            .ok("system.methodSignature", json!({ "method": name }))
            .await;
        assert_eq!(signature[0]["name"], name);
        assert_eq!(signature[0]["description"], method["description"]);
    }
    for (name, permission) in [
        ("session.signIn", Some(&Value::Null)),
        ("vm.start", None),
        ("server.add", Some(&json!("admin"))),
    ] {
        assert_eq!(info[name].get("permission"), permission, "{name}");
    }
    server.stop().await;
}
