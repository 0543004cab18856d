//! Streams down and up: with the real server, and with one that tells what came and cuts connections.

use crate::support::*;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_websockets::{Message, ServerBuilder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_come_down_as_lines() {
    let server = TestServer::start().await;
    let config = xapi_sim::PoolConfig {
        time_scale: 0.0,
        batch_ms: 5,
        ..xapi_sim::PoolConfig::default()
    };
    let pool = xapi_sim::SimPool::start(config).await.expect("a pool");
    let home = Home::new();
    home.register(&server.http()).await;
    let host = format!("host={}", pool.url());
    home.json(&[
        "server.add",
        "--json",
        &host,
        "username=root",
        "password=password",
    ])
    .await;
    eventually("the pool is connected", async || {
        (home.json(&["server.getAll"]).await[0]["status"] == "connected").then_some(())
    })
    .await;

    let expected = home.json(&["list-objects", "type=VM"]).await;
    let ask = ["xo.getAllObjects", "filter=json:{\"type\":\"VM\"}", "ndjson=true"];
    std::fs::write(home.file("vms"), "what was there before").expect("written");
    let to_file = home.xo(&[&ask[..], &["@=vms"]].concat()).await;
    assert_eq!(
        (to_file.code, to_file.out.as_str(), to_file.err.as_str()),
        (0, "", ""),
        "{to_file:?}"
    );
    let to_output = home.xo(&[&ask[..], &["@"]].concat()).await;
    assert_eq!(to_output.code, 0, "{to_output:?}");
    let in_file = std::fs::read_to_string(home.file("vms")).expect("a file");
    for text in [&in_file, &to_output.out] {
        let mut objects: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        objects.sort_by_key(|object| object["id"].to_string());
        let mut expected = expected.as_array().expect("a list").clone();
        expected.sort_by_key(|object| object["id"].to_string());
        assert_eq!(objects, expected);
    }
    assert_eq!(home.files(), ["vms"], "nothing is left over");
    let mode = std::fs::metadata(home.file("vms")).expect("a file").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600,
        "for its owner alone"
    );

    // Progress, on a terminal.
    let (mut terminal, side) = terminal();
    let mut command = home.command(&[&ask[..], &["@=vms"]].concat());
    let mut child = command
        .stderr(Stdio::from(side))
        .env("TERM", "xterm")
        .spawn()
        .expect("a process");
    drop(command);
    let drawn = tokio::task::spawn_blocking(move || {
        let mut drawn = Vec::new();
        // The last one hangs up: an error on Linux.
        let _ = std::io::Read::read_to_end(&mut terminal, &mut drawn);
        String::from_utf8_lossy(&drawn).into_owned()
    });
    assert!(child.wait().await.expect("it ran").success());
    let drawn = drawn.await.expect("read");
    assert!(drawn.contains("100% [") && drawn.contains(" of "), "{drawn}");

    for (last, code, said) in [
        ("", 2, "where to: say with @=FILE"),
        ("@=", 2, "no file"),
        ("@=no/such/folder", 4, "no/such/folder"),
    ] {
        let arguments: Vec<&str> = ask
            .into_iter()
            .chain(Some(last).filter(|last| !last.is_empty()))
            .collect();
        let ran = home.xo(&arguments).await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
    home.register(&server.tcp()).await;
    let ran = home.xo(&[&ask[..], &["@=vms"]].concat()).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("streams go over HTTP"), "{ran:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_moves_from_server_to_server() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    let home = Home::new();
    home.register(&first.http()).await;
    home.json(&["user.create", "--json", "email=ann", "password=her password"])
        .await;
    let ran = home.xo(&["xo.exportConfig", "@=config"]).await;
    assert_eq!(
        (ran.code, home.files()),
        (0, vec!["config".to_owned()]),
        "{ran:?}"
    );

    home.register(&second.http()).await;
    std::fs::write(home.file("garbage"), "{").expect("written");
    let ran = home.xo(&["xo.importConfig", "@=garbage"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("400 Bad Request"), "{ran:?}");
    let ran = home.xo(&["xo.importConfig", "@=config"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("ann"), "the server's report is printed: {ran:?}");
    let ann = Home::new();
    let ran = ann
        .xo_reading(&["register", &second.http(), "ann"], "her password")
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    first.stop().await;
    second.stop().await;
}

fn terminal() -> (std::fs::File, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("granted");
    unlockpt(&ours).expect("unlocked");
    let name = ptsname(&ours, Vec::new())
        .expect("a name")
        .into_string()
        .expect("a text");
    let theirs = std::fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .expect("opened");
    (ours.into(), theirs.into())
}

/// Answers `test.send` with a place to send to, `test.get` with one to get from, anything else with `true`.
struct Fake {
    address: SocketAddr,
    sent: Arc<Sent>,
}

/// Heads and bodies of what was sent.
type Sent = Mutex<Vec<(String, Vec<u8>)>>;

impl Fake {
    /// `answer` is what HTTP answers, literally; without an end the connection stays open.
    async fn start(answer: &'static str, ends: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let sent = Arc::new(Sent::default());
        let received = sent.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let received = received.clone();
                tokio::spawn(async move {
                    let mut head = [0; 12];
                    // Looked at, not taken: an upgrade is the WebSocket library's matter.
                    while stream
                        .peek(&mut head)
                        .await
                        .is_ok_and(|length| length < head.len())
                    {
                        tokio::task::yield_now().await;
                    }
                    if head.starts_with(b"GET /api/ ") {
                        rpc(stream).await;
                    } else {
                        http(stream, answer, ends, &received).await;
                    }
                });
            }
        });
        Self { address, sent }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn rpc(stream: TcpStream) {
    let (_, mut socket) = ServerBuilder::new().accept(stream).await.expect("an upgrade");
    while let Some(Ok(message)) = socket.next().await {
        let Some(text) = message.as_text() else { continue };
        let request: Value = serde_json::from_str(text).expect("JSON");
        let result = match request["method"].as_str() {
            Some("test.send") => json!({ "$sendTo": "/api/once" }),
            Some("test.get") => json!({ "$getFrom": "/api/once/file" }),
            Some("test.astray") => json!({ "$getFrom": "http://127.0.0.1:1/file" }),
            _ => json!(true),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        if socket.send(Message::text(answer.to_string())).await.is_err() {
            return;
        }
    }
}

async fn http(stream: TcpStream, answer: &str, ends: bool, received: &Sent) {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await.expect("a head");
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.expect("a body");
    if head.contains("transfer-encoding: chunked") {
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            body.push(stream.read_u8().await.expect("a chunk"));
        }
    }
    received.lock().expect("a list").push((head, body));
    stream.write_all(answer.as_bytes()).await.expect("taken");
    if !ends {
        // Until the client has had enough.
        let _ = stream.read_u8().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_up_with_their_length() {
    let body = r#"{"id":0,"jsonrpc":"2.0","result":"new-uuid"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let fake = Fake::start(answer.leak(), true).await;
    let home = Home::new();
    let content: Vec<u8> = (0..1_000_003u32).map(|n| n as u8).collect();
    std::fs::write(home.file("disk"), &content).expect("written");
    let url = fake.url();
    let ask = ["--url", &url, "test.send"];
    let ran = home.xo(&[&ask[..], &["@=disk"]].concat()).await;
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "new-uuid\n", ""),
        "{ran:?}"
    );
    // A file as standard input has a length, too; a pipe has none.
    let mut command = home.command(&[&ask[..], &["@"]].concat());
    command.stdin(std::fs::File::open(home.file("disk")).expect("opened"));
    let output = command.output().await.expect("it ran");
    assert!(output.status.success(), "{output:?}");
    let piped = home.xo_reading(&[&ask[..], &["@"]].concat(), "from a pipe").await;
    assert_eq!(piped.code, 0, "{piped:?}");
    let sent = std::mem::take(&mut *fake.sent.lock().expect("a list"));
    for (head, received) in &sent[..2] {
        assert!(
            head.starts_with("post /api/once ") && head.contains("content-length: 1000003\r\n"),
            "{head}"
        );
        assert!(*received == content, "the content is the same");
    }
    assert!(
        sent[2].1.windows(11).any(|part| part == b"from a pipe"),
        "{}",
        sent[2].0
    );

    for (last, said) in [
        ("@=missing", "missing"),
        ("@=.", "cannot be sent"),
        ("a=b", "takes a stream, where from"),
    ] {
        let ran = home.xo(&[&ask[..], &[last]].concat()).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
    let ran = home.xo(&["--url", &url, "test.other", "@=disk"]).await;
    assert!(ran.code == 0 && ran.err.contains("@ was not used"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_is_told() {
    let body = r#"{"id":0,"jsonrpc":"2.0","error":{"code":21,"message":"operation failed: no space"}}"#;
    let in_answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let by_status = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 13\r\n\r\nunknown error";
    let home = Home::new();
    std::fs::write(home.file("disk"), "x").expect("written");
    for (answer, said) in [(&*in_answer.leak(), "no space"), (by_status, "unknown error")] {
        let fake = Fake::start(answer, true).await;
        let ran = home.xo(&["--url", &fake.url(), "test.send", "@=disk"]).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains(said), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_download_is_none() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let home = Home::new();
    std::fs::write(home.file("old"), "old").expect("written");
    let fake = Fake::start(cut, true).await;
    let ran = home.xo(&["--url", &fake.url(), "test.get", "@=old"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("cut"), "{ran:?}");
    let moved = Fake::start(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        true,
    )
    .await;
    let ran = home.xo(&["--url", &moved.url(), "test.get", "@=old"]).await;
    assert_eq!(ran.code, 1, "nowhere else: {ran:?}");
    let ran = home.xo(&["--url", &fake.url(), "test.astray", "@=old"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");

    // Ctrl-C, and the patience that was asked for.
    let hanging = Fake::start(cut, false).await;
    let child = home
        .command(&["--url", &hanging.url(), "test.get", "@=old"])
        .spawn()
        .expect("a process");
    eventually("it writes", async || (home.files().len() == 2).then_some(())).await;
    let pid = child.id().expect("it runs").to_string();
    let interrupted = tokio::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await;
    assert!(interrupted.expect("kill").success());
    let ended = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    let ran = Ran::from(ended.expect("in time").expect("ended"));
    assert_eq!((ran.code, ran.err.as_str()), (130, ""), "{ran:?}");
    let ran = home
        .xo(&["--timeout", "1", "--url", &hanging.url(), "test.get", "@=old"])
        .await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("given up after 1 s"), "{ran:?}");

    assert_eq!(home.files(), ["old"], "no halves are left over");
    assert_eq!(std::fs::read_to_string(home.file("old")).expect("a file"), "old");
}
