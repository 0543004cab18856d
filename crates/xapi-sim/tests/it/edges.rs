//! The edges of HTTP and of the notations, byte by byte.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xapi_sim::{Limits, PoolConfig, SimPool};

use crate::client::{Client, DEADLINE, pool, pool_with};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(600);

async fn limited(limits: Limits) -> SimPool {
    pool_with(PoolConfig {
        limits,
        ..PoolConfig::default()
    })
    .await
}

/// All that comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let read = tokio::time::timeout(DEADLINE, read)
        .await
        .expect("it ends in time");
    read.expect("it ends in order");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One request on a connection that ends with it.
async fn posted(pool: &SimPool, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .expect("sent");
    rest(&mut stream).await
}

#[test]
fn the_limits_are_those_of_xapi() {
    let limits = PoolConfig::default().limits;
    assert_eq!(limits.connections, 800);
    assert_eq!(limits.header_pause, Duration::from_secs(10));
    assert_eq!(limits.header_time, Duration::from_secs(60));
}

/// Either the pause is too long, or all of it takes too long.
#[tokio::test]
async fn half_a_header_is_given_up_and_so_is_none() {
    for (header_pause, header_time) in [(SHORT, LONG), (LONG, SHORT)] {
        let pool = limited(Limits {
            header_pause,
            header_time,
            ..Limits::default()
        })
        .await;
        for sent in ["", "POST / HTTP/1.1\r\nContent-Le"] {
            let start = Instant::now();
            let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            let answer = rest(&mut stream).await;
            assert!(
                answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
                "{sent:?}: {answer}"
            );
            assert!(start.elapsed() >= SHORT);
        }
    }
}

/// Who has asked once may rest as long as it likes between two requests.
#[tokio::test]
async fn only_the_first_request_has_a_time() {
    let pool = limited(Limits {
        header_pause: SHORT,
        header_time: SHORT,
        ..Limits::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let mut late = TcpStream::connect(pool.addr()).await.expect("connects");
    // The later connection is given up: its time is over, and so would be that of the earlier one.
    assert!(rest(&mut late).await.contains(" 408 "));
    client.ok("pool.get_all", json!([])).await;
}

#[tokio::test]
async fn a_connection_too_many_waits_for_another_to_end() {
    let pool = limited(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (mut first, second) = (Client::login(&pool).await, Client::login(&pool).await);
    // It is accepted by the system, not by the host.
    let mut third = Client::connect(&pool).await;
    let waiting = third.rpc("session.login_with_password", json!(["root", "password"]));
    tokio::pin!(waiting);
    tokio::select! {
        answer = &mut waiting => panic!("answered: {answer:?}"),
        () = async { for _ in 0..20 { first.ok("pool.get_all", json!([])).await; } } => {}
    }
    assert_eq!(pool.connections(), 2);
    drop(second);
    waiting.await.expect("logged in");
    assert_eq!(pool.connections(), 3);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_an_invalid_value() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = crate::client::vm_in(&pool, "Halted");
    let session = &client.session;
    let before = pool.read(|db| db.text("VM", &vm, "name_label"));
    let params = |text: &[u8]| {
        let head = format!(
            "<methodCall><methodName>VM.set_name_label</methodName><params><param><value>{session}</value></param>\
             <param><value>{vm}</value></param><param><value>"
        );
        [head.as_bytes(), text, b"</value></param></params></methodCall>"].concat()
    };
    let answer = posted(&pool, "/", &params(b"caf\xe9")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("<value>Failure</value>"), "{answer}");
    assert!(
        answer.contains("<value>INVALID_VALUE</value><value>caf\u{fffd}</value>"),
        "{answer}"
    );
    let body = [
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"VM.set_name_label","params":["{session}","{vm}",""#)
            .as_bytes(),
        b"caf\xe9\"]}",
    ]
    .concat();
    let answer = posted(&pool, "/jsonrpc", &body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Json = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        (&body["id"], &body["error"]["message"]),
        (&json!(7), &json!("INVALID_VALUE"))
    );
    assert_eq!(pool.read(|db| db.text("VM", &vm, "name_label")), before);
    // What is UTF-8 is taken, also the sign that stands for what is not.
    posted(&pool, "/", &params("caf\u{fffd}".as_bytes())).await;
    assert_eq!(client.ok("VM.get_name_label", json!([vm])).await, "caf\u{fffd}");
}

#[tokio::test]
async fn nothing_is_no_text() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = crate::client::vm_in(&pool, "Halted");
    let before = client.ok("VM.get_name_label", json!([vm])).await;
    assert_eq!(
        client.fault("VM.set_name_label", json!([vm, null])).await[0],
        "INTERNAL_ERROR"
    );
    let session = json!(client.session);
    let refused = client
        .xml("VM.set_name_label", &[session, json!(vm), Json::Null])
        .await;
    assert_eq!(refused.expect_err("refused")[0], "INTERNAL_ERROR");
    let tags = client.fault("VM.set_tags", json!([vm, [null]])).await;
    assert_eq!(tags[0], "INTERNAL_ERROR");
    assert_eq!(client.ok("VM.get_name_label", json!([vm])).await, before);
}

#[tokio::test]
async fn an_id_is_an_integer_or_a_text() {
    let pool = pool().await;
    let ask = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"system.listMethods"}}"#);
    for id in ["1.5", "null", "true", "[1]", "1e400", "99999999999999999999"] {
        let answer = posted(&pool, "/jsonrpc", ask(id).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{id}: {answer}");
    }
    for id in ["0", "-3", "9007199254740993", "\"a\""] {
        let answer = posted(&pool, "/jsonrpc", ask(id).as_bytes()).await;
        assert!(answer.ends_with(&format!(r#","id":{id}}}"#)), "{id}");
    }
}

/// The longest path that a handler has and that the request's path begins with.
#[tokio::test]
async fn paths_are_routed_by_how_they_begin() {
    let pool = pool().await;
    let json_call = r#"{"jsonrpc":"2.0","id":1,"method":"system.listMethods"}"#;
    let xml_call = "<methodCall><methodName>system.listMethods</methodName></methodCall>";
    for path in ["/jsonrpc", "/jsonrpc/x", "/jsonrpcx", "/jsonrpc?x=1"] {
        let answer = posted(&pool, path, json_call.as_bytes()).await;
        assert!(
            answer.contains("Content-Type: application/json"),
            "{path}: {answer}"
        );
    }
    for path in ["/JSONRPC", "/json", "/jsonrp", "/json/rpc", "/x/jsonrpc"] {
        let answer = posted(&pool, path, xml_call.as_bytes()).await;
        assert!(answer.contains("<methodResponse>"), "{path}: {answer}");
    }
    let client = Client::login(&pool).await;
    let session = &client.session;
    let mut asker = Client::connect(&pool).await;
    let mut get = async |path: &str| asker.request("GET", path, "").await.expect("an answer");
    let rrd = get(&format!("/rrd_updates/x?session_id={session}&start=0")).await;
    assert!(rrd.status == 200 && rrd.body.contains("xport"), "{}", rrd.body);
    assert_eq!(
        get("/host_rrds?session_id=nobody").await.status,
        get("/host_rrd?session_id=nobody").await.status
    );
    assert_eq!(get("/hosts").await.status, 404);
    let preflight = asker
        .request("OPTIONS", "/jsonrpc/x", "")
        .await
        .expect("an answer");
    assert!(preflight.head.contains("Access-Control-Allow-Origin: *"));
}
