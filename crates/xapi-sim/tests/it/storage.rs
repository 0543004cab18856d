//! Storage drivers' answers, disks that go back, bonds that change.

use serde_json::json;
use xapi_sim::SimPool;

use crate::client::{Client, pool};

fn host(pool: &SimPool) -> String {
    pool.members()[0].host.to_string()
}

#[tokio::test]
async fn a_probe_lists_the_choices_until_the_question_is_complete() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let host = host(&pool);
    let fault = client
        .fault(
            "SR.probe",
            json!([host, { "target": "10.0.9.6" }, "lvmoiscsi", {}]),
        )
        .await;
    assert_eq!(fault[0], "SR_BACKEND_FAILURE_96");
    assert!(fault[3].contains("<TargetIQN>iqn.2010-06.com.purestorage:flasharray.1</TargetIQN>"));
    let config = json!({ "target": "10.0.9.6", "targetIQN": "iqn.2010-06.com.purestorage:flasharray.1" });
    let fault = client
        .fault("SR.probe", json!([host, config, "lvmoiscsi", {}]))
        .await;
    assert_eq!(fault[0], "SR_BACKEND_FAILURE_107");
    assert!(fault[3].contains("<SCSIid>3624a9370</SCSIid>"));
    let found = client
        .ok("SR.probe_ext", json!([host, config, "lvmoiscsi", {}]))
        .await;
    assert_eq!(found[0]["configuration"]["SCSIid"], "3624a9370");
    assert_eq!(found[0]["complete"], false);
    let config = json!({ "server": "10.0.9.5", "serverpath": "/volume1/vm-store" });
    let list = client.ok("SR.probe", json!([host, config, "nfs", {}])).await;
    let uuid = pool.read(|db| db.text("SR", &db.find("SR", "type", "nfs").expect("an NFS SR"), "uuid"));
    assert!(list.as_str().expect("XML").contains(&uuid));
    assert_eq!(
        client.fault("SR.probe", json!([host, {}, "floppy", {}])).await,
        ["SR_UNKNOWN_DRIVER", "floppy"]
    );
}

#[tokio::test]
async fn a_disk_goes_back_to_its_snapshot_and_stays_itself() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let sr = pool.read(|db| db.find("SR", "type", "nfs").expect("an NFS SR").to_string());
    let record = json!({
        "name_label": "d", "SR": sr, "virtual_size": 4 << 20, "type": "user", "sharable": false,
        "read_only": false, "other_config": {},
    });
    let vdi = client.ok("VDI.create", json!([record])).await;
    let snapshot = client.ok("VDI.snapshot", json!([vdi, {}])).await;
    client.ok("VDI.resize", json!([vdi, 8 << 20])).await;
    client.ok("VDI.revert", json!([snapshot])).await;
    assert_eq!(client.ok("VDI.get_virtual_size", json!([vdi])).await, 4 << 20);
    assert_eq!(
        client.ok("VDI.get_snapshots", json!([vdi])).await,
        json!([snapshot])
    );
    assert_eq!(
        client.fault("VDI.revert", json!([vdi])).await[0],
        "OPERATION_NOT_ALLOWED"
    );
}

#[tokio::test]
async fn a_bond_changes_its_mode_with_its_properties() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let bond = pool.read(|db| db.refs("Bond")[0].to_string());
    client.ok("Bond.set_mode", json!([bond, "lacp"])).await;
    client
        .ok("Bond.set_property", json!([bond, "hashing_algorithm", "src_mac"]))
        .await;
    let record = client.ok("Bond.get_record", json!([bond])).await;
    assert_eq!(record["properties"]["hashing_algorithm"], "src_mac");
    client.ok("Bond.set_mode", json!([bond, "active-backup"])).await;
    let record = client.ok("Bond.get_record", json!([bond])).await;
    assert_eq!(
        (&record["mode"], record["properties"].get("hashing_algorithm")),
        (&json!("active-backup"), None)
    );
}

#[tokio::test]
async fn a_disk_must_fit_its_repository() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let disk = |sr: &str, size: i64| {
        json!([{ "name_label": "d", "name_description": "", "SR": sr, "virtual_size": size, "type": "user",
            "sharable": false, "read_only": false, "other_config": {} }])
    };
    let of_kind = |kind: &str| {
        pool.read(|db| db.find("SR", "type", kind))
            .expect(kind)
            .to_string()
    };
    let udev = of_kind("udev");
    assert_eq!(
        client.fault("VDI.create", disk(&udev, 1 << 20)).await,
        ["SR_OPERATION_NOT_SUPPORTED", &udev]
    );
    let thick = pool.write(|db| {
        let sr = db
            .refs("SR")
            .into_iter()
            .find(|sr| db.get("SR", sr, "type").str().starts_with("lvm"));
        let sr = sr.unwrap_or_else(|| {
            let sr = db.find("SR", "type", "ext").expect("a local repository");
            db.set("SR", &sr, "type", "lvm");
            sr
        });
        db.set("SR", &sr, "physical_size", 100_i64 << 30);
        db.set("SR", &sr, "physical_utilisation", 90_i64 << 30);
        sr.to_string()
    });
    assert_eq!(
        client.fault("VDI.create", disk(&thick, 11 << 30)).await,
        ["SR_BACKEND_FAILURE_44", "", "There is insufficient space", ""]
    );
    assert_eq!(
        client.fault("VDI.create", disk(&thick, 1 << 60)).await[0],
        "SR_BACKEND_FAILURE_79"
    );
    client.ok("VDI.create", disk(&thick, 1 << 30)).await;
}
