//! The hand-written tables of what is allowed: they find what is wrong, and the rules that they brought to light.

use serde_json::json;
use xapi_sim::consistency::contradictions;
use xapi_sim::{SimPool, Value};

use crate::client::{Client, pool, vm_in};

/// What the tables (not the code that computes the lists) find.
fn breaches(pool: &SimPool) -> Vec<String> {
    let mut found = pool.read(|db| contradictions(db, true));
    found.retain(|what| what.contains(", although "));
    found
}

/// Each operation that is listed falsely or lacks in a list is found by the tables.
#[tokio::test]
async fn a_false_list_is_found() {
    let pool = pool().await;
    assert_eq!(breaches(&pool), Vec::<String>::new());
    let device = |class: &str, attached: bool| {
        pool.read(|db| {
            let mut all = db.refs(class).into_iter();
            let found = all.find(|device| {
                let vm = db.text(class, device, "VM");
                db.get(class, device, "currently_attached").bool() == attached
                    && db.get("VM", &vm, "power_state").str() == if attached { "Running" } else { "Halted" }
                    && (class == "VIF" || db.get("VBD", device, "type").str() == "Disk")
            });
            found.expect("a device").to_string()
        })
    };
    let plugged = device("VBD", true);
    let used = pool.read(|db| db.text("VBD", &plugged, "VDI"));
    let (running, halted) = (vm_in(&pool, "Running"), vm_in(&pool, "Halted"));
    for (class, object, added) in [
        ("VM", running.clone(), "start"),
        ("VM", running.clone(), "destroy"),
        ("VM", running.clone(), "call_plugin"),
        ("VM", halted.clone(), "unpause"),
        ("VM", halted.clone(), "provision"),
        ("VBD", device("VBD", false), "plug"),
        ("VBD", device("VBD", true), "eject"),
        ("VIF", device("VIF", false), "unplug"),
        ("VDI", used.clone(), "destroy"),
        ("VDI", used.clone(), "mirror"),
    ] {
        let right = pool.read(|db| db.members(class, &object, "allowed_operations"));
        let wrong: Vec<_> = right.iter().map(String::as_str).chain([added]).collect();
        pool.write(|db| db.set(class, &object, "allowed_operations", Value::set_of(&wrong)));
        let found = breaches(&pool);
        let expected = format!("{class} {object} allows {added}, although ");
        assert!(
            found.iter().any(|what| what.starts_with(&expected)),
            "{expected}: {found:?}"
        );
        pool.write(|db| db.set(class, &object, "allowed_operations", Value::set_of(&right)));
    }
    for (class, object, removed) in [
        ("VM", running.clone(), "hard_shutdown"),
        ("VM", running, "clean_shutdown"),
        ("VM", halted.clone(), "start"),
        ("VM", halted, "snapshot"),
        ("VDI", used, "snapshot"),
    ] {
        let right = pool.read(|db| db.members(class, &object, "allowed_operations"));
        let wrong: Vec<_> = right
            .iter()
            .map(String::as_str)
            .filter(|operation| *operation != removed)
            .collect();
        pool.write(|db| db.set(class, &object, "allowed_operations", Value::set_of(&wrong)));
        let found = breaches(&pool);
        let expected = format!("{class} {object} does not allow {removed}, although ");
        assert!(
            found.iter().any(|what| what.starts_with(&expected)),
            "{expected}: {found:?}"
        );
        pool.write(|db| db.set(class, &object, "allowed_operations", Value::set_of(&right)));
    }
    assert_eq!(breaches(&pool), Vec::<String>::new());
}

#[tokio::test]
async fn only_a_halted_vm_becomes_a_template() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let (running, halted) = (vm_in(&pool, "Running"), vm_in(&pool, "Halted"));
    assert_eq!(
        client.fault("VM.set_is_a_template", json!([running, true])).await,
        ["VM_BAD_POWER_STATE", &running, "halted", "running"]
    );
    client.ok("VM.set_is_a_template", json!([running, false])).await;
    client.ok("VM.set_is_a_template", json!([halted, true])).await;
    client.ok("VM.set_is_a_template", json!([halted, true])).await;
    client.ok("VM.set_is_a_template", json!([halted, false])).await;
    assert_eq!(breaches(&pool), Vec::<String>::new());
}

#[tokio::test]
async fn the_heartbeat_of_high_availability_stays() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    client.ok("pool.enable_ha", json!([[], {}])).await;
    let statefile = pool.read(|db| db.members("pool", &db.pool(), "ha_statefiles")[0].clone());
    let allowed = pool.read(|db| db.members("VDI", &statefile, "allowed_operations"));
    assert!(!allowed.contains(&"destroy".to_owned()), "{allowed:?}");
    assert_eq!(
        client.fault("VDI.destroy", json!([statefile])).await,
        ["HA_IS_ENABLED"]
    );
    assert_eq!(breaches(&pool), Vec::<String>::new());
}

#[tokio::test]
async fn disks_of_unplugged_storage_are_not_resized() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let sr = pool.read(|db| db.find("SR", "type", "nfs").expect("shared storage").to_string());
    let made = client
        .ok(
            "VDI.create",
            json!([{ "name_label": "idle", "SR": sr, "virtual_size": 1 << 30, "type": "user",
                     "sharable": false, "read_only": false, "other_config": {} }]),
        )
        .await;
    let made = made.as_str().expect("a reference");
    let resizes = || pool.read(|db| db.get("VDI", made, "allowed_operations").contains("resize"));
    assert!(resizes());
    let pbds = pool.read(|db| db.members("SR", &sr, "PBDs"));
    pool.write(|db| {
        for vbd in db.refs("VBD") {
            db.set("VBD", &vbd, "currently_attached", false);
        }
    });
    for pbd in &pbds {
        client.ok("PBD.unplug", json!([pbd])).await;
    }
    assert!(!resizes());
    client.ok("PBD.plug", json!([pbds[0]])).await;
    assert!(resizes());
}
