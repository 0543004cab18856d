//! Pools with several hosts that can be asked: who answers, and what happens when the master goes.

use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};

async fn three() -> SimPool {
    pool_with(PoolConfig {
        hosts: 3,
        ..PoolConfig::default()
    })
    .await
}

fn address(pool: &SimPool, host: usize) -> String {
    let address = pool.members()[host].address.expect("an address of its own");
    address.to_string()
}

async fn login_at(pool: &SimPool, host: usize) -> Result<Client, Json> {
    let mut client = Client::connect_to(&address(pool, host)).await;
    let session = client
        .rpc("session.login_with_password", json!(["root", "password"]))
        .await?;
    client.session = session.as_str().expect("a reference").to_owned();
    Ok(client)
}

fn slave_of(answer: Result<Client, Json>) -> String {
    let error = answer.err().expect("refused");
    assert_eq!(error["message"], "HOST_IS_SLAVE");
    error["data"][0].as_str().expect("an address").to_owned()
}

/// A session with one host alone, as for emergencies.
async fn local_login_at(pool: &SimPool, at: usize) -> Client {
    let mut local = Client::connect_to(&address(pool, at)).await;
    let session = local
        .rpc(
            "session.slave_local_login_with_password",
            json!(["root", "password"]),
        )
        .await
        .expect("a local session");
    local.session = session.as_str().expect("a reference").to_owned();
    local
}

#[tokio::test]
async fn supporters_name_the_master() {
    let pool = three().await;
    assert!(login_at(&pool, 0).await.is_ok());
    assert_eq!(slave_of(login_at(&pool, 1).await), "127.0.0.1");
    assert_eq!(slave_of(login_at(&pool, 2).await), "127.0.0.1");
    let members = pool.members();
    assert!(members[0].is_master && !members[1].is_master);
}

#[tokio::test]
async fn a_new_master_answers_and_the_old_one_names_it() {
    let pool = three().await;
    let mut client = Client::login(&pool).await;
    let second = pool.members()[1].host.to_string();
    client.ok("pool.designate_new_master", json!([second])).await;
    assert_eq!(slave_of(login_at(&pool, 0).await), "127.0.0.2");
    let mut again = login_at(&pool, 1).await.expect("the master");
    let own = again.ok("pool.get_all_records", json!([])).await;
    let own = own.as_object().expect("records").values().next().expect("one");
    assert_eq!(own["master"], second.as_str());
    again.session = client.session;
    let old = again.fault("VM.get_all", json!([])).await;
    assert_eq!(old[0], "SESSION_INVALID");
    assert_eq!(
        pool.master_url().expect("an address"),
        format!("http://{}", address(&pool, 1))
    );
}

#[tokio::test]
async fn a_dead_master_is_replaced_in_an_emergency_and_comes_back_as_a_supporter() {
    let pool = three().await;
    let dead = pool.kill_master().await.expect("there is one");
    assert!(TcpStream::connect(address(&pool, 0)).await.is_err());
    assert_eq!(slave_of(login_at(&pool, 1).await), "127.0.0.1");
    let mut local = local_login_at(&pool, 1).await;
    local.ok("pool.emergency_transition_to_master", json!([])).await;
    assert!(login_at(&pool, 1).await.is_ok());
    assert_eq!(slave_of(login_at(&pool, 2).await), "127.0.0.2");
    let live = |host: &str| {
        pool.read(|db| {
            db.get("host_metrics", db.get("host", host, "metrics").str(), "live")
                .bool()
        })
    };
    let host = pool.members()[dead].host.clone();
    assert!(!live(&host));
    pool.power_on(dead).await.expect("it starts");
    assert_eq!(slave_of(login_at(&pool, 0).await), "127.0.0.2");
    assert!(live(&host));
}

#[tokio::test]
async fn an_emergency_is_one_only_while_the_master_is_dead() {
    let pool = three().await;
    let mut local = local_login_at(&pool, 1).await;
    let fault = local
        .fault("pool.emergency_transition_to_master", json!([]))
        .await;
    assert_eq!(fault, ["NOT_IN_EMERGENCY_MODE"]);
}

#[tokio::test]
async fn an_old_master_that_thaws_may_not_know_of_the_new_one() {
    let pool = three().await;
    let mut old = login_at(&pool, 0).await.expect("the master");
    pool.trouble("black-hole", "on@0").await.expect("a known fault");
    pool.change_master(1).expect("another one leads");
    pool.trouble("claim", "on@0").await.expect("a known fault");
    pool.trouble("black-hole", "off@0").await.expect("a known fault");
    // Both take logins, the old one also on a connection from before; the third host knows who leads.
    let mut claims = login_at(&pool, 0).await.expect("it claims to be the master");
    let mut leads = login_at(&pool, 1).await.expect("the master");
    assert_eq!(slave_of(login_at(&pool, 2).await), "127.0.0.2");
    assert_eq!(old.fault("VM.get_all", json!([])).await[0], "SESSION_INVALID");
    let mut old = old.log_in().await;
    for client in [&mut claims, &mut old] {
        assert_eq!(
            client
                .ok("pool.is_slave", json!([pool.members()[0].host.to_string()]))
                .await,
            false
        );
        for method in [
            "pool.get_all_records",
            "VM.get_all_records",
            "host.get_all_records",
        ] {
            assert_eq!(
                client.ok(method, json!([])).await,
                leads.ok(method, json!([])).await,
                "{method}"
            );
        }
    }
    let members = pool.members();
    assert!(members[1].is_master && !members[0].is_master);
    // It learns.
    pool.trouble("claim", "off@0").await.expect("a known fault");
    assert_eq!(slave_of(login_at(&pool, 0).await), "127.0.0.2");
    assert_eq!(
        claims.fault("VM.get_all", json!([])).await,
        ["HOST_IS_SLAVE", "127.0.0.2"]
    );
}

#[tokio::test]
async fn a_host_that_claims_to_be_the_master_notices_no_other_one() {
    let pool = three().await;
    pool.faults_of(0).expect("a host").claim_master(true);
    let mut client = login_at(&pool, 0).await.expect("the master");
    pool.change_master(2).expect("another one leads");
    // The connection is still there.
    assert_eq!(client.fault("VM.get_all", json!([])).await[0], "SESSION_INVALID");
    assert!(login_at(&pool, 0).await.is_ok() && login_at(&pool, 2).await.is_ok());
    pool.trouble("off", "").await.expect("a known fault");
    assert_eq!(slave_of(login_at(&pool, 0).await), "127.0.0.3");
}

#[tokio::test]
async fn a_new_certificate_is_served_and_recorded() {
    let pool = pool_with(PoolConfig {
        tls: true,
        hosts: 2,
        own_certificates: true,
        ..PoolConfig::default()
    })
    .await;
    let prints = |pool: &SimPool| -> Vec<String> {
        let members = pool.members().into_iter();
        members.filter_map(|member| member.fingerprint_sha256).collect()
    };
    let old = prints(&pool);
    assert_ne!(old[0], old[1]);
    let new = pool.change_certificate().expect("it speaks TLS");
    assert_eq!(prints(&pool)[0], new);
    assert!(prints(&pool).iter().all(|print| !old.contains(print)));
    let recorded =
        |print: &str| pool.read(|db| db.find("Certificate", "fingerprint_sha256", print).is_some());
    assert!(prints(&pool).iter().all(|print| recorded(print)));
    assert!(!old.iter().any(|print| recorded(print)));
}
