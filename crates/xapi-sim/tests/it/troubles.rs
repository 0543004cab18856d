//! Faults by name, at the control port and in the library.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use xapi_sim::control::Control;
use xapi_sim::{OF_A_HOST, PoolConfig, SimPool, TROUBLES, UNKNOWN_FIELD, UNKNOWN_MEMBER};

use crate::client::{Answer, Client, pool, pool_with};

async fn raw(client: &mut Client, method: &str) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": [client.session] }).to_string();
    client
        .request("POST", "/jsonrpc", &body)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn garbled_answers_are_whole_http_but_no_json() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    pool.garble_answers(1);
    let answer = client
        .bytes(
            "POST",
            "/jsonrpc",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.listMethods\"}",
        )
        .await;
    assert!(serde_json::from_slice::<Json>(&answer).is_err() && String::from_utf8(answer).is_err());
    client.ok("pool.get_all", json!([])).await;
}

#[tokio::test]
async fn mislabelled_answers_are_right_but_say_html() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    pool.mislabel_answers(1);
    let answer = raw(&mut client, "pool.get_all").await;
    assert!(answer.head.contains("Content-Type: text/html"));
    assert!(serde_json::from_str::<Json>(&answer.body).is_ok());
    assert!(
        raw(&mut client, "pool.get_all")
            .await
            .head
            .contains("application/json")
    );
}

#[tokio::test]
async fn a_wrong_clock_shows_in_what_hosts_say_and_write() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[0].host.to_string();
    let year = |date: &Json| {
        date.as_str().expect("a date")[..4]
            .parse::<i64>()
            .expect("a year")
    };
    let now = year(&client.ok("host.get_servertime", json!([host])).await);
    pool.set_clock_skew(-20 * 366 * 86_400);
    assert!(year(&client.ok("host.get_servertime", json!([host])).await) <= now - 19);
    let task = client.ok("task.create", json!(["old", ""])).await;
    assert!(year(&client.ok("task.get_created", json!([task])).await) <= now - 19);
}

#[tokio::test]
async fn a_strange_record_has_what_no_client_knows() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let token = client.events(json!(["VM"]), "", 1.0).await.token;
    pool.trouble("strange", "VM").await.expect("a known fault");
    let batch = client.events(json!(["VM"]), &token, 5.0).await;
    let shown = &batch.events[0]["snapshot"];
    assert!(shown.get(UNKNOWN_FIELD).is_some());
    assert_eq!(shown["power_state"], UNKNOWN_MEMBER);
    let allowed = shown["allowed_operations"].as_array().expect("a set");
    assert!(allowed.contains(&json!(UNKNOWN_MEMBER)));
    pool.trouble("strange", "off").await.expect("a known fault");
    let batch = client.events(json!(["VM"]), &batch.token, 5.0).await;
    assert!(batch.events[0]["snapshot"].get(UNKNOWN_FIELD).is_none());
}

#[tokio::test]
async fn a_slow_pool_takes_the_time_that_its_bytes_need() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let size = raw(&mut client, "host.get_all_records").await.body.len();
    pool.set_speed(size as u64 * 10);
    let start = Instant::now();
    raw(&mut client, "host.get_all_records").await;
    assert!(start.elapsed() >= Duration::from_millis(100));
    pool.set_speed(0);
    pool.set_latency(Duration::from_millis(30));
    pool.set_jitter(Duration::from_millis(10));
    let start = Instant::now();
    raw(&mut client, "pool.get_all").await;
    assert!(start.elapsed() >= Duration::from_millis(30));
}

async fn control() -> (SimPool, Control, Client) {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let control = Control::start(([127, 0, 0, 1], 0).into(), vec![pool.clone()])
        .await
        .expect("it listens");
    let address = control.url().replace("http://", "");
    (pool, control, Client::connect_to(&address).await)
}

#[tokio::test]
async fn the_control_port_explains_every_fault() {
    let (_pool, _control, mut client) = control().await;
    let page = client.request("GET", "/", "").await.expect("a page").body;
    for trouble in TROUBLES {
        assert!(page.contains(trouble.explanation), "{}", trouble.name);
    }
}

#[tokio::test]
async fn the_control_port_switches_faults() {
    let (pool, control, mut client) = control().await;
    let answer = client.request("POST", "/fault/change-master=1", "").await;
    let told: Json = serde_json::from_str(&answer.expect("an answer").body).expect("JSON");
    assert_eq!(told[0]["hosts"][1]["master"], true);
    assert!(pool.members()[1].is_master);
    let address = control.url().replace("http://", "");
    // The name may be the body, as `curl -d` sends it.
    let mut client = Client::connect_to(&address).await;
    let answer = client.request("POST", "/fault?pool=0", "http-500=all").await;
    let told: Json = serde_json::from_str(&answer.expect("an answer").body).expect("JSON");
    assert_eq!(told[0]["faults"]["http-500"], "all");
    let mut asked = Client::connect(&pool).await;
    let refused = asked.request("POST", "/jsonrpc", "{}").await.expect("an answer");
    assert_eq!(refused.status, 500);
    for wrong in ["/fault/nonsense", "/fault/latency=soon", "/fault/cut=1"] {
        let mut client = Client::connect_to(&address).await;
        let answer = client.request("POST", wrong, "").await.expect("an answer");
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let mut client = Client::connect_to(&address).await;
    client.request("POST", "/fault/off", "").await.expect("an answer");
    assert!(pool.active_troubles().is_empty());
}

#[tokio::test]
async fn every_fault_can_be_switched_by_its_name() {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        tls: true,
        ..PoolConfig::default()
    })
    .await;
    for trouble in TROUBLES {
        let argument = match trouble.argument.split('|').next().unwrap_or_default() {
            "on" => "on",
            "on@HOST" => "on@1",
            "HOST" => "1",
            "ADDRESS" => "10.0.0.1",
            "CLASS" => "host",
            "" => "",
            _ => "2",
        };
        // The host of power-off and kill-master must be up for what follows.
        pool.power_on(0).await.expect("host 0");
        pool.power_on(1).await.expect("host 1");
        let done = pool.trouble(trouble.name, argument).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", trouble.name));
    }
    // Churn is no fault that `off` ends.
    assert_eq!(pool.active_troubles(), [("churn", "2".to_owned())]);
}

/// These are over when they are done.
const OVER_AT_ONCE: [&str; 7] = [
    "cut",
    "expire-sessions",
    "restart-toolstack",
    "change-master",
    "power-on",
    "change-certificate",
    "off",
];

/// What the control port tells of the first pool's faults.
async fn told_of_faults(control: &Control) -> Json {
    let mut client = Client::connect_to(&control.url().replace("http://", "")).await;
    let answer = client.request("GET", "/pools", "").await.expect("an answer");
    serde_json::from_str::<Json>(&answer.body).expect("JSON")[0]["faults"].clone()
}

#[tokio::test]
async fn every_fault_that_is_on_is_told() {
    let (pool, control, _client) = control().await;
    let host = pool.read(|db| db.refs("host")[0].to_string());
    for trouble in TROUBLES
        .iter()
        .filter(|trouble| !OVER_AT_ONCE.contains(&trouble.name))
    {
        let name = trouble.name;
        let (argument, shown) = match trouble.argument.split('|').next().unwrap_or_default() {
            "" => ("", "0".to_owned()),
            "on" => ("on", "on".to_owned()),
            "on@HOST" => ("on@0", "on@0".to_owned()),
            "HOST" => ("1", "1".to_owned()),
            "ADDRESS" => ("10.0.0.1", "10.0.0.1".to_owned()),
            "CLASS" => ("host", format!("host/{host}")),
            _ => ("2", "2".to_owned()),
        };
        // A dead master is a host without power.
        let shown_as = if name == "kill-master" { "power-off" } else { name };
        pool.trouble(name, argument).await.expect(name);
        assert_eq!(
            told_of_faults(&control).await,
            json!({ shown_as: shown }),
            "{name}"
        );
        if OF_A_HOST.contains(&name) {
            let plain = argument.trim_end_matches("@0");
            pool.trouble(name, &format!("{plain}@1")).await.expect(name);
            let both = format!("{shown},{plain}@1");
            assert_eq!(
                told_of_faults(&control).await,
                json!({ shown_as: both }),
                "{name}"
            );
        }
        pool.trouble("off", "").await.expect("it ends");
        pool.set_churn(0.0);
        pool.power_on(0).await.expect("host 0");
        pool.power_on(1).await.expect("host 1");
        assert_eq!(told_of_faults(&control).await, json!({}), "{name}");
    }
    pool.trouble("drop-deletions", "all")
        .await
        .expect("a known fault");
    pool.write(|db| {
        let vdi = db.refs("VDI")[0].clone();
        db.destroy("VDI", &vdi);
    });
    assert_eq!(told_of_faults(&control).await, json!({ "drop-deletions": "all" }));
}

#[tokio::test]
async fn a_pool_that_refuses_connections_does_so_at_hosts_that_come_back() {
    let (pool, _control, _client) = control().await;
    pool.power_off(1).await.expect("a host");
    pool.trouble("refuse", "on").await.expect("a known fault");
    pool.power_on(1).await.expect("a host");
    let supporter = pool.members()[1].address.expect("an address");
    assert!(TcpStream::connect(supporter).await.is_err());
    pool.trouble("refuse", "off").await.expect("a known fault");
    assert!(TcpStream::connect(supporter).await.is_ok());
}

#[tokio::test]
async fn one_host_alone_is_a_black_hole_or_slow() {
    let pool = pool_with(PoolConfig {
        hosts: 3,
        ..PoolConfig::default()
    })
    .await;
    let addresses: Vec<String> = pool
        .members()
        .iter()
        .map(|member| member.address.expect("an address").to_string())
        .collect();
    pool.trouble("black-hole", "on@1").await.expect("a known fault");
    pool.trouble("http-500", "1@2").await.expect("a known fault");
    assert_eq!(
        pool.active_troubles(),
        [("black-hole", "on@1".to_owned()), ("http-500", "1@2".to_owned())]
    );
    // The master answers as ever.
    let mut master = Client::login(&pool).await;
    master.ok("pool.get_all", json!([])).await;
    let mut failing = Client::connect_to(&addresses[2]).await;
    assert_eq!(raw(&mut failing, "pool.get_all").await.status, 500);
    assert_eq!(raw(&mut failing, "pool.get_all").await.status, 200);
    let mut silent = Client::connect_to(&addresses[1]).await;
    let patience = Duration::from_millis(300);
    let waiting = raw(&mut silent, "pool.get_all");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
    pool.trouble("black-hole", "off@1").await.expect("a known fault");
    assert_eq!(waiting.await.status, 200);
    // The master alone is slow, and `off` ends it.
    pool.faults_of(0)
        .expect("a host")
        .set_latency(Duration::from_millis(200));
    let start = Instant::now();
    master.ok("pool.get_all", json!([])).await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    pool.trouble("off", "").await.expect("a known fault");
    assert_eq!(pool.active_troubles(), []);
    assert!(pool.trouble("latency", "5@9").await.is_err());
    assert!(pool.trouble("kill-master", "@1").await.is_err());
    assert!(pool.trouble("claim", "on").await.is_err(), "not without a host");
}
