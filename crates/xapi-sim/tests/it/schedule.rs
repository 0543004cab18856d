//! Schedules of snapshots.

use serde_json::json;

use crate::client::{Client, pool, vm_in};

#[tokio::test]
async fn a_schedule_keeps_as_many_snapshots_as_it_may() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let (vm, blocked) = (vm_in(&pool, "Halted"), vm_in(&pool, "Running"));
    let record = |kept: i64| {
        json!({ "name_label": "nightly", "name_description": "", "enabled": true, "type": "snapshot",
            "retained_snapshots": kept, "frequency": "daily", "schedule": { "hour": "1", "min": "0" } })
    };
    assert_eq!(
        client.fault("VMSS.create", json!([record(11)])).await,
        ["INVALID_VALUE", "retained_snapshots", "11"]
    );
    let schedule = client.ok("VMSS.create", json!([record(3)])).await;
    assert_eq!(
        client
            .fault("VMSS.set_retained_snapshots", json!([schedule, 0]))
            .await,
        ["INVALID_VALUE", "retained_snapshots", "0"]
    );
    client
        .ok("VMSS.set_retained_snapshots", json!([schedule, 2]))
        .await;
    for vm in [&vm, &blocked] {
        client.ok("VM.set_snapshot_schedule", json!([vm, schedule])).await;
    }
    client
        .ok("VM.add_to_blocked_operations", json!([blocked, "snapshot", "no"]))
        .await;
    let own = client.ok("VM.snapshot", json!([vm, "by hand"])).await;
    let before = client.ok("VM.get_snapshots", json!([vm])).await;
    let before = before.as_array().expect("a set").len();
    for _ in 0..3 {
        client.ok("VMSS.snapshot_now", json!([schedule])).await;
    }
    let snapshots = client.ok("VM.get_snapshots", json!([vm])).await;
    let snapshots = snapshots.as_array().expect("a set");
    assert_eq!(snapshots.len(), before + 2);
    assert!(snapshots.contains(&own), "what people make stays");
    let newest = client.ok("VM.get_record", json!([snapshots.last()])).await;
    assert_eq!(newest["is_vmss_snapshot"], true);
    assert!(
        newest["name_label"]
            .as_str()
            .expect("text")
            .starts_with("nightly-")
    );
    assert_ne!(
        client.ok("VMSS.get_last_run_time", json!([schedule])).await,
        "19700101T00:00:00Z"
    );
    let told = |name: &str| {
        pool.read(|db| {
            let all = db.refs("message").into_iter();
            all.filter(|message| db.text("message", message, "name") == name)
                .count()
        })
    };
    assert_eq!(
        (told("VMSS_SNAPSHOT_SUCCEEDED"), told("VMSS_SNAPSHOT_FAILED")),
        (3, 3)
    );
    assert_eq!(
        client.fault("VMSS.destroy", json!([schedule])).await,
        ["VMSS_HAS_VM"]
    );
    assert_eq!(
        client.fault("VMSS.snapshot_now", json!(["x"])).await,
        ["HANDLE_INVALID", "VMSS", "x"]
    );
    for vm in [&vm, &blocked] {
        client
            .ok("VM.set_snapshot_schedule", json!([vm, "OpaqueRef:NULL"]))
            .await;
    }
    client.ok("VMSS.destroy", json!([schedule])).await;
}
