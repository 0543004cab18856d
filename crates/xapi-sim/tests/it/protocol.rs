//! Transport, envelopes, names, types and sessions.

use serde_json::{Value as Json, json};
use xapi_sim::PoolConfig;

use crate::client::{Client, pool, pool_with};

#[tokio::test]
async fn logs_in_reads_and_logs_out_over_one_connection() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let pools = client.ok("pool.get_all_records", json!([])).await;
    let record = pools.as_object().expect("a map").values().next().expect("a pool");
    assert_eq!(record["name_label"], "Sim");
    let hosts = client.ok("host.get_all", json!([])).await;
    assert_eq!(hosts.as_array().map(Vec::len), Some(2));
    client.ok("session.logout", json!([])).await;
    let session = client.session.clone();
    assert_eq!(
        client.fault("pool.get_all", json!([])).await,
        ["SESSION_INVALID", &session]
    );
    assert_eq!(pool.stats().connections, 1);
    assert_eq!(pool.stats().calls_of("host.get_all"), 1);
}

#[tokio::test]
async fn refuses_wrong_passwords_unknown_methods_and_wrong_parameters() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let error = client
        .rpc("session.login_with_password", json!(["root", "wrong"]))
        .await
        .expect_err("refused");
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!(1), &json!("SESSION_AUTHENTICATION_FAILED"))
    );
    assert_eq!(
        client.fault("VM.fly", json!([])).await,
        ["MESSAGE_METHOD_UNKNOWN", "VM.fly"]
    );
    assert_eq!(
        client.fault("VM.start", json!(["OpaqueRef:x"])).await,
        ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", "3", "1"]
    );
    assert_eq!(
        client
            .fault("VM.start", json!(["OpaqueRef:x", false, false]))
            .await,
        ["HANDLE_INVALID", "VM", "OpaqueRef:x"]
    );
    assert_eq!(
        client.fault("VM.get_by_uuid", json!(["x"])).await,
        ["UUID_INVALID", "VM", "x"]
    );
    assert_eq!(
        client.ok("VM.get_by_name_label", json!(["nobody"])).await,
        json!([])
    );
    assert_eq!(
        client.fault("VM.start", json!(["OpaqueRef:x", 0, false])).await[0],
        "INTERNAL_ERROR"
    );
}

#[tokio::test]
async fn generated_accessors_read_and_write() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = client.ok("VM.get_all", json!([])).await[0].clone();
    client.ok("VM.set_name_label", json!([vm, "renamed \"é\""])).await;
    assert_eq!(client.ok("VM_get_name_label", json!([vm])).await, "renamed \"é\"");
    client
        .ok("VM.add_to_other_config", json!([vm, "key", "value"]))
        .await;
    let twice = client
        .fault("VM.add_to_other_config", json!([vm, "key", "value"]))
        .await;
    assert_eq!(
        twice,
        [
            "MAP_DUPLICATE_KEY",
            "VM",
            "other_config",
            vm.as_str().expect("ref"),
            "key"
        ]
    );
    client.ok("VM.remove_from_other_config", json!([vm, "key"])).await;
    client.ok("VM.remove_from_other_config", json!([vm, "key"])).await;
    client.ok("VM.add_tags", json!([vm, "a"])).await;
    client.ok("VM.add_tags", json!([vm, "a"])).await;
    let tags = client.ok("VM.get_tags", json!([vm])).await;
    assert_eq!(
        tags.as_array()
            .expect("set")
            .iter()
            .filter(|tag| *tag == "a")
            .count(),
        1
    );
    client.ok("VM.set_name_label", json!([vm, "unique name"])).await;
    let found = client
        .ok(
            "VM.get_all_records_where",
            json!([r#"field "name__label"="unique name""#]),
        )
        .await;
    let found: Vec<&String> = found.as_object().expect("a map").keys().collect();
    assert_eq!(found, [vm.as_str().expect("ref")]);
    let record = client.ok("VM.get_record", json!([vm])).await;
    assert!(record["memory_static_max"].is_i64() && record["snapshot_time"] == "19700101T00:00:00Z");
}

#[tokio::test]
async fn speaks_json_rpc_1_and_refuses_what_is_malformed() {
    let pool = pool().await;
    let mut client = Client::connect(&pool).await;
    let login = json!({ "method": "session.login_with_password", "params": ["root", "password"], "id": "a" });
    let answer = client
        .request("POST", "/jsonrpc", &login.to_string())
        .await
        .expect("answer");
    assert!(
        answer.head.contains("\r\nContent-Type: application/json\r\n"),
        "{}",
        answer.head
    );
    let json: Json = serde_json::from_str(&answer.body).expect("JSON");
    assert!(json["error"].is_null() && json["id"] == "a" && json.get("jsonrpc").is_none());
    let broken = client.request("POST", "/jsonrpc", "{").await.expect("answer");
    assert_eq!(broken.status, 500);
    assert!(broken.head.contains("text/html"));
    assert_eq!(
        client.request("DELETE", "/", "").await.expect("answer").status,
        501
    );
    assert_eq!(client.request("PUT", "/x", "").await.expect("answer").status, 403);
}

fn xml_call(method: &str, params: &[&str]) -> String {
    let params: String = params
        .iter()
        .map(|p| format!("<param><value>{p}</value></param>"))
        .collect();
    format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>")
}

#[tokio::test]
async fn speaks_xml_rpc_on_any_other_path() {
    let pool = pool().await;
    let mut client = Client::connect(&pool).await;
    let login = xml_call(
        "session.login_with_password",
        &["root", "<string>password</string>"],
    );
    for path in ["/", "/RPC2", "/json", "/xmlrpc"] {
        let answer = client.request("POST", path, &login).await.expect("answer");
        assert!(
            answer.head.contains("\r\nContent-Type: text/xml\r\n"),
            "{}",
            answer.head
        );
        assert!(
            answer.body.contains("<name>Status</name><value>Success</value>"),
            "{}",
            answer.body
        );
    }
    let wrong = xml_call("session.login_with_password", &["root", "no"]);
    let answer = client.request("POST", "/", &wrong).await.expect("answer");
    let description =
        "<name>ErrorDescription</name><value><array><data><value>SESSION_AUTHENTICATION_FAILED</value>";
    assert!(answer.body.contains(description), "{}", answer.body);
    let methods = client
        .request("POST", "/", &xml_call("system.listMethods", &[]))
        .await
        .expect("answer");
    assert!(methods.body.contains("<value>VM.get_all_records</value>") && !methods.body.contains("Status"));
}

#[tokio::test]
async fn an_old_host_answers_json_rpc_with_xml() {
    let pool = pool_with(PoolConfig {
        json_rpc: false,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::connect(&pool).await;
    let login = xml_call("session.login_with_password", &["root", "password"]);
    let answer = client.request("POST", "/jsonrpc", &login).await.expect("answer");
    assert!(answer.head.contains("text/xml") && answer.body.contains("Success"));
    let session = answer
        .body
        .split("OpaqueRef:")
        .nth(1)
        .map(|rest| format!("OpaqueRef:{}", &rest[..36]))
        .expect("ref");
    let classes = "<array><data><value>pool</value></data></array>";
    let from = xml_call("event.from", &[&session, classes, "", "<double>1</double>"]);
    let answer = client.request("POST", "/", &from).await.expect("answer");
    assert!(
        answer.body.contains("<name>vm</name><value><i4>"),
        "counts are the only typed integers"
    );
    assert!(answer.body.contains("<name>operation</name><value>add</value>"));
    assert!(
        answer
            .body
            .contains("<name>ha_enabled</name><value><boolean>0</boolean></value>")
    );
}

#[tokio::test]
async fn header_and_body_have_limits() {
    let pool = pool().await;
    let mut client = Client::connect(&pool).await;
    let long = format!("/{}", "x".repeat(2000));
    assert_eq!(
        client.request("POST", &long, "").await.expect("answer").status,
        431
    );
    let mut client = Client::connect(&pool).await;
    let answer = client.request("POST", "/", &" ".repeat(301 * 1024)).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 500));
}

#[tokio::test]
async fn what_is_old_or_idle_is_collected() {
    const HOUR: i64 = 3600;
    let pool = pool().await;
    let mut idle = Client::login(&pool).await;
    let mut busy = Client::login(&pool).await;
    let working = busy.ok("task.create", json!(["long", ""])).await;
    busy.ok("task.set_progress", json!([working, 0.5])).await;
    let stuck = idle.ok("task.create", json!(["stuck", ""])).await;
    let ended = idle.ok("task.create", json!(["ended", ""])).await;
    idle.ok("task.set_status", json!([ended, "success"])).await;
    let there = |task: &Json| pool.read(|db| db.exists("task", task.as_str().expect("a reference")));
    pool.set_clock_skew(HOUR);
    pool.collect_garbage();
    assert!(there(&working) && there(&stuck) && there(&ended));
    pool.set_clock_skew(HOUR + 6 * 60);
    pool.collect_garbage();
    assert!(there(&working) && there(&stuck) && !there(&ended));
    pool.set_clock_skew(25 * HOUR);
    pool.collect_garbage();
    assert!(there(&working) && !there(&stuck));
    // Its task keeps the one session alive.
    busy.ok("pool.get_all", json!([])).await;
    let session = idle.session.clone();
    assert_eq!(
        idle.fault("pool.get_all", json!([])).await,
        ["SESSION_INVALID", &session]
    );
}

#[tokio::test]
async fn each_originator_and_each_person_has_a_quota_of_sessions() {
    let pool = pool_with(PoolConfig {
        users: vec![xapi_sim::User {
            name: "ann".to_owned(),
            password: "secret".to_owned(),
            role: "read-only".to_owned(),
        }],
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::connect(&pool).await;
    let login = async |client: &mut Client, params: Json| {
        let session = client
            .rpc("session.login_with_password", params)
            .await
            .expect("logs in");
        session.as_str().expect("a reference").to_owned()
    };
    let other = login(&mut client, json!(["root", "password", "1.0", "other"])).await;
    let first = login(&mut client, json!(["root", "password", "1.0", "mine"])).await;
    let ann = login(&mut client, json!(["ann", "secret", "1.0", "0"])).await;
    for at in 0..500 {
        login(&mut client, json!(["root", "password", "1.0", "mine"])).await;
        login(&mut client, json!(["ann", "secret", "1.0", at.to_string()])).await;
    }
    let there = |session: &str| pool.read(|db| db.exists("session", session));
    assert!(there(&other) && !there(&first) && !there(&ann));
    assert_eq!(pool.read(|db| db.count("session")), 1 + 500 + 500);
}
