//! The directory of people: hosts are members of it or not, and it knows those who can log in.

use serde_json::json;
use xapi_sim::{PoolConfig, SimPool, User};

use crate::client::{Client, pool, pool_with};

async fn staffed() -> SimPool {
    let user = |name: &str, role: &str| User {
        name: name.to_owned(),
        password: "secret".to_owned(),
        role: role.to_owned(),
    };
    pool_with(PoolConfig {
        users: vec![user("ann", "pool-admin"), user("guest", "")],
        ..PoolConfig::default()
    })
    .await
}

async fn login(pool: &SimPool, name: &str) -> Result<Client, String> {
    let mut client = Client::connect(pool).await;
    let answer = client
        .rpc("session.login_with_password", json!([name, "secret"]))
        .await;
    let session = answer.map_err(|error| error["message"].as_str().unwrap_or("?").to_owned())?;
    client.session = session.as_str().expect("a reference").to_owned();
    Ok(client)
}

fn hosts(pool: &SimPool) -> Vec<String> {
    pool.members()
        .iter()
        .map(|member| member.host.to_string())
        .collect()
}

#[tokio::test]
async fn a_pool_becomes_a_member_with_all_its_hosts_or_none() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let this = pool.read(|db| db.pool().to_string());
    let hosts = hosts(&pool);
    let config = json!({ "user": "admin", "pass": "x" });
    let mut refused = async |config: &serde_json::Value, service: &str, kind: &str| {
        let params = json!([this, config, service, kind]);
        client.fault("pool.enable_external_auth", params).await
    };
    assert_eq!(
        refused(&config, "example.org", "LDAP").await,
        ["AUTH_UNKNOWN_TYPE", "LDAP"]
    );
    let first = pool.read(|db| db.refs("host")[0].to_string());
    let without = refused(&json!({ "user": "admin" }), "example.org", "AD").await;
    assert_eq!(without[..2], ["POOL_AUTH_ENABLE_FAILED", &first]);
    let unknown = refused(&config, "nowhere", "AD").await;
    assert_eq!(
        unknown[..2],
        ["POOL_AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED", &first]
    );
    // One host is a member already: the others stay out.
    let params = json!([hosts[1], config, "example.org", "AD"]);
    client.ok("host.enable_external_auth", params.clone()).await;
    assert_eq!(
        client.fault("host.enable_external_auth", params).await,
        ["AUTH_ALREADY_ENABLED", "AD", "example.org"]
    );
    let params = json!([this, config, "example.org", "AD"]);
    assert_eq!(
        client.fault("pool.enable_external_auth", params.clone()).await,
        ["POOL_AUTH_ALREADY_ENABLED", &hosts[1]]
    );
    let note = json!([this]);
    client.ok("pool.detect_nonhomogeneous_external_auth", note).await;
    pool.read(|db| {
        let found = db.find("message", "name", "EXTAUTH_IN_POOL_IS_NON_HOMOGENEOUS");
        assert!(found.is_some(), "a host differs from the master");
    });
    client
        .ok("host.disable_external_auth", json!([hosts[1], {}]))
        .await;
    // To disable twice is no mistake.
    client
        .ok("host.disable_external_auth", json!([hosts[1], {}]))
        .await;
    client.ok("pool.enable_external_auth", params).await;
    for host in &hosts {
        let record = client.ok("host.get_record", json!([host])).await;
        assert_eq!(record["external_auth_type"], "AD");
        assert_eq!(record["external_auth_service_name"], "example.org");
        assert_eq!(
            record["external_auth_configuration"],
            json!({ "user": "admin", "domain": "example.org" }),
            "without the password"
        );
    }
}

#[tokio::test]
async fn a_directory_that_is_left_lets_nobody_in() {
    let pool = staffed().await;
    let this = pool.read(|db| db.pool().to_string());
    let mut root = Client::login(&pool).await;
    let mut ann = login(&pool, "ann").await.expect("in the directory");
    assert_eq!(
        login(&pool, "guest").await.err().as_deref(),
        Some("SESSION_AUTHORIZATION_FAILED")
    );
    let known = root.ok("session.get_all_subject_identifiers", json!([])).await;
    assert_eq!(known.as_array().expect("a set").len(), 1);
    let wrong = json!([this, { "user": "ann", "pass": "no" }]);
    let fault = root.fault("pool.disable_external_auth", wrong).await;
    assert_eq!(fault[0], "POOL_AUTH_DISABLE_FAILED_WRONG_CREDENTIALS");
    // The hosts have left all the same, and nobody vouches for Ann.
    let session = ann.session.clone();
    assert_eq!(
        ann.fault("pool.get_all", json!([])).await,
        ["SESSION_INVALID", &session]
    );
    assert_eq!(
        login(&pool, "ann").await.err().as_deref(),
        Some("SESSION_AUTHENTICATION_FAILED")
    );
    assert_eq!(
        root.fault("auth.get_subject_identifier", json!(["ann"])).await,
        ["AUTH_IS_DISABLED"]
    );
    root.ok("pool.disable_external_auth", json!([this])).await;
    let right = json!([this, { "user": "sim\\ann", "pass": "no" }, "sim.example", "AD"]);
    let fault = root.fault("pool.enable_external_auth", right).await;
    assert_eq!(fault[0], "POOL_AUTH_ENABLE_FAILED_WRONG_CREDENTIALS");
    let right = json!([this, { "user": "ann@sim.example", "pass": "secret" }, "sim.example", "AD"]);
    root.ok("pool.enable_external_auth", right).await;
    login(&pool, "ann").await.expect("in the directory again");
}

#[tokio::test]
async fn the_directory_tells_who_somebody_is() {
    let pool = staffed().await;
    let mut client = Client::login(&pool).await;
    let ann = client
        .ok("auth.get_subject_identifier", json!(["SIM\\ann"]))
        .await;
    let about = client
        .ok("auth.get_subject_information_from_identifier", json!([ann]))
        .await;
    assert_eq!(about["subject-upn"], "ann@sim.example");
    assert_eq!(about["subject-is-group"], "false");
    let groups = client.ok("auth.get_group_membership", json!([ann])).await;
    assert_eq!(groups.as_array().expect("a set").len(), 1);
    assert_eq!(
        client.fault("auth.get_subject_identifier", json!(["bob"])).await,
        ["SUBJECT_CANNOT_BE_RESOLVED"]
    );
    let record = json!({ "subject_identifier": ann, "other_config": {} });
    assert_eq!(
        client.fault("subject.create", json!([record])).await,
        ["SUBJECT_ALREADY_EXISTS"]
    );
    let record = json!({ "subject_identifier": "S-1-2-3", "other_config": {} });
    client.ok("subject.create", json!([record])).await;
}

#[tokio::test]
async fn ldap_over_tls_wants_a_certificate_for_it() {
    let (pool, alone) = (staffed().await, pool().await);
    let this = |pool: &SimPool| pool.read(|db| db.pool().to_string());
    let mut client = Client::login(&alone).await;
    assert_eq!(
        client
            .fault("pool.external_auth_set_ldaps", json!([this(&alone), true]))
            .await,
        ["AUTH_IS_DISABLED"]
    );
    let mut client = Client::login(&pool).await;
    let host = hosts(&pool).remove(0);
    assert_eq!(
        client
            .fault("host.external_auth_set_ldaps", json!([host, true]))
            .await[0],
        "AUTH_NO_TRUSTED_CERTS"
    );
    let fault = client
        .fault("pool.external_auth_set_ldaps", json!([this(&pool), true]))
        .await;
    assert_eq!(fault[0], "AUTH_SET_LDAPS_FAILED");
    client
        .ok("host.external_auth_set_ldaps", json!([host, true, true]))
        .await;
    let made = rcgen::generate_simple_self_signed(vec!["dc".to_owned()]).expect("a certificate");
    let params = json!([this(&pool), true, made.cert.pem(), ["ldaps"]]);
    client.ok("pool.install_trusted_certificate", params).await;
    client
        .ok("pool.external_auth_set_ldaps", json!([this(&pool), true]))
        .await;
    for host in hosts(&pool) {
        let config = client
            .ok("host.get_external_auth_configuration", json!([host]))
            .await;
        assert_eq!(config["ldaps"], "true");
    }
}
