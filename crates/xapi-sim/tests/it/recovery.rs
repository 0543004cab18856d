//! A disaster: the database of a pool is opened in another one, and its guests come to life there.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};

async fn pool_of(seed: u64) -> SimPool {
    pool_with(PoolConfig {
        seed,
        ..PoolConfig::default()
    })
    .await
}

fn nfs(pool: &SimPool) -> String {
    pool.read(|db| db.find("SR", "type", "nfs").expect("a repository").to_string())
}

/// A halted guest all of whose disks are in that repository.
fn guest_on(pool: &SimPool, sr: &str) -> String {
    pool.write(|db| {
        let vm = db.refs("VM").into_iter().find(|vm| {
            db.text("VM", vm, "power_state") == "Halted"
                && !db.get("VM", vm, "is_a_template").bool()
                && db.members("VM", vm, "snapshots").is_empty()
                && !db.members("VM", vm, "VBDs").is_empty()
        });
        let vm = vm.expect("a halted guest").to_string();
        for vbd in db.members("VM", &vm, "VBDs") {
            let vdi = db.text("VBD", &vbd, "VDI");
            if db.get("VBD", &vbd, "type").str() == "Disk" {
                db.set("VDI", &vdi, "SR", sr);
            }
        }
        vm
    })
}

struct Disaster {
    lost: SimPool,
    here: SimPool,
    client: Client,
    task: Json,
    /// The session that asks the database of the lost pool.
    opened: String,
}

/// A pool keeps its database on storage, is lost, and another one opens it.
async fn disaster() -> Disaster {
    let (lost, here) = (pool_of(21).await, pool_of(22).await);
    let sr = nfs(&lost);
    let vm = guest_on(&lost, &sr);
    let mut client = Client::login(&lost).await;
    let record = json!({ "name_label": "shop", "name_description": "" });
    let appliance = client.ok("VM_appliance.create", json!([record])).await;
    client.ok("VM.set_appliance", json!([vm, appliance])).await;
    client.ok("VM.set_name_label", json!([vm, "till"])).await;
    client
        .ok("SR.assert_supports_database_replication", json!([sr]))
        .await;
    client.ok("SR.enable_database_replication", json!([sr])).await;
    // Twice is once.
    client.ok("SR.enable_database_replication", json!([sr])).await;
    let (uuid, config) = lost.read(|db| {
        let pbd = db.members("SR", &sr, "PBDs").remove(0);
        let config = db.record("PBD", &pbd).expect("a record")["device_config"].clone();
        (db.text("SR", &sr, "uuid"), config)
    });
    lost.stop().await;
    let mut client = Client::login(&here).await;
    let task = client.ok("DR_task.create", json!(["nfs", config, [uuid]])).await;
    let introduced = client.ok("DR_task.get_introduced_SRs", json!([task])).await;
    let vdi = here.read(|db| {
        let sr = introduced[0].as_str().expect("one repository");
        let vdis = db.members("SR", sr, "VDIs").into_iter();
        let mut metadata = vdis.filter(|vdi| db.text("VDI", vdi, "type") == "metadata");
        metadata.next().expect("the database")
    });
    let pool_uuid = client.ok("VDI.read_database_pool_uuid", json!([vdi])).await;
    assert_eq!(
        pool_uuid,
        lost.read(|db| json!(db.text("pool", &db.pool(), "uuid")))
    );
    let opened = client.ok("VDI.open_database", json!([vdi])).await;
    let opened = opened.as_str().expect("a session").to_owned();
    Disaster {
        lost,
        here,
        client,
        task,
        opened,
    }
}

impl Disaster {
    /// A call in the session of the opened database.
    async fn there(&mut self, method: &str, params: Json) -> Result<Json, Json> {
        let mut all = vec![json!(self.opened)];
        all.extend(params.as_array().expect("an array").iter().cloned());
        self.client.rpc(method, json!(all)).await
    }
}

#[tokio::test]
async fn an_appliance_comes_to_life_in_another_pool() {
    let mut disaster = disaster().await;
    let (session, opened) = (disaster.client.session.clone(), disaster.opened.clone());
    let appliance = disaster
        .there("VM_appliance.get_by_name_label", json!(["shop"]))
        .await;
    let appliance = appliance.expect("a list")[0].clone();
    let vm = disaster
        .there("VM_appliance.get_VMs", json!([appliance]))
        .await
        .expect("a list")[0]
        .clone();
    let error = disaster.there("VM.recover", json!([vm, session, false])).await;
    let error = error.expect_err("it belongs to an appliance");
    assert_eq!(
        (&error["message"], &error["data"]),
        (&json!("VM_IS_PART_OF_AN_APPLIANCE"), &json!([vm, appliance]))
    );
    let needed = disaster
        .there(
            "VM_appliance.get_SRs_required_for_recovery",
            json!([appliance, session]),
        )
        .await
        .expect("a list");
    assert_eq!(needed, json!([nfs(&disaster.lost)]));
    disaster
        .there(
            "VM_appliance.assert_can_be_recovered",
            json!([appliance, session]),
        )
        .await
        .expect("its storage is here");
    disaster
        .there("VM_appliance.recover", json!([appliance, session, false]))
        .await
        .expect("it comes");
    let (here, client) = (&disaster.here, &mut disaster.client);
    let found = client.ok("VM.get_by_name_label", json!(["till"])).await[0].clone();
    let record = client.ok("VM.get_record", json!([found])).await;
    assert_eq!(record["power_state"], "Halted");
    let shop = client.ok("VM_appliance.get_by_name_label", json!(["shop"])).await[0].clone();
    assert_eq!(record["appliance"], shop);
    client.ok("VM.start", json!([found, false, false])).await;
    here.read(|db| {
        assert_eq!(
            xapi_sim::consistency::contradictions(db, true),
            Vec::<String>::new()
        );
        for vbd in db.members("VM", found.as_str().expect("a reference"), "VBDs") {
            let is_disk = db.get("VBD", &vbd, "type").str() == "Disk";
            assert!(
                !is_disk || db.exists("VDI", &db.text("VBD", &vbd, "VDI")),
                "the disks came too"
            );
        }
    });
    // What the guests need stays when the disaster is over.
    let task = disaster.task.clone();
    assert_eq!(
        client.fault("DR_task.destroy", json!([task])).await[0],
        "CANNOT_DESTROY_DISASTER_RECOVERY_TASK"
    );
    let mut library = Client::connect(here).await;
    library.session = opened.clone();
    library.ok("session.logout", json!([])).await;
    assert_eq!(
        library.fault("VM.get_all", json!([])).await,
        ["SESSION_INVALID", &opened]
    );
    client.ok("DR_task.destroy", json!([task])).await;
    let srs = client.ok("SR.get_all_records", json!([])).await;
    let kept = srs.as_object().expect("records").values();
    assert!(kept.clone().all(|sr| sr["introduced_by"] == "OpaqueRef:NULL"));
    let uuid = disaster
        .lost
        .read(|db| db.text("SR", &db.find("SR", "type", "nfs").expect("one"), "uuid"));
    assert!(kept.clone().any(|sr| sr["uuid"] == json!(uuid)));
}

#[tokio::test]
async fn a_guest_is_recovered_once_unless_forced() {
    let mut disaster = disaster().await;
    let session = disaster.client.session.clone();
    let vm = disaster
        .there("VM.get_by_name_label", json!(["till"]))
        .await
        .expect("a list")[0]
        .clone();
    disaster
        .there("VM.set_appliance", json!([vm, "OpaqueRef:NULL"]))
        .await
        .expect("it is only a copy");
    disaster
        .there("VM.assert_can_be_recovered", json!([vm, session]))
        .await
        .expect("its storage is here");
    disaster
        .there("VM.recover", json!([vm, session, false]))
        .await
        .expect("it comes");
    let again = disaster.there("VM.recover", json!([vm, session, false])).await;
    let again = again.expect_err("it is here");
    assert_eq!(
        (&again["message"], &again["data"]),
        (
            &json!("VM_TO_IMPORT_IS_NOT_NEWER_VERSION"),
            &json!([vm, "0", "0"])
        )
    );
    disaster
        .there("VM.recover", json!([vm, session, true]))
        .await
        .expect("it is replaced");
    let found = disaster.client.ok("VM.get_by_name_label", json!(["till"])).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let error = disaster
        .there("VM.recover", json!([vm, "OpaqueRef:x", true]))
        .await;
    assert_eq!(error.expect_err("nobody's")["message"], "SESSION_INVALID");
}

#[tokio::test]
async fn what_its_storage_is_not_here_cannot_be_recovered() {
    let mut disaster = disaster().await;
    let session = disaster.client.session.clone();
    let (vm, sr) = disaster.lost.read(|db| {
        let local = db.refs("VDI").into_iter().find_map(|vdi| {
            let sr = db.text("VDI", &vdi, "SR");
            let vbd = db.members("VDI", &vdi, "VBDs").into_iter().next()?;
            let vm = db.text("VBD", &vbd, "VM");
            let disk = db.text("VBD", &vbd, "type") == "Disk";
            (disk && db.text("SR", &sr, "type") != "nfs").then_some((vm, sr))
        });
        local.expect("a guest on other storage")
    });
    let error = disaster
        .there("VM.assert_can_be_recovered", json!([vm, session]))
        .await;
    let error = error.expect_err("its storage is lost");
    assert_eq!(
        (&error["message"], &error["data"][0]),
        (&json!("VM_REQUIRES_SR"), &json!(vm))
    );
    let needed = disaster
        .there("VM.get_SRs_required_for_recovery", json!([vm, session]))
        .await
        .expect("a list");
    assert!(needed.as_array().expect("a set").contains(&json!(sr)));
}

#[tokio::test]
async fn databases_are_opened_where_they_are() {
    let pool = pool_of(23).await;
    let mut client = Client::login(&pool).await;
    let (sr, iso) = pool.read(|db| {
        let iso = db.find("SR", "type", "iso").expect("a repository").to_string();
        (
            db.find("SR", "type", "nfs").expect("a repository").to_string(),
            iso,
        )
    });
    for call in [
        "SR.assert_supports_database_replication",
        "SR.enable_database_replication",
    ] {
        assert_eq!(
            client.fault(call, json!([iso])).await,
            ["SR_OPERATION_NOT_SUPPORTED", &iso]
        );
    }
    client.ok("SR.enable_database_replication", json!([sr])).await;
    let (vdi, disk, this) = pool.read(|db| {
        let disk = db.find("VDI", "type", "user").expect("a disk").to_string();
        let vdi = db.find("VDI", "type", "metadata").expect("the copy").to_string();
        (vdi, disk, db.pool().to_string())
    });
    assert_eq!(
        client.fault("VDI.open_database", json!([vdi])).await,
        ["VDI_CONTAINS_METADATA_OF_THIS_POOL", &vdi, &this]
    );
    assert_eq!(
        client.fault("VDI.open_database", json!([disk])).await,
        ["VDI_INCOMPATIBLE_TYPE", &disk, "user"]
    );
    assert_eq!(client.ok("VDI.read_database_pool_uuid", json!([disk])).await, "");
    client.ok("SR.disable_database_replication", json!([sr])).await;
    assert!(pool.read(|db| db.find("VDI", "type", "metadata").is_none()));
    assert_eq!(
        client
            .fault("SR.disable_database_replication", json!(["x"]))
            .await[0],
        "HANDLE_INVALID"
    );
    assert_eq!(
        client.fault("DR_task.create", json!(["floppy", {}, []])).await,
        ["SR_UNKNOWN_DRIVER", "floppy"]
    );
    assert_eq!(
        client
            .fault("session.create_from_db_file", json!(["/etc/passwd"]))
            .await[0],
        "INTERNAL_ERROR"
    );
    let opened = client
        .ok("session.create_from_db_file", json!(["/var/xapi/state.db"]))
        .await;
    let mut library = Client::connect(&pool).await;
    library.session = opened.as_str().expect("a session").to_owned();
    let count = |all: Json| all.as_array().map(Vec::len);
    let vms = count(client.ok("VM.get_all", json!([])).await);
    assert_eq!(count(library.ok("VM.get_all", json!([])).await), vms);
    // What changes in the copy changes nothing else.
    let vm = library.ok("VM.get_all", json!([])).await[0].clone();
    library.ok("VM.set_name_label", json!([vm, "elsewhere"])).await;
    assert_ne!(client.ok("VM.get_name_label", json!([vm])).await, "elsewhere");
}
