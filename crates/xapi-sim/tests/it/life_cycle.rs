//! What operations do to the world, and what they refuse.

use serde_json::json;
use xapi_sim::PoolConfig;

use crate::client::{Client, pool, pool_with, vm_in};

#[tokio::test]
async fn a_vm_starts_stops_and_says_so() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    client.ok("VM.clean_shutdown", json!([vm])).await;
    let record = client.ok("VM.get_record", json!([vm])).await;
    assert_eq!(record["power_state"], "Halted");
    assert_eq!(
        (&record["resident_on"], &record["domid"]),
        (&json!("OpaqueRef:NULL"), &json!(-1))
    );
    assert_eq!(record["consoles"], json!([]));
    assert_eq!(record["current_operations"], json!({}));
    let refused = client.fault("VM.clean_shutdown", json!([vm])).await;
    assert_eq!(refused, ["VM_BAD_POWER_STATE", &vm, "running", "halted"]);
    client.ok("VM.start", json!([vm, false, false])).await;
    let record = client.ok("VM.get_record", json!([vm])).await;
    assert_eq!(record["power_state"], "Running");
    assert_eq!(record["consoles"].as_array().map(Vec::len), Some(1));
    let host = record["resident_on"].as_str().expect("a host");
    let residents = client.ok("host.get_resident_VMs", json!([host])).await;
    assert!(residents.as_array().expect("set").contains(&json!(vm)));
    let allowed = record["allowed_operations"].as_array().expect("set");
    assert!(allowed.contains(&json!("suspend")) && !allowed.contains(&json!("start")));
    let vbd = record["VBDs"][0].clone();
    assert_eq!(client.ok("VBD.get_currently_attached", json!([vbd])).await, true);
}

#[tokio::test]
async fn suspends_resumes_pauses_reboots_and_migrates() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = pool.write(|db| {
        // On shared storage, so that it can go anywhere.
        let vms = db.refs("VM").into_iter();
        let mut vms = vms.filter(|vm| db.get("VM", vm, "allowed_operations").contains("pool_migrate"));
        let shared = |vm: &str| {
            db.members("VM", vm, "VBDs").iter().all(|vbd| {
                let sr = db.text("VDI", db.get("VBD", vbd, "VDI").str(), "SR");
                !db.exists("SR", &sr) || db.get("SR", &sr, "shared").bool()
            })
        };
        vms.find(|vm| shared(vm)).expect("a VM that can move").to_string()
    });
    client.ok("VM.suspend", json!([vm])).await;
    let image = client.ok("VM.get_suspend_VDI", json!([vm])).await;
    assert_eq!(client.ok("VDI.get_type", json!([image])).await, "suspend");
    client.ok("VM.resume", json!([vm, false, false])).await;
    assert_eq!(
        client.fault("VDI.get_type", json!([image])).await[0],
        "HANDLE_INVALID"
    );
    client.ok("VM.pause", json!([vm])).await;
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Paused");
    client.ok("VM.unpause", json!([vm])).await;
    client.ok("VM.clean_reboot", json!([vm])).await;
    let from = client.ok("VM.get_resident_on", json!([vm])).await;
    let hosts = client.ok("host.get_all", json!([])).await;
    let to = hosts
        .as_array()
        .expect("hosts")
        .iter()
        .find(|host| **host != from)
        .expect("another")
        .clone();
    client
        .ok("VM.pool_migrate", json!([vm, to, {"live": "true"}]))
        .await;
    assert_eq!(client.ok("VM.get_resident_on", json!([vm])).await, to);
}

#[tokio::test]
async fn snapshots_make_trees_and_bring_back_what_was() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let label = client.ok("VM.get_name_label", json!([vm])).await;
    let first = client.ok("VM.snapshot", json!([vm, "first"])).await;
    let second = client.ok("VM.snapshot", json!([vm, "second"])).await;
    let record = client.ok("VM.get_record", json!([second])).await;
    assert_eq!(
        (
            &record["parent"],
            &record["is_a_snapshot"],
            &record["is_a_template"]
        ),
        (&first, &json!(true), &json!(true))
    );
    assert_eq!(client.ok("VM.get_parent", json!([vm])).await, second);
    assert!(
        client
            .ok("VM.get_snapshots", json!([vm]))
            .await
            .as_array()
            .expect("set")
            .contains(&first)
    );
    client.ok("VM.set_name_label", json!([vm, "changed"])).await;
    client.ok("VM.revert", json!([first])).await;
    assert_eq!(client.ok("VM.get_name_label", json!([vm])).await, label);
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Halted");
    assert_eq!(client.ok("VM.get_parent", json!([vm])).await, first);
    assert_eq!(
        client.fault("VM.revert", json!([vm])).await,
        ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"]
    );
    assert_eq!(
        client.fault("VM.start", json!([second, false, false])).await[0],
        "VM_IS_SNAPSHOT"
    );
    let checkpoint = client
        .ok("VM.checkpoint", json!([vm_in(&pool, "Running"), "memory"]))
        .await;
    assert_eq!(
        client.ok("VM.get_power_state", json!([checkpoint])).await,
        "Suspended"
    );
    client.ok("VM.destroy", json!([second])).await;
    assert_eq!(
        client.fault("VM.get_record", json!([second])).await[0],
        "HANDLE_INVALID"
    );
}

#[tokio::test]
async fn a_template_becomes_a_vm_with_disks() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let template = client
        .ok("VM.get_by_name_label", json!(["Debian Bookworm 12"]))
        .await[0]
        .clone();
    assert_eq!(
        client.fault("VM.start", json!([template, false, false])).await[0],
        "VM_IS_TEMPLATE"
    );
    assert_eq!(
        client.fault("VM.destroy", json!([template])).await,
        ["VM_CANNOT_DELETE_DEFAULT_TEMPLATE"]
    );
    let vm = client.ok("VM.clone", json!([template, "fresh"])).await;
    client.ok("VM.provision", json!([vm])).await;
    let record = client.ok("VM.get_record", json!([vm])).await;
    assert_eq!(
        (&record["is_a_template"], &record["name_label"]),
        (&json!(false), &json!("fresh"))
    );
    assert_eq!(record["VBDs"].as_array().map(Vec::len), Some(1));
    client.ok("VM.start", json!([vm, false, false])).await;
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Running");
    assert_eq!(
        client.fault("VM.set_VCPUs_max", json!([vm, 64])).await[0],
        "VM_BAD_POWER_STATE"
    );
    client.ok("VM.hard_shutdown", json!([vm])).await;
    client.ok("VM.set_VCPUs_max", json!([vm, 8])).await;
    client
        .ok(
            "VM.set_memory_limits",
            json!([vm, 1 << 29, 1_i64 << 32, 1_i64 << 31, 1_i64 << 32]),
        )
        .await;
    assert_eq!(
        client.ok("VM.get_memory_dynamic_min", json!([vm])).await,
        1_i64 << 31
    );
    client.ok("VM.destroy", json!([vm])).await;
}

#[tokio::test]
async fn disks_and_interfaces_come_and_go() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let pools = client.ok("pool.get_all_records", json!([])).await;
    let sr = pools
        .as_object()
        .and_then(|pools| pools.values().next())
        .expect("a pool")["default_SR"]
        .clone();
    let vdi = client
        .ok(
            "VDI.create",
            json!([{"name_label": "new", "SR": sr, "virtual_size": 5_000_000, "type": "user",
        "sharable": false, "read_only": false, "other_config": {}}]),
        )
        .await;
    assert_eq!(client.ok("VDI.get_virtual_size", json!([vdi])).await, 6 << 20);
    let vbd = client
        .ok(
            "VBD.create",
            json!([{"VM": vm, "VDI": vdi, "userdevice": "autodetect", "bootable": false,
        "mode": "RW", "type": "Disk", "unpluggable": true, "empty": false, "other_config": {},
        "qos_algorithm_type": "", "qos_algorithm_params": {}}]),
        )
        .await;
    client.ok("VBD.plug", json!([vbd])).await;
    assert_eq!(
        client.fault("VDI.destroy", json!([vdi])).await,
        ["VDI_IN_USE", vdi.as_str().expect("ref"), "destroy"]
    );
    assert_eq!(
        client.fault("VBD.destroy", json!([vbd])).await[0],
        "OPERATION_NOT_ALLOWED"
    );
    assert_eq!(
        client.fault("VBD.plug", json!([vbd])).await[0],
        "DEVICE_ALREADY_ATTACHED"
    );
    client.ok("VBD.unplug", json!([vbd])).await;
    client.ok("VBD.destroy", json!([vbd])).await;
    client.ok("VDI.resize", json!([vdi, 1 << 30])).await;
    client.ok("VDI.destroy", json!([vdi])).await;
    let network = client.ok("network.get_all", json!([])).await[0].clone();
    let vif = client
        .ok(
            "VIF.create",
            json!([{"VM": vm, "network": network, "device": "5", "MAC": "", "MTU": 1500,
        "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}]),
        )
        .await;
    assert_eq!(client.ok("VIF.get_MAC_autogenerated", json!([vif])).await, true);
    client.ok("VIF.plug", json!([vif])).await;
    client.ok("VIF.unplug", json!([vif])).await;
    client.ok("VIF.destroy", json!([vif])).await;
}

#[tokio::test]
async fn asynchronous_calls_leave_a_task_to_read() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let token = client.events(json!(["task"]), "", 0.0).await.token;
    let task = client.ok("Async.VM.snapshot", json!([vm, "later"])).await;
    let mut token = token;
    let record = loop {
        let batch = client.events(json!(["task"]), &token, 10.0).await;
        token = batch.token.clone();
        let mine = batch
            .events
            .iter()
            .find(|event| event["ref"] == task && event["snapshot"]["status"] != "pending");
        if let Some(event) = mine {
            break event["snapshot"].clone();
        }
    };
    assert_eq!(
        (&record["status"], &record["name_label"]),
        (&json!("success"), &json!("Async.VM.snapshot"))
    );
    let result = record["result"].as_str().expect("text");
    assert!(
        result.starts_with("<value>OpaqueRef:") && result.ends_with("</value>"),
        "{result}"
    );
    client.ok("task.destroy", json!([task])).await;
    assert_eq!(
        client.fault("task.get_status", json!([task])).await[0],
        "HANDLE_INVALID"
    );
    assert_eq!(client.fault("Async.VM.get_all", json!([])).await[0], "Fault");
}

#[tokio::test]
async fn a_running_operation_is_seen_and_can_be_cancelled() {
    let slow = PoolConfig {
        batch_ms: 5,
        ..PoolConfig::default()
    };
    let pool = xapi_sim::SimPool::start(PoolConfig {
        time_scale: 20.0,
        ..slow
    })
    .await
    .expect("starts");
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let task = client.ok("Async.VM.clean_shutdown", json!([vm])).await;
    let task_ref = task.as_str().expect("ref");
    let current = client.ok("VM.get_current_operations", json!([vm])).await;
    assert_eq!(current[task_ref], "clean_shutdown");
    // The hard way overtakes the clean one.
    let allowed = client.ok("VM.get_allowed_operations", json!([vm])).await;
    assert!(allowed.as_array().expect("set").contains(&json!("hard_shutdown")));
    assert!(!allowed.as_array().expect("set").contains(&json!("clean_reboot")));
    client.ok("task.cancel", json!([task])).await;
    let mut token = String::new();
    loop {
        let batch = client
            .events(json!([format!("task/{task_ref}")]), &token, 15.0)
            .await;
        token = batch.token.clone();
        if batch
            .events
            .iter()
            .any(|event| event["snapshot"]["status"] == "cancelled")
        {
            break;
        }
    }
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Running");
    assert_eq!(
        client.ok("VM.get_current_operations", json!([vm])).await,
        json!({})
    );
}

#[tokio::test]
async fn hosts_are_emptied_and_disabled() {
    let pool = pool_with(PoolConfig {
        hosts: 3,
        vms: 12,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let hosts = client.ok("host.get_all", json!([])).await;
    let host = hosts[0].clone();
    assert_eq!(
        client.fault("host.reboot", json!([host])).await,
        ["HOST_NOT_DISABLED"]
    );
    client.ok("host.disable", json!([host])).await;
    let vm = vm_in(&pool, "Halted");
    assert_eq!(
        client.fault("VM.start_on", json!([vm, host, false, false])).await[0],
        "HOST_DISABLED"
    );
    client.ok("host.enable", json!([host])).await;
    let time = client.ok("host.get_servertime", json!([host])).await;
    assert!(
        time.as_str()
            .is_some_and(|time| time.ends_with('Z') && time.len() == 18),
        "{time}"
    );
}
