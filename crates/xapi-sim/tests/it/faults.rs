//! What a pool does when it is told to misbehave.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use xapi_sim::PoolConfig;

use crate::client::{Client, pool, pool_with};

#[tokio::test]
async fn cut_connections_end_even_blocked_calls() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["pool"]), "", 1.0).await.token;
    let session = client.session.clone();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "event.from", "params": [session, ["pool"], token, 600.0] });
    let body = body.to_string();
    let (answer, ()) = tokio::join!(client.request("POST", "/jsonrpc", &body), async {
        while pool.stats().calls_of("event.from") < 2 {
            tokio::task::yield_now().await;
        }
        pool.cut_connections();
    });
    assert!(answer.is_err());
    let mut again = Client::connect(&pool).await;
    again.session = session;
    again.ok("pool.get_all", json!([])).await;
}

#[tokio::test]
async fn expired_sessions_wake_who_waits() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["pool"]), "", 1.0).await.token;
    let (fault, ()) = tokio::join!(
        client.fault("event.from", json!([["pool"], token, 600.0])),
        async {
            while pool.stats().calls_of("event.from") < 2 {
                tokio::task::yield_now().await;
            }
            pool.expire_sessions();
        }
    );
    assert_eq!(fault[0], "SESSION_INVALID");
}

#[tokio::test]
async fn a_restarted_toolstack_forgets_deletions_but_counts_tell() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let before = client.events(json!(["VDI"]), "", 1.0).await;
    pool.write(|db| {
        let vdi = db.refs("VDI")[0].clone();
        db.destroy("VDI", &vdi);
    });
    pool.restart_toolstack();
    let mut client = Client::login(&pool).await;
    let after = client.events(json!(["VDI"]), &before.token, 0.05).await;
    assert!(after.events.iter().all(|event| event["operation"] != "del"));
    let count = |batch: &crate::client::Batch| batch.counts["vdi"].as_u64().expect("a count");
    assert_eq!(count(&after) + 1, count(&before));
}

#[tokio::test]
async fn dropped_deletions_make_no_event() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["VDI"]), "", 1.0).await.token;
    pool.drop_deletions(1);
    let kept = pool.write(|db| {
        let vdis = db.refs("VDI");
        db.destroy("VDI", &vdis[0]);
        db.destroy("VDI", &vdis[1]);
        vdis[1].to_string()
    });
    let batch = client.events(json!(["VDI"]), &token, 5.0).await;
    assert_eq!(batch.summary(), [("vdi", "del", kept.as_str())]);
}

#[tokio::test]
async fn a_closed_pool_refuses_connections_until_it_listens_again() {
    let pool = pool().await;
    pool.set_listening(false).await.expect("stops");
    assert!(TcpStream::connect(pool.addr()).await.is_err());
    pool.set_listening(true).await.expect("listens");
    Client::login(&pool).await;
    pool.stop().await;
    assert!(TcpStream::connect(pool.addr()).await.is_err());
}

#[tokio::test]
async fn answers_can_fail_be_cut_short_or_never_come() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    pool.fail_requests(1);
    assert_eq!(
        client
            .request("POST", "/jsonrpc", "{}")
            .await
            .expect("answer")
            .status,
        500
    );
    client.ok("pool.get_all", json!([])).await;
    pool.truncate_answers(1);
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "VM.get_all", "params": [client.session] }).to_string();
    assert!(client.request("POST", "/jsonrpc", &body).await.is_err());
    let mut client = Client::login(&pool).await;
    pool.set_black_hole(true);
    let waited = tokio::time::timeout(
        Duration::from_millis(50),
        client.request("POST", "/jsonrpc", &body),
    )
    .await;
    assert!(waited.is_err(), "no answer while frozen");
    pool.set_black_hole(false);
    Client::login(&pool).await;
    pool.set_slave_of(Some("10.0.0.1".to_owned()));
    let error = Client::connect(&pool)
        .await
        .rpc("session.login_with_password", json!(["root", "password"]))
        .await;
    assert_eq!(error.expect_err("refused")["data"], json!(["10.0.0.1"]));
}

#[tokio::test]
async fn churn_modifies_vm_records_at_the_rate_asked_for() {
    let config = PoolConfig {
        churn_kind: xapi_sim::ChurnKind::Vm,
        ..PoolConfig::default()
    };
    let pool = pool_with(config).await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["VM"]), "", 1.0).await.token;
    pool.set_churn(200.0);
    let batch = client.events(json!(["VM"]), &token, 10.0).await;
    assert!(batch.events.iter().all(|event| event["operation"] == "mod"));
    assert!(!batch.events.is_empty());
    pool.set_churn(0.0);
}
