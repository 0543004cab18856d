//! Screens of VMs: who gets one, from which host, and until when.

use crate::support::*;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};
use xapi_sim::{PoolConfig, SimPool};

type Screen = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Stage {
    server: TestServer,
    pool: SimPool,
    admin: Client,
    link: String,
    /// Somebody without rights, and a token of hers.
    ann: String,
    token: String,
}

async fn stage(config: PoolConfig) -> Stage {
    let (server, pool) = (TestServer::start().await, pool_with(config).await);
    let mut admin = server.admin().await;
    let mut registration = registration(&pool);
    if pool.config().tls {
        registration["fingerprint"] = json!("first-use");
    }
    let link = admin.ok("server.add", registration).await;
    let link = link.as_str().expect("an id").to_owned();
    admin.connected(&link).await;
    let user = json!({ "email": "ann", "password": PASSWORD });
    let ann = admin.ok("user.create", user.clone()).await;
    let mut client = server.connect().await;
    client.ok("session.signIn", user).await;
    let token = client.ok("token.create", json!({})).await;
    Stage {
        server,
        pool,
        admin,
        link,
        ann: ann.as_str().expect("an id").to_owned(),
        token: token.as_str().expect("a token").to_owned(),
    }
}

impl Stage {
    async fn grant(&mut self, vm: &str, action: &str) {
        let entry = json!({ "subject": self.ann, "object": vm, "action": action });
        self.admin.ok("acl.add", entry).await;
    }

    /// The status that the upgrade is answered with, and the screen if it is one.
    async fn open(&self, vm: &str, headers: &[(&str, &str)]) -> Result<Screen, u16> {
        let cookie = format!("token={}", self.token);
        let mut builder = ClientBuilder::new()
            .uri(&format!("ws://{}/api/consoles/{vm}", self.server.address))
            .expect("a URI");
        let own = [("cookie", cookie.as_str()), ("sec-websocket-protocol", "binary")];
        for (name, value) in own.iter().chain(headers) {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header");
            let value = http::HeaderValue::from_str(value).expect("a value");
            builder = builder.add_header(name, value).expect("an allowed header");
        }
        match builder.connect().await {
            Ok((screen, answer)) => {
                assert_eq!(answer.headers()["sec-websocket-protocol"], "binary");
                Ok(screen)
            }
            Err(tokio_websockets::Error::Upgrade(
                tokio_websockets::upgrade::Error::DidNotSwitchProtocols(status),
            )) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    async fn events(&mut self, event: &str) -> Vec<Value> {
        let records = self.admin.ok("audit.getRecords", json!({ "event": event })).await;
        records.as_array().expect("a list").clone()
    }

    async fn stop(self) {
        self.server.stop().await;
        self.pool.stop().await;
    }
}

/// So many bytes of what the host says.
async fn hear(screen: &mut Screen, count: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let message = tokio::time::timeout(DEADLINE, screen.next()).await;
        let message = message.expect("in time").expect("more").expect("a message");
        assert!(message.is_binary(), "{message:?}");
        heard.extend_from_slice(message.as_payload());
    }
    heard
}

async fn say(screen: &mut Screen, bytes: &'static [u8]) {
    screen.send(Message::binary(bytes)).await.expect("taken");
}

/// Speaks RFB up to the name of the screen.
async fn greet(screen: &mut Screen) -> String {
    assert_eq!(hear(screen, 12).await, b"RFB 003.008\n");
    say(screen, b"RFB 003.008\n").await;
    assert_eq!(hear(screen, 2).await, [1, 1]);
    say(screen, &[1]).await;
    assert_eq!(hear(screen, 4).await, [0; 4]);
    say(screen, &[1]).await;
    let hello = hear(screen, 24).await;
    String::from_utf8(hello[24..].to_vec()).expect("a name")
}

/// Waits for the end; the code of the close frame.
async fn ended(screen: &mut Screen) -> u16 {
    loop {
        let message = tokio::time::timeout(DEADLINE, screen.next()).await;
        match message.expect("in time") {
            Some(Ok(message)) => {
                if let Some((code, _)) = message.as_close() {
                    return code.into();
                }
            }
            _ => return 0,
        }
    }
}

#[tokio::test]
async fn the_screen_of_a_vm_is_for_those_who_may_operate_it() {
    // Each host has an address and a certificate of its own; the VMs run on all of them.
    let mut stage = stage(PoolConfig {
        tls: true,
        own_certificates: true,
        hosts: 3,
        vms: 30,
        seed: 9,
        ..PoolConfig::default()
    })
    .await;
    let running = guests(&stage.pool, "Running");
    let names = |pool: &SimPool, vm: &str| pool.read(|db| db.text("VM", vm, "name_label"));
    let mut hosts = std::collections::BTreeSet::new();
    for (vm, id) in running.iter().take(8) {
        stage.grant(id, "operator").await;
        let mut screen = stage.open(id, &[]).await.expect("a screen");
        assert_eq!(greet(&mut screen).await, names(&stage.pool, vm));
        screen.send(Message::ping("still there?")).await.expect("taken");
        let pong = tokio::time::timeout(DEADLINE, screen.next()).await;
        let pong = pong.expect("in time").expect("more").expect("a message");
        assert!(pong.is_pong());
        hosts.insert(stage.pool.read(|db| db.text("VM", vm, "resident_on")));
    }
    assert!(hosts.len() > 1, "the master does not have them all");
    eventually("all are closed", async || {
        (stage.events("consoleClosed").await.len() == 8).then_some(())
    })
    .await;
    let opened = stage.events("consoleOpened").await;
    assert_eq!(opened.len(), 8);
    assert_eq!(opened[7]["subject"]["userName"], "ann");
    assert_eq!(opened[7]["data"]["objectId"], running[0].1);
    stage.stop().await;
}

#[tokio::test]
async fn nobody_else_gets_it() {
    let mut stage = stage(PoolConfig {
        tls: true,
        own_certificates: true,
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let (_, vm) = guest(&stage.pool, "Running");
    let refused = async |stage: &Stage, vm: &str, headers: &[(&str, &str)]| {
        stage.open(vm, headers).await.expect_err("refused")
    };
    assert_eq!(refused(&stage, &vm, &[]).await, 403, "no right");
    stage.grant(&vm, "viewer").await;
    assert_eq!(refused(&stage, &vm, &[]).await, 403, "only looks at it");
    assert_eq!(refused(&stage, "nothing", &[]).await, 403, "is not told");
    stage.grant(&vm, "operator").await;
    let elsewhere = [("origin", "https://evil.example")];
    assert_eq!(refused(&stage, &vm, &elsewhere).await, 401, "another site's page");
    let (_, halted) = guest(&stage.pool, "Halted");
    stage.grant(&halted, "operator").await;
    assert_eq!(refused(&stage, &halted, &[]).await, 409, "it does not run");
    let disc = stage.pool.read(|db| {
        let disk = db.refs("VDI").into_iter().next().expect("a disk");
        db.text("VDI", &disk, "uuid")
    });
    stage.grant(&disc, "operator").await;
    assert_eq!(refused(&stage, &disc, &[]).await, 403, "no VM");
    let link = stage.link.clone();
    stage
        .admin
        .ok("server.set", json!({ "id": link, "readOnly": true }))
        .await;
    assert_eq!(
        refused(&stage, &vm, &[]).await,
        502,
        "a pool that is only to be read"
    );
    let noted = stage.events("consoleRefused").await;
    let reason = noted[0]["data"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("read-only"), "{reason}");
    stage.stop().await;
}

#[tokio::test]
async fn it_ends_with_the_right_to_it() {
    let mut stage = stage(PoolConfig {
        tls: true,
        own_certificates: true,
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let (vm, id) = guest(&stage.pool, "Running");
    stage.grant(&id, "operator").await;
    let mut screen = stage.open(&id, &[]).await.expect("a screen");
    greet(&mut screen).await;
    let entry = json!({ "subject": stage.ann, "object": id, "action": "operator" });
    stage.admin.ok("acl.remove", entry).await;
    assert_eq!(ended(&mut screen).await, 1008, "the entry is gone");

    stage.grant(&id, "operator").await;
    let mut screen = stage.open(&id, &[]).await.expect("a screen");
    greet(&mut screen).await;
    stage.pool.write(|db| {
        let host = db.text("VM", &vm, "resident_on");
        for console in db.members("VM", &vm, "consoles") {
            let elsewhere = format!("https://{}/console?uuid=gone", db.text("host", &host, "address"));
            db.set("console", &console, "location", elsewhere);
        }
    });
    // One that is open stays; the next one is where the pool says.
    say(&mut screen, &[3, 1, 0, 0, 0, 0, 0, 1, 0, 1]).await;
    hear(&mut screen, 4).await;
    eventually("the host has no such console", async || {
        (stage.open(&id, &[]).await.err() == Some(502)).then_some(())
    })
    .await;
    let link = stage.link.clone();
    let read_only = async |stage: &mut Stage, read_only: bool| {
        let change = json!({ "id": link, "readOnly": read_only });
        stage.admin.ok("server.set", change).await;
    };
    read_only(&mut stage, true).await;
    assert_eq!(ended(&mut screen).await, 1008, "the pool is only to be read");
    read_only(&mut stage, false).await;

    let (_, other) = guests(&stage.pool, "Running").pop().expect("another VM");
    assert_ne!(other, id);
    stage.grant(&other, "operator").await;
    let mut screen = stage.open(&other, &[]).await.expect("a screen");
    greet(&mut screen).await;
    let token = stage.token.clone();
    stage.admin.ok("token.delete", json!({ "tokens": [token] })).await;
    assert_eq!(ended(&mut screen).await, 1008, "the token is gone");
    assert_eq!(stage.open(&id, &[]).await.err(), Some(401));
    stage.stop().await;
}
