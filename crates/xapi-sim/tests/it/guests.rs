//! Rare things that guests go through.

use serde_json::json;
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool, pool_with, vm_in};

/// A running guest by what its tools say of its system.
fn running(pool: &SimPool, windows: bool) -> String {
    pool.read(|db| {
        let fits = |vm: &str| {
            let metrics = db.text("VM", vm, "guest_metrics");
            let system = db
                .get("VM_guest_metrics", &metrics, "os_version")
                .text("name")
                .to_lowercase();
            db.get("VM", vm, "power_state").str() == "Running"
                && db.get("VM", vm, "allowed_operations").contains("suspend")
                && !system.is_empty()
                && system.contains("windows") == windows
        };
        let found = db.refs("VM").into_iter().find(|vm| fits(vm));
        found.expect("a guest of that kind").to_string()
    })
}

async fn larger() -> SimPool {
    pool_with(PoolConfig {
        vms: 60,
        ..PoolConfig::default()
    })
    .await
}

#[tokio::test]
async fn a_suspended_guest_is_copied_with_its_memory() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    assert_eq!(
        client.fault("VM.csvm", json!([vm])).await,
        ["VM_BAD_POWER_STATE", &vm, "suspended", "running"]
    );
    client.ok("VM.suspend", json!([vm])).await;
    let copy = client.ok("VM.csvm", json!([vm])).await;
    let (copy, original) = (
        client.ok("VM.get_record", json!([copy])).await,
        client.ok("VM.get_record", json!([vm])).await,
    );
    assert_eq!(copy["power_state"], "Suspended");
    assert_eq!(copy["name_label"], original["name_label"]);
    assert_ne!(copy["suspend_VDI"], original["suspend_VDI"]);
    pool.read(|db| {
        assert_eq!(
            xapi_sim::consistency::contradictions(db, true),
            Vec::<String>::new()
        );
    });
}

#[tokio::test]
async fn a_guest_sleeps_and_wakes_when_it_can() {
    let pool = larger().await;
    let mut client = Client::login(&pool).await;
    let (vm, halted) = (running(&pool, true), vm_in(&pool, "Halted"));
    for call in ["VM.s3_suspend", "VM.s3_resume"] {
        client.ok(call, json!([vm])).await;
        assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Running");
        assert_eq!(
            client.fault(call, json!([halted])).await,
            ["VM_BAD_POWER_STATE", &halted, "running", "halted"]
        );
    }
}

#[tokio::test]
async fn windows_prepares_itself_and_starts_again() {
    let pool = larger().await;
    let mut client = Client::login(&pool).await;
    let (windows, linux) = (running(&pool, true), running(&pool, false));
    let halted = vm_in(&pool, "Halted");
    let answers = "<unattend/>";
    assert_eq!(
        client.fault("VM.sysprep", json!([halted, answers, 300.0])).await,
        ["VM_BAD_POWER_STATE", &halted, "running", "halted"]
    );
    for params in [
        json!([linux, answers, 300.0]),
        json!([windows, " ", 300.0]),
        json!([windows, answers, 1.0]),
    ] {
        let fault = client.fault("VM.sysprep", params.clone()).await;
        assert_eq!((&*fault[0], Some(&*fault[1])), ("SYSPREP", params[0].as_str()));
    }
    let domain = client.ok("VM.get_domid", json!([windows])).await;
    client.ok("VM.sysprep", json!([windows, answers, 300.0])).await;
    assert_ne!(client.ok("VM.get_domid", json!([windows])).await, domain);
    assert_eq!(client.ok("VM.get_power_state", json!([windows])).await, "Running");
}

#[tokio::test]
async fn what_older_releases_did_still_answers() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let (vm, snapshot) = (vm_in(&pool, "Running"), vm_in(&pool, "Halted"));
    let about = |vm: &str| json!([vm, snapshot, "20240131T12:34:56Z", "transported"]);
    assert_eq!(
        client.fault("VM.update_snapshot_metadata", about(&vm)).await,
        ["VM_BAD_POWER_STATE", &vm, "halted", "running"]
    );
    let params = json!([snapshot, vm, "20240131T12:34:56Z", "transported"]);
    client.ok("VM.update_snapshot_metadata", params).await;
    let record = client.ok("VM.get_record", json!([snapshot])).await;
    assert_eq!(record["snapshot_of"], json!(vm));
    assert_eq!(record["transportable_snapshot_id"], "transported");
    let snapshots = client.ok("VM.get_snapshots", json!([vm])).await;
    assert!(snapshots.as_array().expect("a set").contains(&json!(snapshot)));
    pool.read(|db| {
        assert_eq!(
            xapi_sim::consistency::contradictions(db, true),
            Vec::<String>::new()
        );
    });
    let host = pool.members()[0].host.to_string();
    client.ok("VM.pool_migrate_complete", json!([vm, host])).await;
    assert_eq!(
        client
            .fault("VM.pool_migrate_complete", json!([vm, "OpaqueRef:x"]))
            .await,
        ["HANDLE_INVALID", "host", "OpaqueRef:x"]
    );
    let make = json!([host, {}, 0, "", "", "nfs", "", {}]);
    assert_eq!(client.fault("SR.make", make).await, ["MESSAGE_DEPRECATED"]);
    let sr = pool.read(|db| db.find("SR", "type", "nfs").expect("a repository").to_string());
    let convert = |sr: &str| json!(["vmware", "root", "x", sr, {}]);
    assert_eq!(
        client.fault("VM.import_convert", convert(&sr)).await,
        ["XENAPI_MISSING_PLUGIN", "conversion"]
    );
    assert_eq!(
        client.fault("VM.import_convert", convert("x")).await[0],
        "HANDLE_INVALID"
    );
}

#[tokio::test]
async fn block_storage_grows_as_it_is_written_when_it_is_told_to() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = pool.members()[0].host.to_string();
    let (nfs, lvm) = pool.write(|db| {
        let nfs = db.find("SR", "type", "nfs").expect("a repository").to_string();
        let lvm = db.create("SR", [("type", xapi_sim::Value::from("lvmohba"))]);
        (nfs, lvm.to_string())
    });
    let params = |sr: &str, quantum: i64| json!([host, sr, 1 << 30, quantum]);
    assert_eq!(
        client
            .fault("LVHD.enable_thin_provisioning", params(&nfs, 1 << 20))
            .await,
        ["SR_OPERATION_NOT_SUPPORTED", &nfs]
    );
    assert_eq!(
        client
            .fault("LVHD.enable_thin_provisioning", params(&lvm, 0))
            .await,
        ["INVALID_VALUE", "allocation_quantum", "0"]
    );
    client
        .ok("LVHD.enable_thin_provisioning", params(&lvm, 1 << 20))
        .await;
    let config = client.ok("SR.get_sm_config", json!([lvm])).await;
    assert_eq!(config["allocation"], "xlvhd");
    assert_eq!(config["allocation_quantum"], "1048576");
}

#[tokio::test]
async fn a_disk_is_torn_from_a_running_guest() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = running(&pool, false);
    let vbd = pool.read(|db| {
        let vbds = db.members("VM", &vm, "VBDs").into_iter();
        let mut disks = vbds.filter(|vbd| db.get("VBD", vbd, "type").str() == "Disk");
        disks.next().expect("a disk")
    });
    client.ok("VBD.unplug_force_no_safety_check", json!([vbd])).await;
    assert_eq!(client.ok("VBD.get_currently_attached", json!([vbd])).await, false);
    assert_eq!(
        client
            .fault("VBD.unplug_force_no_safety_check", json!([vbd]))
            .await,
        ["DEVICE_ALREADY_DETACHED", &vbd]
    );
}
