//! Servers that are reached through an HTTP proxy, and how its password is kept.

use crate::support::*;
use serde_json::{Value, json};
use server::persist::{Backend, Change, SCHEMA_VERSION, embedded::Embedded, records::ServerRecord};
use std::{path::Path, sync::atomic::Ordering};
use xapi_sim::PoolConfig;

const SECRET: &str = "open-sesame-of-the-proxy";

fn proxied(proxy: &Proxy, password: &str) -> String {
    format!("http://ann:{password}@{}", proxy.address)
}

fn is_on_disk(folder: &Path, secret: &str) -> bool {
    let files = std::fs::read_dir(folder).expect("the folder");
    files
        .map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a file"))
        .any(|bytes| {
            bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        })
}

#[tokio::test]
async fn a_server_behind_a_proxy() {
    let (folder, proxy) = (Folder::new(), Proxy::start("ann", SECRET).await);
    let pool = pool_with(PoolConfig {
        tls: true,
        ..PoolConfig::default()
    })
    .await;
    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    let mut registration = registration(&pool);
    registration["fingerprint"] = json!("first-use");
    registration["autoConnect"] = json!(false);
    registration["httpProxy"] = json!(proxied(&proxy, "wrong"));
    let id = client.ok("server.add", registration).await;
    let id = id.as_str().expect("an id").to_owned();
    let (code, message, data) = client.fails("server.enable", json!({ "id": id })).await;
    assert_eq!(code, -32000);
    assert!(
        !message.contains("wrong") && !data.to_string().contains("wrong"),
        "{message} {data}"
    );
    assert!(proxy.refused.load(Ordering::Relaxed) > 0);
    assert_eq!(pool.stats().connections, 0, "nothing goes past the proxy");

    client.ok("server.disable", json!({ "id": id })).await;
    let right = proxied(&proxy, SECRET);
    client
        .ok("server.set", json!({ "id": id, "httpProxy": right }))
        .await;
    client.ok("server.enable", json!({ "id": id })).await;
    let shown = client.connected(&id).await;
    assert_eq!(
        shown["httpProxy"], right,
        "as the contract has it, to administrators"
    );
    let served = proxy.served.lock().expect("no panic").clone();
    assert_eq!(served.len() as u64, pool.stats().connections);
    assert!(
        served.iter().all(|target| *target == pool.addr().to_string()),
        "{served:?}"
    );
    server.stop().await;
    assert!(!is_on_disk(&folder.0, SECRET), "sealed at rest");

    let server = TestServer::start_in(&folder.0).await;
    let mut client = server.admin().await;
    assert_eq!(client.connected(&id).await["httpProxy"], right);
    client.ok("server.disable", json!({ "id": id })).await;
    client
        .ok("server.set", json!({ "id": id, "httpProxy": null }))
        .await;
    assert_eq!(client.server(&id).await.get("httpProxy"), None);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_store_of_version_1_is_brought_up_to_date() {
    let folder = Folder::new();
    let url = format!("http://ann:{SECRET}@proxy.example:3128");
    let record = |host: &str, proxy: Value| {
        let record = json!({ "host": host, "username": "root", "sealed_password": "",
            "enabled": false, "http_proxy": proxy, "label": "kept" });
        record.to_string().into_bytes()
    };
    let put = |collection, id: &str, value| Change {
        collection,
        id: id.to_owned(),
        value: Some(value),
    };
    let old = Embedded::open(&folder.0.join("xo.redb")).expect("a store");
    let changes = vec![
        put("meta", "schema", b"1".to_vec()),
        put("servers", "with", record("a.example", json!(url))),
        put("servers", "without", record("b.example", Value::Null)),
    ];
    // Enough for pages that become free and that nobody writes to again.
    let many = (0..150).map(|i| {
        let host = format!("{i}.example");
        put("servers", &host, record(&host, json!(url)))
    });
    let changes = changes.into_iter().chain(many).collect();
    old.commit(changes).await.expect("written");
    drop(old);
    assert!(is_on_disk(&folder.0, SECRET));

    for _ in 0..2 {
        let server = TestServer::start_in(&folder.0).await;
        let mut client = server.admin().await;
        let shown = client.server("with").await;
        assert_eq!(
            (&shown["httpProxy"], &shown["label"]),
            (&json!(url), &json!("kept"))
        );
        assert_eq!(client.server("without").await.get("httpProxy"), None);
        server.stop().await;
        assert!(
            !is_on_disk(&folder.0, SECRET),
            "no trace is left of the clear text"
        );
    }
    let path = folder.0.join("xo.redb");
    let kept = eventually("the store is closed", async || Embedded::open(&path).ok()).await;
    let version = kept.get("meta", "schema").await.expect("read");
    assert_eq!(version, Some(SCHEMA_VERSION.to_string().into_bytes()));
    let with = kept.get("servers", "with").await.expect("read").expect("kept");
    let with: ServerRecord = serde_json::from_slice(&with).expect("a record");
    assert!(with.sealed_http_proxy.is_some());
}
