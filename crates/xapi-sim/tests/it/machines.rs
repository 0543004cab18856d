//! Hosts as machines: their management, what they upload, and what they ask each other.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool, pool_with};

fn address_of(pool: &SimPool, at: usize) -> String {
    pool.members()[at].address.expect("an address").to_string()
}

/// A session of a host alone.
async fn local(pool: &SimPool, at: usize) -> Client {
    let mut client = Client::connect_to(&address_of(pool, at)).await;
    let session = client
        .rpc(
            "session.slave_local_login_with_password",
            json!(["root", "password"]),
        )
        .await;
    client.session = session
        .expect("logs in")
        .as_str()
        .expect("a reference")
        .to_owned();
    client
}

async fn login_at(pool: &SimPool, at: usize) -> Result<Json, Json> {
    let mut client = Client::connect_to(&address_of(pool, at)).await;
    client
        .rpc("session.login_with_password", json!(["root", "password"]))
        .await
        .map_err(|error| json!([error["message"], error["data"]]))
}

#[tokio::test]
async fn a_host_is_known_before_its_machine_is() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let uuid = "00000000-0000-4000-8000-00000000000a";
    let params = json!([uuid, "new", "", "new", "10.0.0.9"]);
    let host = client.ok("host.create", params.clone()).await;
    let record = client.ok("host.get_record", json!([host])).await;
    assert_eq!(
        (&record["uuid"], &record["enabled"]),
        (&json!(uuid), &json!(false))
    );
    assert_eq!(
        record["ssh_enabled"], true,
        "as the model says when nobody else does"
    );
    assert_eq!(
        client
            .ok("host_metrics.get_live", json!([record["metrics"]]))
            .await,
        false
    );
    assert_eq!(
        client.fault("host.create", params).await,
        ["DB_UNIQUENESS_CONSTRAINT_VIOLATION", "host", "uuid", uuid]
    );
    let stranger = json!([
        "00000000-0000-4000-8000-00000000000b",
        "new",
        "",
        "new",
        "10.0.0.8",
        "AD",
        "x.y"
    ]);
    assert_eq!(
        client.fault("host.create", stranger).await,
        ["POOL_JOINING_EXTERNAL_AUTH_MISMATCH"]
    );
    pool.read(|db| {
        assert_eq!(
            xapi_sim::consistency::contradictions(db, true),
            Vec::<String>::new()
        );
    });
}

#[tokio::test]
async fn the_master_greets_hosts_that_it_knows() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[1].host.clone();
    let (host, uuid) = pool.read(|db| (db.text("host", &host, "address"), db.text("host", &host, "uuid")));
    assert_eq!(client.ok("pool.hello", json!([uuid, host])).await, "ok");
    assert_eq!(
        client.ok("pool.hello", json!([uuid, "10.9.9.9"])).await,
        "cannot_talk_back"
    );
    assert_eq!(
        client.ok("pool.hello", json!(["nobody", host])).await,
        "unknown_host"
    );
    pool.power_off(1).await.expect("a host");
    assert_eq!(
        client.ok("pool.hello", json!([uuid, host])).await,
        "cannot_talk_back"
    );
    // The secret is always the same, and another one in another pool.
    let secret = client.ok("pool.initial_auth", json!([])).await;
    assert_eq!(secret.as_str().map(|secret| secret.split('/').count()), Some(3));
    assert_eq!(client.ok("pool.initial_auth", json!([])).await, secret);
    let other = pool_with(PoolConfig {
        seed: 2,
        ..PoolConfig::default()
    })
    .await;
    let mut other = Client::login(&other).await;
    assert_ne!(other.ok("pool.initial_auth", json!([])).await, secret);
}

#[tokio::test]
async fn a_report_goes_to_a_place_that_can_be_named() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[0].host.to_string();
    for url in ["", "https://support.example/upload"] {
        client.ok("host.bugreport_upload", json!([host, url, {}])).await;
    }
    assert_eq!(
        client
            .fault("host.bugreport_upload", json!([host, "nowhere", {}]))
            .await,
        ["INVALID_VALUE", "url", "nowhere"]
    );
}

#[tokio::test]
async fn the_management_interface_moves_and_is_switched_off() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[0].host.to_string();
    let managing = |pool: &SimPool| {
        pool.read(|db| {
            let pifs = db.members("host", &host, "PIFs").into_iter();
            let pifs = pifs.filter(|pif| db.get("PIF", pif, "management").bool());
            pifs.map(|pif| db.text("PIF", &pif, "device")).collect::<Vec<_>>()
        })
    };
    let second = pool.write(|db| {
        let pifs = db.members("host", &host, "PIFs").into_iter();
        let mut free = pifs
            .filter(|pif| db.get("PIF", pif, "physical").bool() && !db.get("PIF", pif, "management").bool());
        let pif = free.next().expect("a second interface");
        db.set("PIF", &pif, "ip_configuration_mode", "DHCP");
        db.text("PIF", &pif, "device")
    });
    assert_eq!(
        client
            .fault("host.local_management_reconfigure", json!(["eth99"]))
            .await[0],
        "INTERNAL_ERROR"
    );
    client
        .ok("host.local_management_reconfigure", json!([second]))
        .await;
    assert_eq!(managing(&pool), [second]);
    client.ok("host.management_disable", json!([])).await;
    assert!(managing(&pool).is_empty());
    // The answer was the last thing that it said.
    let gone = tokio::time::timeout(crate::client::DEADLINE, async {
        while tokio::net::TcpStream::connect(pool.addr()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("nobody reaches it");
    pool.power_on(0).await.expect("its console");
    Client::login(&pool).await;
}

#[tokio::test]
async fn a_supporter_does_emergency_work_in_a_session_of_its_own() {
    let pool = pool_with(PoolConfig {
        hosts: 3,
        ..PoolConfig::default()
    })
    .await;
    let mut local = local(&pool, 1).await;
    assert_eq!(local.ok("host.is_in_emergency_mode", json!([])).await, false);
    assert_eq!(
        local.fault("host.management_disable", json!([])).await,
        ["SLAVE_REQUIRES_MANAGEMENT_INTERFACE"]
    );
    local
        .ok("host.emergency_disable_tls_verification", json!([]))
        .await;
    local
        .ok("host.emergency_reset_server_certificate", json!([]))
        .await;
    assert_eq!(
        local
            .fault("host.emergency_reenable_tls_verification", json!([]))
            .await,
        ["TLS_VERIFICATION_NOT_ENABLED_IN_POOL"]
    );
    assert_eq!(local.fault("VM.get_all", json!([])).await[0], "HOST_IS_SLAVE");
    let mut stranger = Client::connect_to(&address_of(&pool, 1)).await;
    stranger.session = "OpaqueRef:x".to_owned();
    assert_eq!(
        stranger
            .fault("pool.emergency_reset_master", json!(["10.0.0.1"]))
            .await,
        ["SESSION_INVALID", "OpaqueRef:x"]
    );
    // It takes another one for the master until it is told better.
    local.ok("pool.emergency_reset_master", json!(["10.0.0.1"])).await;
    assert_eq!(
        login_at(&pool, 1).await,
        Err(json!(["HOST_IS_SLAVE", ["10.0.0.1"]]))
    );
    assert_eq!(
        login_at(&pool, 2).await,
        Err(json!(["HOST_IS_SLAVE", ["127.0.0.1"]]))
    );
    local
        .ok("pool.emergency_reset_master", json!(["127.0.0.1"]))
        .await;
    assert_eq!(
        login_at(&pool, 1).await,
        Err(json!(["HOST_IS_SLAVE", ["127.0.0.1"]]))
    );
    assert_eq!(
        local
            .fault("pool.emergency_reset_master", json!(["127.0.0.2"]))
            .await,
        ["HOST_ITS_OWN_SLAVE"]
    );
}

#[tokio::test]
async fn a_master_that_is_told_of_another_serves_nobody_until_it_takes_over_again() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    assert_eq!(
        client
            .fault("pool.emergency_reset_master", json!(["127.0.0.1"]))
            .await,
        ["HOST_ITS_OWN_SLAVE"]
    );
    client
        .ok("pool.emergency_reset_master", json!(["127.0.0.2"]))
        .await;
    assert_eq!(
        login_at(&pool, 0).await,
        Err(json!(["HOST_IS_SLAVE", ["127.0.0.2"]]))
    );
    let mut local = local(&pool, 0).await;
    local.ok("pool.emergency_transition_to_master", json!([])).await;
    Client::login(&pool).await;
}

#[tokio::test]
async fn a_test_post_is_answered_by_another_pool_over_tls() {
    let (plain, safe) = (
        pool().await,
        pool_with(PoolConfig {
            tls: true,
            ..PoolConfig::default()
        })
        .await,
    );
    let mut client = Client::login(&plain).await;
    let body = "<methodCall><methodName>system.listMethods</methodName><params/></methodCall>";
    let post = |pool: &SimPool| json!([pool.addr().ip().to_string(), pool.addr().port(), body]);
    let answer = client.ok("pool.send_test_post", post(&safe)).await;
    assert!(answer.as_str().expect("text").contains("VM.start"));
    let port = plain.addr().port().to_string();
    assert_eq!(
        client.fault("pool.send_test_post", post(&plain)).await,
        ["TLS_CONNECTION_FAILED", "127.0.0.1", &port]
    );
}
