//! What people do with VMs, and the errors that the contract gives them.

use crate::{stage::Stage, support::*};
use serde_json::json;

#[tokio::test]
async fn a_vm_goes_through_its_life() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Running");
    for (method, params, state) in [
        ("vm.pause", json!({ "id": id }), "Paused"),
        ("vm.unpause", json!({ "id": id }), "Running"),
        ("vm.suspend", json!({ "id": id }), "Suspended"),
        ("vm.resume", json!({ "id": id }), "Running"),
        ("vm.restart", json!({ "id": id }), "Running"),
        ("vm.restart", json!({ "id": id, "force": true }), "Running"),
        ("vm.stop", json!({ "id": id }), "Halted"),
        ("vm.start", json!({ "id": id }), "Running"),
        ("vm.stop", json!({ "id": id, "force": true }), "Halted"),
        ("vm.start", json!({ "vm": id }), "Running"),
        ("vm.suspend", json!({ "id": vm }), "Suspended"),
        ("vm.start", json!({ "id": id }), "Running"),
    ] {
        assert_eq!(
            stage.client.ok(method, params).await,
            true,
            "{method} answers true"
        );
        assert_eq!(
            stage.pool.read(|db| db.text("VM", &vm, "power_state")),
            state,
            "after {method}"
        );
        stage.until(&id, "power_state", json!(state)).await;
    }
    let calls = stage.pool.stats();
    for method in [
        "Async.VM.clean_reboot",
        "Async.VM.hard_reboot",
        "Async.VM.clean_shutdown",
        "Async.VM.hard_shutdown",
    ] {
        assert_eq!(calls.calls_of(method), 1, "{method}");
    }
    stage.done().await;
}

#[tokio::test]
async fn a_vm_starts_on_the_host_that_was_chosen() {
    let mut stage = Stage::new().await;
    let hosts: Vec<(String, String)> = stage.pool.read(|db| {
        db.refs("host")
            .iter()
            .map(|host| (host.to_string(), db.text("host", host, "uuid")))
            .collect()
    });
    let (vm, id) = stage.pool.write(|db| {
        // Nothing ties it to one host.
        let vms = db.refs("VM");
        let vm = vms.iter().find(|vm| {
            db.text("VM", vm, "power_state") == "Halted"
                && !db.get("VM", vm, "is_a_template").bool()
                && db.members("VM", vm, "VBDs").iter().all(|vbd| {
                    let sr = db.text("VDI", db.get("VBD", vbd, "VDI").str(), "SR");
                    !db.exists("SR", &sr) || db.get("SR", &sr, "shared").bool()
                })
        });
        let vm = vm.expect("a VM on shared storage").to_string();
        let id = db.text("VM", &vm, "uuid");
        (vm, id)
    });
    for (reference, host) in &hosts {
        stage
            .client
            .ok("vm.start", json!({ "id": id, "host": host }))
            .await;
        assert_eq!(
            stage.pool.read(|db| db.text("VM", &vm, "resident_on")),
            *reference
        );
        stage.until(&id, "$container", json!(host)).await;
        stage
            .client
            .ok("vm.stop", json!({ "id": id, "force": true }))
            .await;
        stage.until(&id, "power_state", json!("Halted")).await;
    }
    let (code, ..) = stage
        .client
        .fails("vm.start", json!({ "id": id, "host": id }))
        .await;
    assert_eq!(code, 1, "a VM is no host");
    stage.done().await;
}

#[tokio::test]
async fn errors_name_objects_as_clients_know_them() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Halted");
    let (code, message, data) = stage.client.fails("vm.stop", json!({ "id": id })).await;
    assert_eq!(
        (code, data["objectId"].as_str()),
        (13, Some(id.as_str())),
        "bad power state: {message} {data}"
    );
    assert_eq!(
        (&data["actual"], &data["expected"]),
        (&json!("halted"), &json!("running")),
        "{data}"
    );
    assert_eq!(message, "VM state is halted but should be running");

    let (code, message, data) = stage.client.fails("vm.start", json!({ "id": "nobody" })).await;
    assert_eq!((code, message.as_str()), (1, "no such VM nobody"));
    assert_eq!(data, json!({ "id": "nobody", "type": "VM" }));
    let host = stage.pool.read(|db| db.text("host", &db.refs("host")[0], "uuid"));
    let (code, ..) = stage.client.fails("vm.start", json!({ "id": host })).await;
    assert_eq!(code, 1, "a host is no VM");

    for (params, property) in [
        (json!({}), ""),
        (json!({ "id": 7 }), "/id"),
        (json!({ "id": "" }), "/id"),
        (json!({ "id": id, "force": "yes" }), "/force"),
        (json!({ "id": id, "nonsense": 1 }), ""),
        (json!([id]), ""),
    ] {
        let shown = params.to_string();
        let (code, _, data) = stage.client.fails("vm.start", params).await;
        let errors = data["errors"].as_array().expect("a list of errors");
        assert_eq!(code, 10, "{shown}");
        assert!(
            errors.iter().any(|error| error["instancePath"] == property),
            "{shown}: {data}"
        );
        assert!(
            errors.iter().all(|error| error["message"].is_string()),
            "{shown}: {data}"
        );
    }
    assert_eq!(stage.pool.read(|db| db.text("VM", &vm, "power_state")), "Halted");
    assert_eq!(
        stage
            .client
            .ok("vm.start", json!({ "id?": id, "unknown?": 1, "force?": false }))
            .await,
        true
    );
    let (code, ..) = stage
        .client
        .fails("vm.stop", json!({ "id": id, "id?": id }))
        .await;
    assert_eq!(code, 10, "both forms of a param");
    stage.done().await;
}

#[tokio::test]
async fn a_blocked_operation_is_refused_unless_it_is_bypassed() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Halted");
    stage
        .client
        .ok(
            "vm.set",
            json!({ "id": id, "blockedOperations": { "start": "frozen until Monday", "destroy": true } }),
        )
        .await;
    stage
        .until(
            &id,
            "blockedOperations",
            json!({ "start": "frozen until Monday", "destroy": "true" }),
        )
        .await;
    let (code, _, data) = stage.client.fails("vm.start", json!({ "id": id })).await;
    assert_eq!(
        (code, &data["reason"]),
        (5, &json!("frozen until Monday")),
        "{data}"
    );
    let (code, _, data) = stage.client.fails("vm.delete", json!({ "id": id })).await;
    assert_eq!((code, &data["operation"]), (5, &json!("destroy")), "{data}");
    stage
        .client
        .ok("vm.start", json!({ "id": id, "force": true }))
        .await;
    stage.until(&id, "power_state", json!("Running")).await;
    let blocked = stage
        .pool
        .read(|db| db.get("VM", &vm, "blocked_operations").text("start").to_owned());
    assert_eq!(blocked, "frozen until Monday", "the operator's block is back");
    stage
        .client
        .ok(
            "vm.set",
            json!({ "id": id, "blockedOperations": { "clean_shutdown": "no", "start": null } }),
        )
        .await;
    stage
        .until(
            &id,
            "blockedOperations",
            json!({ "clean_shutdown": "no", "destroy": "true" }),
        )
        .await;
    let (code, _, data) = stage.client.fails("vm.stop", json!({ "id": id })).await;
    assert_eq!((code, &data["objectId"]), (19, &json!(id)), "{data}");
    stage
        .client
        .ok("vm.stop", json!({ "id": id, "bypassBlockedOperation": true }))
        .await;
    stage
        .client
        .ok("vm.delete", json!({ "id": id, "forceBlockedOperation": true }))
        .await;
    stage
        .client
        .until("it is gone", |objects| !objects.contains_key(&id))
        .await;
    stage.done().await;
}

#[tokio::test]
async fn snapshots_are_taken_reverted_to_and_deleted() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Running");
    let snapshot = stage
        .client
        .ok(
            "vm.snapshot",
            json!({ "id": id, "name": "before", "description": "the upgrade" }),
        )
        .await;
    let snapshot = snapshot.as_str().expect("an id").to_owned();
    stage.until(&snapshot, "type", json!("VM-snapshot")).await;
    stage.until(&snapshot, "$snapshot_of", json!(id)).await;
    stage
        .until(&snapshot, "name_description", json!("the upgrade"))
        .await;
    let shown = &stage.client.objects[&snapshot];
    assert_eq!(
        (&shown["name_label"], &shown["type"]),
        (&json!("before"), &json!("VM-snapshot"))
    );
    assert!(shown["snapshot_time"].is_i64());
    let listed = snapshot.clone();
    let of_vm = id.clone();
    stage
        .client
        .until("the VM lists it", move |objects| {
            objects[&of_vm]["snapshots"]
                .as_array()
                .is_some_and(|list| list.contains(&json!(listed)))
        })
        .await;

    let with_memory = stage
        .client
        .ok("vm.snapshot", json!({ "id": id, "saveMemory": true }))
        .await;
    let with_memory = with_memory.as_str().expect("an id").to_owned();
    stage.until(&with_memory, "power_state", json!("Suspended")).await;

    stage
        .client
        .ok("vm.set", json!({ "id": id, "name_description": "after" }))
        .await;
    stage
        .client
        .ok("vm.revert", json!({ "snapshot": snapshot }))
        .await;
    stage.until(&id, "power_state", json!("Running")).await;
    assert_eq!(stage.pool.read(|db| db.text("VM", &vm, "power_state")), "Running");
    let (code, ..) = stage.client.fails("vm.revert", json!({ "snapshot": id })).await;
    assert_eq!(code, 1, "a VM is no snapshot");
    let (code, ..) = stage.client.fails("vm.start", json!({ "id": snapshot })).await;
    assert_eq!(code, 1, "a snapshot cannot be started");

    let disks = |stage: &Stage, vm: &str| -> Vec<String> {
        stage.pool.read(|db| {
            let vm = db.by_uuid("VM", vm).expect("a VM");
            let vbds = db.members("VM", &vm, "VBDs");
            let disks = vbds.iter().filter(|vbd| db.text("VBD", vbd, "type") == "Disk");
            disks
                .map(|vbd| db.text("VDI", db.get("VBD", vbd, "VDI").str(), "uuid"))
                .collect()
        })
    };
    let of_snapshot = disks(&stage, &snapshot);
    let of_vm = disks(&stage, &id);
    assert!(!of_snapshot.is_empty() && !of_vm.is_empty());
    stage.client.ok("vm.delete", json!({ "id": snapshot })).await;
    stage
        .client
        .until("the snapshot and its disks are gone", |objects| {
            !objects.contains_key(&snapshot) && of_snapshot.iter().all(|disk| !objects.contains_key(disk))
        })
        .await;
    stage.client.ok("vm.delete", json!({ "id": id })).await;
    stage
        .client
        .until("the VM, its other snapshot and its disks are gone", |objects| {
            !objects.contains_key(&id)
                && !objects.contains_key(&with_memory)
                && of_vm.iter().all(|disk| !objects.contains_key(disk))
        })
        .await;
    stage.done().await;
}

#[tokio::test]
async fn default_templates_are_not_deleted_by_mistake() {
    let mut stage = Stage::new().await;
    let template = stage
        .client
        .objects
        .iter()
        .find(|(_, object)| object["isDefaultTemplate"] == true)
        .map(|(id, _)| id.clone())
        .expect("a default template");
    let (code, _, data) = stage.client.fails("vm.delete", json!({ "id": template })).await;
    assert_eq!(
        (code, &data["property"]),
        (25, &json!("isDefaultTemplate")),
        "{data}"
    );
    let (code, ..) = stage.client.fails("vm.start", json!({ "id": template })).await;
    assert_eq!(code, 1);
    stage.done().await;
}

#[tokio::test]
async fn properties_are_set_and_erased() {
    let mut stage = Stage::new().await;
    let (_, id) = guest(&stage.pool, "Halted");
    let host = stage.pool.read(|db| db.text("host", &db.refs("host")[0], "uuid"));
    let sr = stage.pool.read(|db| {
        let srs = db.refs("SR");
        let sr = srs
            .iter()
            .find(|sr| db.get("SR", sr, "shared").bool())
            .expect("a shared SR");
        db.text("SR", sr, "uuid")
    });
    for (param, value, property, shown) in [
        ("name_label", json!("new name"), "name_label", json!("new name")),
        ("name_description", json!(""), "name_description", json!("")),
        ("notes", json!("# hello"), "notes", json!("# hello")),
        ("auto_poweron", json!(true), "auto_poweron", json!(true)),
        (
            "high_availability",
            json!("best-effort"),
            "high_availability",
            json!("best-effort"),
        ),
        ("startDelay", json!(12), "startDelay", json!(12)),
        ("affinityHost", json!(host), "affinityHost", json!(host)),
        ("suspendSr", json!(sr), "suspendSr", json!(sr)),
        ("cpuWeight", json!(512), "cpuWeight", json!(512)),
        ("cpuCap", json!(80), "cpuCap", json!(80)),
        ("cpuMask", json!([0, 1]), "cpuMask", json!([0, 1])),
        ("coresPerSocket", json!(1), "coresPerSocket", json!(1)),
        ("nicType", json!("e1000"), "nicType", json!("e1000")),
        ("viridian", json!(true), "viridian", json!(true)),
        ("secureBoot", json!(true), "secureBoot", json!(true)),
        ("nestedVirt", json!(true), "isNestedVirtEnabled", json!(true)),
        ("hasVendorDevice", json!(true), "hasVendorDevice", json!(true)),
    ] {
        assert_eq!(
            stage.client.ok("vm.set", json!({ "id": id, param: value })).await,
            true
        );
        stage.until(&id, property, shown).await;
    }
    for (param, property) in [
        ("notes", "notes"),
        ("affinityHost", "affinityHost"),
        ("suspendSr", "suspendSr"),
        ("cpuWeight", "cpuWeight"),
        ("cpuCap", "cpuCap"),
        ("nicType", "nicType"),
    ] {
        stage.client.ok("vm.set", json!({ "id": id, param: null })).await;
        stage
            .client
            .until(&format!("{property} is absent"), |objects| {
                objects[&id].get(property).is_none()
            })
            .await;
    }
    let gib = 1_i64 << 30;
    stage
        .client
        .ok("vm.set", json!({ "id": id, "cpusMax": 4, "CPUs": 3 }))
        .await;
    stage.until(&id, "CPUs", json!({ "max": 4, "number": 3 })).await;
    stage
        .client
        .ok("vm.set", json!({ "id": id, "memory": 3 * gib }))
        .await;
    stage
        .client
        .until("the memory is set", |objects| {
            objects[&id]["memory"]["size"] == 3 * gib
        })
        .await;
    let (code, ..) = stage
        .client
        .fails("vm.set", json!({ "id": id, "high_availability": "always" }))
        .await;
    assert_eq!(code, 10);
    let (code, ..) = stage
        .client
        .fails("vm.set", json!({ "id": id, "videoram": 3 }))
        .await;
    assert_eq!(code, 10);
    let (code, ..) = stage
        .client
        .fails("vm.set", json!({ "id": id, "notes": "x".repeat(2049) }))
        .await;
    assert_eq!(code, 10);
    for (param, value) in [
        ("blockedOperations", json!({ "start": { "a": 1 } })),
        ("xenStoreData", json!({ "x": 5 })),
        ("creation", json!({ "date": "today" })),
    ] {
        let (code, _, data) = stage
            .client
            .fails("vm.set", json!({ "id": id, param: value }))
            .await;
        assert_eq!(code, 10, "{param}");
        let path = data["errors"][0]["instancePath"].as_str().expect("a path");
        assert!(path.starts_with(&format!("/{param}")), "{path}");
    }
    stage.done().await;
}

#[tokio::test]
async fn a_change_that_undoes_the_one_before_is_not_lost() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Halted");
    // Each call follows its predecessor before any event can have told of it.
    for round in 0..20 {
        let note = (round % 2 == 0).then_some("odd");
        stage
            .client
            .ok(
                "vm.set",
                json!({ "id": id, "notes": note, "name_description": note.unwrap_or("") }),
            )
            .await;
        let (notes, description) = stage.pool.read(|db| {
            let notes = db.get("VM", &vm, "other_config").text("xo:notes").to_owned();
            (notes, db.text("VM", &vm, "name_description"))
        });
        assert_eq!(
            (notes.as_str(), description.as_str()),
            (note.unwrap_or(""), note.unwrap_or(""))
        );
    }
    stage
        .client
        .ok("vm.set", json!({ "id": id, "nicType": "e1000" }))
        .await;
    stage
        .client
        .ok("vm.set", json!({ "id": id, "coresPerSocket": 1 }))
        .await;
    let platform = stage.pool.read(|db| db.get("VM", &vm, "platform").clone());
    assert_eq!(
        (platform.text("nic_type"), platform.text("cores-per-socket")),
        ("e1000", "1")
    );
    stage
        .client
        .ok(
            "vm.set",
            json!({ "id": id, "blockedOperations": { "start": "no" } }),
        )
        .await;
    stage
        .client
        .ok("vm.start", json!({ "id": id, "force": true }))
        .await;
    stage.done().await;
}

#[tokio::test]
async fn who_may_not_is_told_nothing() {
    let stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Running");
    let mut user = stage.server.plain_user().await;
    for (method, params) in [
        ("vm.stop", json!({ "id": id })),
        ("vm.delete", json!({ "id": id })),
        ("vm.stop", json!({ "id": "nobody" })),
        ("server.getAll", json!({})),
        (
            "server.add",
            json!({ "host": "h", "username": "u", "password": "p" }),
        ),
        ("tag.add", json!({ "id": id, "tag": "x" })),
    ] {
        let (code, message, _) = user.fails(method, params).await;
        assert_eq!(
            (code, message.as_str()),
            (2, "not enough permissions"),
            "{method}"
        );
    }
    assert_eq!(stage.pool.read(|db| db.text("VM", &vm, "power_state")), "Running");
    stage.done().await;
}

#[tokio::test]
async fn a_vm_of_a_lost_pool_says_so() {
    let mut stage = Stage::new().await;
    let (_, id) = guest(&stage.pool, "Running");
    let failures_before = stage.pool.stats().calls_of("Async.VM.pause");
    stage.pool.set_listening(false).await.expect("a closed listener");
    let (code, ..) = stage.client.fails("vm.pause", json!({ "id": id })).await;
    assert!(code == 9 || code == -32000, "{code}");
    assert_eq!(stage.pool.stats().calls_of("Async.VM.pause"), failures_before);
    stage.done().await;
}

#[tokio::test]
async fn a_change_with_one_value_that_cannot_be_changes_nothing() {
    let mut stage = Stage::new().await;
    let (vm, id) = guest(&stage.pool, "Halted");
    for (field, value) in [
        ("vga", json!("none")),
        ("videoram", json!(3)),
        ("virtualizationMode", json!("other")),
        ("CPUs", json!(0)),
        ("memory", json!("much")),
    ] {
        let change = json!({ "id": id, "PV_args": "changed", "name_label": "changed", field: value });
        stage.client.fails("vm.set", change).await;
    }
    let named = stage.pool.read(|db| db.text("VM", &vm, "name_label"));
    let arguments = stage.pool.read(|db| db.text("VM", &vm, "PV_args"));
    assert!(named != "changed" && arguments != "changed");
    stage.done().await;
}
