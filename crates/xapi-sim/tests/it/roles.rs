//! Roles: what people may do who are not root.

use serde_json::json;
use xapi_sim::{PoolConfig, SimPool, User};

use crate::client::{Client, pool_with, vm_in};

fn user(name: &str, role: &str) -> User {
    User {
        name: name.to_owned(),
        password: "secret".to_owned(),
        role: role.to_owned(),
    }
}

async fn staffed() -> SimPool {
    pool_with(PoolConfig {
        users: vec![
            user("reader", "read-only"),
            user("operator", "vm-operator"),
            user("nobody", ""),
        ],
        ..PoolConfig::default()
    })
    .await
}

async fn login(pool: &SimPool, name: &str) -> Result<Client, String> {
    let mut client = Client::connect(pool).await;
    let answer = client
        .rpc("session.login_with_password", json!([name, "secret"]))
        .await;
    let session = answer.map_err(|error| error["message"].as_str().unwrap_or("?").to_owned())?;
    client.session = session.as_str().expect("a reference").to_owned();
    Ok(client)
}

#[tokio::test]
async fn a_role_allows_its_calls_and_those_below() {
    let pool = staffed().await;
    let vm = vm_in(&pool, "Halted");
    let mut reader = login(&pool, "reader").await.expect("known");
    reader.ok("VM.get_record", json!([vm])).await;
    let denied = reader.fault("VM.start", json!([vm, false, false])).await;
    assert_eq!(denied[..2], ["RBAC_PERMISSION_DENIED", "vm.start"]);
    assert!(denied[2].contains("vm-operator") && !denied[2].contains("read-only"));
    let denied = reader.fault("Async.VM.start", json!([vm, false, false])).await;
    assert_eq!(denied[0], "RBAC_PERMISSION_DENIED");
    // Generated setters have roles too.
    let denied = reader.fault("VM.set_name_label", json!([vm, "mine"])).await;
    assert_eq!(denied[..2], ["RBAC_PERMISSION_DENIED", "vm.set_name_label"]);
    let mut operator = login(&pool, "operator").await.expect("known");
    operator.ok("VM.start", json!([vm, false, false])).await;
    let denied = operator.fault("VM.destroy", json!([vm])).await;
    assert_eq!(denied[0], "RBAC_PERMISSION_DENIED");
}

#[tokio::test]
async fn who_has_no_role_is_known_but_not_let_in() {
    let pool = staffed().await;
    assert_eq!(
        login(&pool, "nobody").await.err().as_deref(),
        Some("SESSION_AUTHORIZATION_FAILED")
    );
    assert_eq!(
        login(&pool, "stranger").await.err().as_deref(),
        Some("SESSION_AUTHENTICATION_FAILED")
    );
}

#[tokio::test]
async fn a_new_role_counts_at_once() {
    let pool = staffed().await;
    let mut root = Client::login(&pool).await;
    let mut reader = login(&pool, "reader").await.expect("known");
    let subject = reader.ok("session.get_subject", json!([reader.session])).await;
    let role = root.ok("role.get_by_name_label", json!(["vm-admin"])).await[0].clone();
    root.ok("subject.add_to_roles", json!([subject, role])).await;
    let vm = vm_in(&pool, "Halted");
    reader.ok("VM.set_name_label", json!([vm, "mine"])).await;
    root.ok("subject.remove_from_roles", json!([subject, role])).await;
    assert_eq!(
        reader.fault("VM.set_name_label", json!([vm, "yours"])).await[0],
        "RBAC_PERMISSION_DENIED"
    );
}

#[tokio::test]
async fn some_keys_of_a_map_need_another_role() {
    let pool = staffed().await;
    let vm = vm_in(&pool, "Halted");
    let mut operator = login(&pool, "operator").await.expect("known");
    operator
        .ok("VM.add_to_other_config", json!([vm, "folder", "/lab"]))
        .await;
    operator
        .ok(
            "VM.add_to_other_config",
            json!([vm, "XenCenter.CustomFields.owner", "ann"]),
        )
        .await;
    operator
        .ok("VM.remove_from_other_config", json!([vm, "folder"]))
        .await;
    let denied = operator
        .fault("VM.add_to_other_config", json!([vm, "install-repository", "x"]))
        .await;
    assert_eq!(denied[..2], ["RBAC_PERMISSION_DENIED", "vm.add_to_other_config"]);
    let denied = operator
        .fault("VM.add_to_other_config", json!([vm, "pci", "0/0000:00:01.0"]))
        .await;
    assert_eq!(
        denied[..2],
        ["RBAC_PERMISSION_DENIED", "vm.add_to_other_config/key:pci"]
    );
    assert!(
        denied[2].contains("pool-admin") && !denied[2].contains("vm-admin"),
        "{}",
        denied[2]
    );
}

#[tokio::test]
async fn tasks_of_others_are_not_for_everybody() {
    let pool = staffed().await;
    let mut root = Client::login(&pool).await;
    let foreign = root.ok("task.create", json!(["mine", ""])).await;
    let mut operator = login(&pool, "operator").await.expect("known");
    for call in ["cancel", "destroy"] {
        let denied = operator.fault(&format!("task.{call}"), json!([foreign])).await;
        assert_eq!(
            denied[..2],
            ["RBAC_PERMISSION_DENIED".to_owned(), format!("task.{call}/any")]
        );
    }
    let own = operator.ok("task.create", json!(["own", ""])).await;
    // Another session of the same person.
    let mut again = login(&pool, "operator").await.expect("known");
    again.ok("task.destroy", json!([own])).await;
    root.ok("task.destroy", json!([foreign])).await;
}
