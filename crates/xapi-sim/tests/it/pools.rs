//! What happens between pools, and to a pool as a whole: migration, join, eject, high availability.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};
use crate::tls;

async fn pool_of(seed: u64, hosts: usize) -> SimPool {
    pool_with(PoolConfig {
        seed,
        hosts,
        ..PoolConfig::default()
    })
    .await
}

/// A VM's disks and interfaces.
fn belongings(pool: &SimPool, vm: &str) -> (Vec<String>, Vec<String>) {
    pool.read(|db| {
        let disks = db.members("VM", vm, "VBDs").into_iter();
        let disks = disks.filter(|vbd| db.get("VBD", vbd, "type").str() == "Disk");
        let disks = disks.map(|vbd| db.text("VBD", &vbd, "VDI"));
        (disks.collect(), db.members("VM", vm, "VIFs"))
    })
}

fn first(pool: &SimPool, class: &str, field: &str, value: &str) -> String {
    pool.read(|db| db.find(class, field, value).expect(value).to_string())
}

struct Move {
    vm: String,
    uuid: String,
    dest: Json,
    storage: Json,
    networks: Json,
}

/// Everything that a running VM needs to go from one pool to another.
async fn prepared(from: &SimPool, to: &SimPool) -> Move {
    let vm = from.read(|db| {
        let mut all = db.refs("VM").into_iter();
        let fits = |vm: &str| {
            db.get("VM", vm, "power_state").str() == "Running"
                && db.get("VM", vm, "allowed_operations").contains("migrate_send")
                && db.get("VM", vm, "snapshots").set().is_empty()
        };
        all.find(|vm| fits(vm)).expect("a VM that can go").to_string()
    });
    let mut client = Client::login(to).await;
    let host = to.members()[0].host.to_string();
    let network = first(to, "network", "bridge", "xenbr0");
    let dest = client
        .ok("host.migrate_receive", json!([host, network, {}]))
        .await;
    let (disks, vifs) = belongings(from, &vm);
    let sr = first(to, "SR", "type", "nfs");
    let storage = disks.into_iter().map(|vdi| (vdi, json!(sr)));
    let networks = vifs.into_iter().map(|vif| (vif, json!(network)));
    Move {
        uuid: from.read(|db| db.text("VM", &vm, "uuid")),
        vm,
        dest,
        storage: Json::Object(storage.collect()),
        networks: Json::Object(networks.collect()),
    }
}

#[tokio::test]
async fn a_vm_leaves_one_pool_and_appears_in_the_other() {
    let (from, to) = (pool_of(1, 2).await, pool_of(2, 2).await);
    let Move {
        vm,
        uuid,
        dest,
        storage,
        networks,
    } = prepared(&from, &to).await;
    let (disks, _) = belongings(&from, &vm);
    let mut client = Client::login(&from).await;
    client
        .ok(
            "VM.assert_can_migrate",
            json!([vm, dest, true, storage, networks, {}]),
        )
        .await;
    let arrived = client
        .ok("VM.migrate_send", json!([vm, dest, true, storage, networks, {}]))
        .await;
    let arrived = arrived.as_str().expect("a reference");
    assert_ne!(arrived, vm);
    from.read(|db| {
        assert!(!db.exists("VM", &vm) && db.by_uuid("VM", &uuid).is_none());
        assert!(disks.iter().all(|vdi| !db.exists("VDI", vdi)));
    });
    let host = to.members()[0].host.to_string();
    to.read(|db| {
        assert_eq!(db.text("VM", arrived, "uuid"), uuid);
        assert_eq!(db.text("VM", arrived, "power_state"), "Running");
        assert_eq!(db.text("VM", arrived, "resident_on"), host);
        assert!(db.get("VM", arrived, "current_operations").map().is_empty());
        assert!(
            db.get("VM", arrived, "allowed_operations")
                .contains("clean_shutdown")
        );
        assert!(db.exists("VM_guest_metrics", db.get("VM", arrived, "guest_metrics").str()));
    });
    let (moved, vifs) = belongings(&to, arrived);
    assert_eq!(moved.len(), disks.len());
    let sr = first(&to, "SR", "type", "nfs");
    to.read(|db| {
        assert!(moved.iter().all(|vdi| db.text("VDI", vdi, "SR") == sr));
        assert!(
            vifs.iter()
                .all(|vif| db.get("VIF", vif, "currently_attached").bool())
        );
        assert!(db.members("SR", &sr, "VDIs").contains(&moved[0]));
    });
}

#[tokio::test]
async fn a_migration_that_cannot_be_says_why() {
    let (from, to) = (pool_of(1, 2).await, pool_of(2, 2).await);
    let Move {
        vm,
        dest,
        storage,
        networks,
        ..
    } = prepared(&from, &to).await;
    let (disks, vifs) = belongings(&from, &vm);
    let mut client = Client::login(&from).await;
    let nothing = json!({});
    let call = "VM.migrate_send";
    assert_eq!(
        client
            .fault(call, json!([vm, dest, true, nothing, networks, {}]))
            .await,
        ["VDI_NOT_IN_MAP", &disks[0]]
    );
    assert_eq!(
        client
            .fault(call, json!([vm, dest, true, storage, nothing, {}]))
            .await,
        ["VIF_NOT_IN_MAP", &vifs[0]]
    );
    let mut elsewhere = dest.clone();
    elsewhere["master"] = json!("127.0.0.1:1");
    assert_eq!(
        client
            .fault(call, json!([vm, elsewhere, true, storage, networks, {}]))
            .await,
        ["CANNOT_CONTACT_HOST", "127.0.0.1:1"]
    );
    let host = to.members()[0].host.to_string();
    to.write(|db| db.set("host", &host, "enabled", false));
    assert_eq!(
        client
            .fault(call, json!([vm, dest, true, storage, networks, {}]))
            .await,
        ["HOST_DISABLED", &host]
    );
    from.read(|db| assert!(db.get("VM", &vm, "current_operations").map().is_empty()));
}

#[tokio::test]
async fn inside_a_pool_the_vm_stays_and_its_disks_are_new() {
    let pool = pool_of(3, 2).await;
    let Move { vm, .. } = prepared(&pool, &pool).await;
    let (disks, _) = belongings(&pool, &vm);
    let mut client = Client::login(&pool).await;
    let there = pool.read(|db| {
        let own = db.text("VM", &vm, "resident_on");
        let other = db.refs("host").into_iter().find(|host| **host != *own);
        other.expect("a second host").to_string()
    });
    let network = first(&pool, "network", "bridge", "xenbr0");
    let dest = client
        .ok("host.migrate_receive", json!([there, network, {}]))
        .await;
    let local = pool.read(|db| {
        let mut pbds = db.members("host", &there, "PBDs").into_iter();
        let local = pbds.find(|pbd| {
            let sr = db.text("PBD", pbd, "SR");
            db.get("SR", &sr, "name_label").str() == "Local storage"
        });
        db.text("PBD", &local.expect("local storage"), "SR")
    });
    let storage = json!({ disks[0].clone(): local });
    let same = client
        .ok("VM.migrate_send", json!([vm, dest, true, storage, {}, {}]))
        .await;
    assert_eq!(same, vm.as_str());
    let (moved, _) = belongings(&pool, &vm);
    assert_ne!(moved[0], disks[0]);
    pool.read(|db| {
        assert!(!db.exists("VDI", &disks[0]));
        assert_eq!(db.text("VDI", &moved[0], "SR"), local);
        assert_eq!(db.text("VM", &vm, "resident_on"), there);
    });
}

async fn fresh(seed: u64) -> SimPool {
    pool_with(PoolConfig {
        seed,
        fresh: true,
        ..PoolConfig::default()
    })
    .await
}

#[tokio::test]
async fn a_fresh_host_joins_a_pool_and_leaves_it() {
    let (pool, alone) = (pool_of(1, 2).await, fresh(9).await);
    let uuid = alone.read(|db| db.text("host", &db.refs("host")[0], "uuid"));
    let mut client = Client::login(&alone).await;
    let address = pool.addr().to_string();
    client.ok("pool.join", json!([address, "root", "password"])).await;
    let host = pool.read(|db| db.by_uuid("host", &uuid).expect("it is here").to_string());
    pool.read(|db| {
        let pbds = db.members("host", &host, "PBDs");
        let shared = db
            .refs("SR")
            .into_iter()
            .filter(|sr| db.get("SR", sr, "shared").bool());
        for sr in shared {
            let plugged = db.members("SR", &sr, "PBDs").into_iter();
            assert_eq!(
                plugged.filter(|pbd| pbds.contains(pbd)).count(),
                1,
                "one plug per shared SR"
            );
        }
        let control = db.text("host", &host, "control_domain");
        assert_eq!(db.text("VM", &control, "resident_on"), host);
        let networks = db.refs("network").into_iter();
        let management = networks.filter(|network| db.get("network", network, "bridge").str() == "xenbr0");
        assert_eq!(management.count(), 1, "networks are matched by their bridges");
        assert_eq!(db.count("pool"), 1);
    });
    // The joined host answers as a supporter now.
    let error = Client::connect(&alone)
        .await
        .rpc("session.login_with_password", json!(["root", "password"]))
        .await
        .expect_err("a supporter");
    assert_eq!(error["message"], "HOST_IS_SLAVE");
    let mut client = Client::login(&pool).await;
    client.ok("pool.eject", json!([host])).await;
    assert!(pool.read(|db| db.by_uuid("host", &uuid).is_none()));
    Client::login(&alone).await;
}

/// One that had always been in the pool: it begins again with an empty database, where it was.
#[tokio::test]
async fn an_ejected_host_is_a_pool_of_its_own_and_may_come_back() {
    let pool = pool_with(PoolConfig {
        hosts: 3,
        vms: 0,
        tls: true,
        own_certificates: true,
        ..PoolConfig::default()
    })
    .await;
    let (host, address) = {
        let member = &pool.members()[2];
        (member.host.to_string(), member.address.expect("an address"))
    };
    let (mut client, _) = tls::login(&pool).await;
    client.ok("pool.eject", json!([host])).await;
    assert!(pool.read(|db| !db.exists("host", &host)));
    assert!(
        pool.trouble("power-on", "2").await.is_err(),
        "it is not of this pool"
    );
    assert_eq!(pool.active_troubles(), []);
    let (mut alone, _) = tls::login_at(address).await;
    let hosts = alone.ok("host.get_all_records", json!([])).await;
    let hosts = hosts.as_object().expect("a map");
    assert_eq!(hosts.len(), 1);
    assert!(
        hosts
            .values()
            .all(|host| host["address"] == address.ip().to_string())
    );
    assert!(!hosts.contains_key(&host), "a fresh database");
    let vms = alone.ok("VM.get_all_records", json!([])).await;
    let guest = |vm: &Json| vm["is_a_template"] == false && vm["is_control_domain"] == false;
    assert!(!vms.as_object().expect("a map").values().any(guest));
    // It joins again, is ejected again, and stops with the pool that it came from.
    let master = pool.addr().to_string();
    alone.ok("pool.join", json!([master, "root", "password"])).await;
    assert_eq!(pool.read(|db| db.count("host")), 3);
    let again = pool.members()[3].host.to_string();
    client.ok("pool.eject", json!([again])).await;
    tls::login_at(address).await;
    assert_eq!(pool.ejected().len(), 1);
    pool.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn hosts_that_cannot_join_say_why() {
    let (pool, full, alone) = (pool_of(1, 1).await, pool_of(2, 2).await, fresh(9).await);
    let address = pool.addr().to_string();
    let mut client = Client::login(&full).await;
    assert_eq!(
        client
            .fault("pool.join", json!([address, "root", "password"]))
            .await,
        ["JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"]
    );
    let mut client = Client::login(&alone).await;
    assert_eq!(
        client
            .fault("pool.join", json!(["10.9.9.9", "root", "password"]))
            .await,
        ["JOINING_HOST_CONNECTION_FAILED"]
    );
    assert_eq!(
        client.fault("pool.join", json!([address, "root", "wrong"])).await,
        ["JOINING_HOST_SERVICE_FAILED"]
    );
    let mut client = Client::login(&full).await;
    let supporter = full.members()[1].host.to_string();
    let master = full.members()[0].host.to_string();
    assert_eq!(
        client.fault("pool.eject", json!([master])).await[0],
        "OPERATION_NOT_ALLOWED"
    );
    assert_eq!(
        client.fault("host.destroy", json!([supporter])).await[0],
        "HOST_HAS_RESIDENT_VMS"
    );
}

#[tokio::test]
async fn with_high_availability_another_host_takes_over() {
    let pool = pool_of(4, 3).await;
    let mut client = Client::login(&pool).await;
    let sr = first(&pool, "SR", "type", "nfs");
    assert_eq!(
        client.fault("pool.disable_ha", json!([])).await,
        ["HA_NOT_ENABLED"]
    );
    client.ok("pool.enable_ha", json!([[sr], {}])).await;
    assert_eq!(
        client.fault("pool.enable_ha", json!([[sr], {}])).await,
        ["HA_IS_ENABLED"]
    );
    let statefiles = pool.read(|db| db.members("pool", &db.refs("pool")[0], "ha_statefiles"));
    assert_eq!(statefiles.len(), 1);
    let master = pool.members()[0].host.to_string();
    let (kept, lost) = pool.write(|db| {
        let resident = db.members("host", &master, "resident_VMs").into_iter();
        let guests = resident.filter(|vm| !db.get("VM", vm, "is_control_domain").bool());
        let mut guests: Vec<String> = guests.collect();
        guests.retain(|vm| {
            db.members("VM", vm, "VBDs").iter().all(|vbd| {
                let sr = db.text("VDI", db.get("VBD", vbd, "VDI").str(), "SR");
                !db.exists("SR", &sr) || db.get("SR", &sr, "shared").bool()
            })
        });
        db.set("VM", &guests[0], "ha_restart_priority", "restart");
        (guests[0].clone(), guests.get(1).cloned())
    });
    pool.kill_master().await.expect("a master");
    assert!(!pool.members()[0].is_master);
    pool.read(|db| {
        assert_eq!(db.text("VM", &kept, "power_state"), "Running");
        assert_ne!(db.text("VM", &kept, "resident_on"), master);
        if let Some(lost) = &lost {
            assert_eq!(db.text("VM", lost, "power_state"), "Halted");
        }
    });
}
