//! Certificates: those that hosts show, those that a pool trusts, and what is told when a host joins.

use rcgen::{CertificateParams, CertificateRevocationListParams, KeyIdMethod, KeyPair, SerialNumber};
use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool, pool_with};

/// Hosts take RSA keys alone, and the generator here makes none.
const RSA: &str = include_str!("keys/for-tests-only.pem");

/// A certificate of the key that holds from the first year to the other.
fn certificate(key: &KeyPair, years: [i32; 2]) -> String {
    let mut params = CertificateParams::new(vec!["sim.example".to_owned()]).expect("params");
    params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
    params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
    params.self_signed(key).expect("a certificate").pem()
}

fn rsa() -> KeyPair {
    KeyPair::from_pem(RSA).expect("a key")
}

fn any() -> String {
    certificate(&KeyPair::generate().expect("a key"), [2020, 2090])
}

fn revoked() -> String {
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(vec!["ca".to_owned()]).expect("params");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(authority, key);
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(&issuer).expect("a list");
    list.pem().expect("text")
}

#[tokio::test]
async fn a_host_shows_the_certificate_that_was_installed() {
    let pool = pool_with(PoolConfig {
        tls: true,
        own_certificates: true,
        ..PoolConfig::default()
    })
    .await;
    let (mut client, _) = crate::tls::login(&pool).await;
    let (host, other) = (pool.members()[0].host.to_string(), pool.members()[1].clone());
    let good = certificate(&rsa(), [2020, 2090]);
    let mut refused = async |certificate: &str, key: &str, chain: &str| {
        let params = json!([host, certificate, key, chain]);
        client.fault("host.install_server_certificate", params).await
    };
    assert_eq!(refused("x", RSA, "").await, ["SERVER_CERTIFICATE_INVALID"]);
    assert_eq!(refused(&good, "x", "").await, ["SERVER_CERTIFICATE_KEY_INVALID"]);
    let curve = KeyPair::generate().expect("a key").serialize_pem();
    assert_eq!(
        refused(&good, &curve, "").await,
        [
            "SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED",
            "1.2.840.10045.2.1"
        ]
    );
    assert_eq!(
        refused(&any(), RSA, "").await,
        ["SERVER_CERTIFICATE_KEY_MISMATCH"]
    );
    assert_eq!(
        refused(&good, RSA, "x").await,
        ["SERVER_CERTIFICATE_CHAIN_INVALID"]
    );
    let fault = refused(&certificate(&rsa(), [2019, 2020]), RSA, "").await;
    assert_eq!(
        (&*fault[0], &*fault[2]),
        ("SERVER_CERTIFICATE_EXPIRED", "20200101T00:00:00Z")
    );
    let fault = refused(&certificate(&rsa(), [2089, 2090]), RSA, "").await;
    assert_eq!(
        (&*fault[0], &*fault[2]),
        ("SERVER_CERTIFICATE_NOT_VALID_YET", "20890101T00:00:00Z")
    );
    let params = json!([host, good, RSA, any()]);
    client.ok("host.install_server_certificate", params).await;
    let member = pool.members()[0].clone();
    assert_eq!(pool.members()[1].fingerprint_sha256, other.fingerprint_sha256);
    let record = pool.read(|db| {
        let own = db.members("host", &host, "certificates");
        let own: Vec<_> = own
            .into_iter()
            .filter(|known| db.text("Certificate", known, "type") == "host")
            .collect();
        assert_eq!(own.len(), 1, "the old one is gone");
        db.record("Certificate", &own[0]).expect("a record")
    });
    assert_eq!(record["not_after"], "20900101T00:00:00Z");
    assert_eq!(
        record["fingerprint_sha256"].as_str(),
        member.fingerprint_sha256.as_deref()
    );
    // Connections ended; new ones see the new certificate.
    let (mut client, print) = crate::tls::login(&pool).await;
    assert_eq!(Some(print), member.fingerprint_sha256);
    let shown = client.ok("host.get_server_certificate", json!([host])).await;
    assert_eq!(shown.as_str().map(str::trim), Some(good.replace('\r', "").trim()));
    client
        .ok("host.emergency_reset_server_certificate", json!([]))
        .await;
    assert_ne!(pool.members()[0].fingerprint_sha256, member.fingerprint_sha256);
}

#[tokio::test]
async fn lists_of_what_is_revoked_are_kept_by_name() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let list = revoked();
    assert_eq!(
        client.fault("pool.crl_install", json!([".x", list])).await,
        ["CRL_NAME_INVALID", ".x"]
    );
    assert_eq!(
        client.fault("pool.crl_install", json!(["a.pem", any()])).await,
        ["CRL_CORRUPT", "a.pem"]
    );
    client.ok("pool.crl_install", json!(["a.pem", list])).await;
    assert_eq!(
        client.fault("pool.crl_install", json!(["a.pem", list])).await,
        ["CRL_ALREADY_EXISTS", "a.pem"]
    );
    assert_eq!(client.ok("pool.crl_list", json!([])).await, json!(["a.pem"]));
    client.ok("pool.crl_uninstall", json!(["a.pem"])).await;
    assert_eq!(
        client.fault("pool.crl_uninstall", json!(["a.pem"])).await,
        ["CRL_DOES_NOT_EXIST", "a.pem"]
    );
}

#[tokio::test]
async fn a_certificate_is_trusted_once_and_for_a_purpose() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let this = pool.read(|db| db.pool().to_string());
    let own = certificate(&rsa(), [2020, 2090]);
    let params = |text: &str, purposes: Json| json!([this, false, text, purposes]);
    let mut refused = async |text: &str, purposes: Json| {
        client
            .fault("pool.install_trusted_certificate", params(text, purposes))
            .await
    };
    assert_eq!(
        refused("x", json!(["ldaps"])).await,
        ["TRUSTED_CERTIFICATE_INVALID"]
    );
    assert_eq!(refused(&own, json!([])).await, ["CERTIFICATE_LACKS_PURPOSE"]);
    let old = certificate(&rsa(), [2019, 2020]);
    assert_eq!(
        refused(&old, json!(["ldaps"])).await[0],
        "TRUSTED_CERTIFICATE_EXPIRED"
    );
    client
        .ok(
            "pool.install_trusted_certificate",
            params(&own, json!(["licensing"])),
        )
        .await;
    let made = pool.read(|db| {
        db.find("Certificate", "type", "pinned")
            .expect("made")
            .to_string()
    });
    let record = client.ok("Certificate.get_record", json!([made])).await;
    assert_eq!(record["purpose"], json!(["licensing"]));
    assert_eq!(record["not_before"], "20200101T00:00:00Z");
    let print = record["fingerprint_sha256"].as_str().expect("text");
    assert_eq!(
        client
            .fault("pool.install_trusted_certificate", params(&own, json!(["ldaps"])))
            .await,
        ["TRUSTED_CERTIFICATE_ALREADY_EXISTS", print]
    );
    let host = pool.read(|db| {
        db.find("Certificate", "type", "host")
            .expect("a host's")
            .to_string()
    });
    assert_eq!(
        client
            .fault("pool.uninstall_trusted_certificate", json!([this, host]))
            .await,
        ["NOT_TRUSTED_CERTIFICATE", &host]
    );
    client
        .ok("pool.uninstall_trusted_certificate", json!([this, made]))
        .await;
    assert_eq!(
        client
            .fault("pool.uninstall_trusted_certificate", json!([this, made]))
            .await,
        ["HANDLE_INVALID", "Certificate", &made]
    );
}

#[tokio::test]
async fn what_another_pool_trusts_comes_over() {
    let (here, there) = (pool().await, pool().await);
    let (mut client, mut remote) = (Client::login(&here).await, Client::login(&there).await);
    let this = |pool: &SimPool| pool.read(|db| db.pool().to_string());
    let own = any();
    let params = json!([this(&there), true, own, ["ldaps"]]);
    remote.ok("pool.install_trusted_certificate", params).await;
    let address = there.addr().to_string();
    let params = |address: &str, session: &str| json!([this(&here), address, session, "", true]);
    assert_eq!(
        client
            .fault(
                "pool.sync_trusted_certificates_from",
                params("127.0.0.1:1", &remote.session)
            )
            .await,
        ["CANNOT_CONTACT_HOST", "127.0.0.1:1"]
    );
    assert_eq!(
        client
            .fault(
                "pool.sync_trusted_certificates_from",
                params(&address, "OpaqueRef:x")
            )
            .await,
        ["SESSION_INVALID", "OpaqueRef:x"]
    );
    let made = client
        .ok(
            "pool.sync_trusted_certificates_from",
            params(&address, &remote.session),
        )
        .await;
    let [made] = &made.as_array().expect("a set")[..] else {
        panic!("one is new: {made}")
    };
    assert_eq!(client.ok("Certificate.get_type", json!([made])).await, "ca");
    let again = client
        .ok(
            "pool.sync_trusted_certificates_from",
            params(&address, &remote.session),
        )
        .await;
    assert_eq!(again, json!([]));
}

#[tokio::test]
async fn hosts_that_join_tell_what_they_trust() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let this = pool.read(|db| db.pool().to_string());
    let (ours, theirs, list) = (any(), any(), revoked());
    client
        .ok("pool.install_ca_certificate", json!(["ours.pem", ours]))
        .await;
    let authority = pool.read(|db| {
        db.find("Certificate", "name", "ours.pem")
            .expect("made")
            .to_string()
    });
    let told = client
        .ok(
            "pool.exchange_ca_certificates_on_join",
            json!([{ "theirs.pem": theirs }, [authority]]),
        )
        .await;
    assert_eq!(told, json!({ "ours.pem": ours }));
    let names = client.ok("pool.certificate_list", json!([])).await;
    assert_eq!(names.as_array().map(Vec::len), Some(2));
    assert_eq!(
        client
            .fault(
                "pool.exchange_ca_certificates_on_join",
                json!([{ "ours.pem": theirs }, []])
            )
            .await,
        ["POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT"]
    );
    let told = client
        .ok(
            "pool.exchange_trusted_certificates_on_join",
            json!([this, true, { any(): ["ldaps"] }, [authority]]),
        )
        .await;
    assert_eq!(told, json!({ ours: [] }));
    client
        .ok("pool.exchange_crls_on_join", json!([this, { "a.pem": list }, []]))
        .await;
    let told = client
        .ok("pool.exchange_crls_on_join", json!([this, {}, ["a.pem"]]))
        .await;
    assert_eq!(told, json!({ "a.pem": list }));
    assert_eq!(
        client
            .fault("pool.exchange_crls_on_join", json!([this, {}, ["b.pem"]]))
            .await,
        ["CRL_DOES_NOT_EXIST", "b.pem"]
    );
    let uuid = "00000000-0000-4000-8000-000000000001";
    assert_eq!(
        client
            .fault("pool.exchange_certificates_on_join", json!([uuid, "x"]))
            .await,
        ["SERVER_CERTIFICATE_INVALID"]
    );
    // Over plain HTTP no host has a certificate to tell of.
    assert_eq!(
        client
            .ok("pool.exchange_certificates_on_join", json!([uuid, any()]))
            .await,
        json!({})
    );
}

#[tokio::test]
async fn hosts_stop_looking_at_certificates_and_begin_again() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[0].host.to_string();
    assert_eq!(
        client
            .fault("host.emergency_reenable_tls_verification", json!([]))
            .await,
        ["TLS_VERIFICATION_NOT_ENABLED_IN_POOL"]
    );
    client.ok("pool.enable_tls_verification", json!([])).await;
    let verifies = json!([host]);
    assert_eq!(
        client
            .ok("host.get_tls_verification_enabled", verifies.clone())
            .await,
        true
    );
    client
        .ok("host.emergency_disable_tls_verification", json!([]))
        .await;
    assert_eq!(
        client
            .ok("host.get_tls_verification_enabled", verifies.clone())
            .await,
        false
    );
    client
        .ok("host.emergency_reenable_tls_verification", json!([]))
        .await;
    assert_eq!(
        client.ok("host.get_tls_verification_enabled", verifies).await,
        true
    );
}

#[tokio::test]
async fn authorities_are_trusted_by_name() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let pem = any();
    assert_eq!(
        client
            .fault("pool.install_ca_certificate", json!(["../x", pem]))
            .await,
        ["CERTIFICATE_NAME_INVALID", "../x"]
    );
    assert_eq!(
        client
            .fault("pool.install_ca_certificate", json!(["ca.pem", "x"]))
            .await,
        ["CA_CERTIFICATE_INVALID"]
    );
    client
        .ok("pool.install_ca_certificate", json!(["ca.pem", pem]))
        .await;
    assert_eq!(
        client
            .fault("pool.install_ca_certificate", json!(["ca.pem", pem]))
            .await,
        ["CERTIFICATE_ALREADY_EXISTS", "ca.pem"]
    );
    client
        .ok("pool.uninstall_ca_certificate", json!(["ca.pem"]))
        .await;
    assert_eq!(
        client
            .fault("pool.uninstall_ca_certificate", json!(["ca.pem"]))
            .await,
        ["CERTIFICATE_DOES_NOT_EXIST", "ca.pem"]
    );
}
