//! Patches, updates, and what is made from the parameters of a call.

use serde_json::json;
use xapi_sim::{PoolConfig, Value};

use crate::client::{Client, pool, pool_with};

#[tokio::test]
async fn an_update_is_introduced_applied_and_read_as_a_patch() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vdi = pool.write(|db| {
        let sr = db.refs("SR")[0].to_string();
        db.create(
            "VDI",
            [("name_label", Value::from("XS-9")), ("SR", Value::from(sr))],
        )
        .to_string()
    });
    let update = client.ok("pool_update.introduce", json!([vdi])).await;
    let uuid = client.ok("pool_update.get_uuid", json!([update])).await;
    assert_eq!(
        client.fault("pool_update.introduce", json!([vdi])).await,
        ["UPDATE_ALREADY_EXISTS", uuid.as_str().expect("text")]
    );
    let patch = pool.write(|db| {
        let update = Value::from(update.as_str().expect("a reference"));
        db.set(
            "pool_update",
            update.str(),
            "after_apply_guidance",
            Value::set_of(["restartHost"]),
        );
        db.create(
            "pool_patch",
            [("name_label", Value::from("XS-9")), ("pool_update", update)],
        )
        .to_string()
    });
    let hosts = client.ok("host.get_all", json!([])).await;
    let (first, second) = (hosts[0].clone(), hosts[1].clone());
    assert_eq!(
        client.ok("pool_update.precheck", json!([update, first])).await,
        "ok"
    );
    client.ok("pool_update.apply", json!([update, first])).await;
    let reference = update.as_str().expect("a reference");
    assert_eq!(
        client.fault("pool_update.apply", json!([update, first])).await,
        ["UPDATE_ALREADY_APPLIED", reference]
    );
    assert_eq!(
        client.ok("pool_update.get_hosts", json!([update])).await,
        json!([first])
    );
    assert_eq!(
        client
            .ok("host.get_updates", json!([first]))
            .await
            .as_array()
            .map(|all| all.contains(&update)),
        Some(true)
    );
    assert_eq!(
        client
            .ok("host.get_updates_requiring_reboot", json!([first]))
            .await,
        json!([update])
    );
    assert_eq!(
        client.ok("pool_patch.get_pool_applied", json!([patch])).await,
        false
    );
    assert_eq!(
        client.fault("pool_patch.apply", json!([patch, first])).await,
        ["PATCH_ALREADY_APPLIED", &patch]
    );
    client.ok("pool_patch.pool_apply", json!([patch])).await;
    assert_eq!(
        client.ok("pool_patch.get_pool_applied", json!([patch])).await,
        true
    );
    assert_eq!(
        client.ok("pool_update.get_hosts", json!([update])).await,
        json!([first, second])
    );
    assert_eq!(
        client.fault("pool_update.pool_apply", json!([update])).await,
        ["UPDATE_ALREADY_APPLIED_IN_POOL", reference]
    );
    assert_eq!(
        client.fault("pool_update.destroy", json!([update])).await,
        ["UPDATE_IS_APPLIED"]
    );
    assert_eq!(
        client.fault("pool_patch.destroy", json!([patch])).await,
        ["PATCH_IS_APPLIED"]
    );
    let records = client.ok("pool_patch.get_host_patches", json!([patch])).await;
    assert_eq!(
        client.fault("host_patch.destroy", json!([records[0]])).await,
        ["PATCH_IS_APPLIED"]
    );
    // A restart is what it asked for.
    client.ok("host.disable", json!([second])).await;
    pool.write(|db| {
        let second = second.as_str().expect("a reference");
        for vm in db.members("host", second, "resident_VMs") {
            if !db.get("VM", &vm, "is_control_domain").bool() {
                db.update(
                    "VM",
                    &vm,
                    [
                        ("resident_on", Value::null()),
                        ("power_state", Value::from("Halted")),
                    ],
                );
            }
        }
    });
    client.ok("host.reboot", json!([second])).await;
    assert_eq!(
        client
            .ok("host.get_updates_requiring_reboot", json!([second]))
            .await,
        json!([])
    );
}

#[tokio::test]
async fn a_patch_without_records_can_go() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let patch = pool.write(|db| {
        db.create("pool_patch", [("name_label", Value::from("new"))])
            .to_string()
    });
    client.ok("pool_patch.destroy", json!([patch])).await;
    assert_eq!(
        client.fault("pool_patch.destroy", json!([patch])).await,
        ["HANDLE_INVALID", "pool_patch", &patch]
    );
}

#[tokio::test]
async fn a_cluster_grows_and_shrinks() {
    let pool = pool_with(PoolConfig {
        hosts: 3,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let network = pool.write(|db| {
        let pifs = db
            .refs("PIF")
            .into_iter()
            .filter(|pif| db.get("PIF", pif, "management").bool());
        let pifs: Vec<_> = pifs.collect();
        for pif in &pifs {
            db.set("PIF", pif, "disallow_unplug", true);
        }
        db.text("PIF", &pifs[0], "network")
    });
    assert_eq!(
        client
            .fault("Cluster.pool_create", json!([network, "raft"]))
            .await,
        ["INVALID_CLUSTER_STACK", "raft"]
    );
    let cluster = client
        .ok("Cluster.pool_create", json!([network, "corosync"]))
        .await;
    let record = client.ok("Cluster.get_record", json!([cluster])).await;
    assert_eq!(
        (&record["live_hosts"], &record["quorum"], &record["is_quorate"]),
        (&json!(3), &json!(2), &json!(true))
    );
    assert_eq!(client.ok("Cluster.get_network", json!([cluster])).await, network);
    assert_eq!(
        client
            .fault(
                "Cluster.create",
                json!([record["cluster_hosts"][0], "corosync", true])
            )
            .await[0],
        "HANDLE_INVALID"
    );
    assert_eq!(
        client.fault("Cluster.destroy", json!([cluster])).await,
        ["CLUSTER_DOES_NOT_HAVE_ONE_NODE", "3"]
    );
    for member in record["cluster_hosts"].as_array().expect("hosts").iter().take(2) {
        client.ok("Cluster_host.disable", json!([member])).await;
    }
    assert_eq!(client.ok("Cluster.get_is_quorate", json!([cluster])).await, false);
    client.ok("Cluster.pool_destroy", json!([cluster])).await;
    assert_eq!(
        pool.read(|db| (db.count("Cluster"), db.count("Cluster_host"))),
        (0, 0)
    );
}

#[tokio::test]
async fn removed_and_internal_calls_say_so() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = client.ok("host.get_all", json!([])).await[0].clone();
    assert_eq!(
        client.fault("host.reset_cpu_features", json!([host])).await,
        ["MESSAGE_REMOVED"]
    );
    assert_eq!(
        client.fault("host.local_assert_healthy", json!([])).await,
        [
            "INTERNAL_ERROR",
            "Internal API call attempted with non-pool (external) session"
        ]
    );
}

#[tokio::test]
async fn plugins_are_missing_and_measurements_have_names() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = client.ok("host.get_all", json!([])).await[0].clone();
    assert_eq!(
        client
            .fault("host.call_plugin", json!([host, "updater", "check", {}]))
            .await,
        ["XENAPI_MISSING_PLUGIN", "updater"]
    );
    let vm = crate::client::vm_in(&pool, "Running");
    assert_eq!(
        client
            .fault("VM.call_plugin", json!([vm, "guest", "run", {}]))
            .await,
        ["XENAPI_MISSING_PLUGIN", "guest"]
    );
    let sources = client.ok("VM.get_data_sources", json!([vm])).await;
    let names: Vec<&str> = sources
        .as_array()
        .expect("records")
        .iter()
        .filter_map(|source| source["name_label"].as_str())
        .collect();
    assert!(
        names.contains(&"cpu_usage") && names.contains(&"memory"),
        "{names:?}"
    );
    assert!(
        client
            .ok("VM.query_data_source", json!([vm, "cpu_usage"]))
            .await
            .as_f64()
            .is_some_and(|share| share < 1.0)
    );
    assert_eq!(
        client.fault("VM.query_data_source", json!([vm, "luck"])).await[0],
        "INTERNAL_ERROR"
    );
    let halted = crate::client::vm_in(&pool, "Halted");
    assert_eq!(
        client
            .fault("VM.query_data_source", json!([halted, "cpu_usage"]))
            .await,
        ["VM_BAD_POWER_STATE", &halted, "running", "halted"]
    );
}

#[tokio::test]
async fn the_master_gives_sessions_of_its_own_too() {
    let pool = pool().await;
    let mut client = Client::connect(&pool).await;
    let session = client
        .rpc(
            "session.slave_local_login_with_password",
            json!(["root", "password"]),
        )
        .await
        .expect("logs in");
    let refused = client
        .rpc("pool.get_all", json!([session]))
        .await
        .expect_err("known to this host alone");
    assert_eq!(refused["message"], "SESSION_INVALID");
    client
        .rpc("session.local_logout", json!([session]))
        .await
        .expect("logs out");
    let refused = client
        .rpc("session.slave_login", json!(["OpaqueRef:NULL", "guess"]))
        .await
        .expect_err("a secret");
    assert_eq!(refused["message"], "SESSION_AUTHENTICATION_FAILED");
}
