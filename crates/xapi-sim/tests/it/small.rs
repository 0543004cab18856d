//! Classes with few rules, and sessions that grow old.

use serde_json::json;
use xapi_sim::{PoolConfig, Value};

use crate::client::{Client, pool, pool_with, vm_in};

#[tokio::test]
async fn a_halted_guest_gets_a_graphics_card_and_one_trusted_platform_module() {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let (vm, running) = (vm_in(&pool, "Halted"), vm_in(&pool, "Running"));
    let (group, model) = pool.read(|db| {
        let pgpus = db.refs("PGPU").into_iter();
        let mut cards = pgpus.filter(|pgpu| !db.get("PGPU", pgpu, "is_system_display_device").bool());
        let card = cards.next().expect("a card");
        let model = db.find("VGPU_type", "model_name", "GRID T4-4Q").expect("a type");
        (db.text("PGPU", &card, "GPU_group"), model.to_string())
    });
    let vgpu = client.ok("VGPU.create", json!([vm, group, "0", {}, model])).await;
    let known = client.ok("VM.get_VGPUs", json!([vm])).await;
    assert!(known.as_array().expect("a set").contains(&vgpu));
    assert_eq!(
        client
            .fault("VGPU.create", json!([running, group, "0", {}, model]))
            .await,
        ["VM_BAD_POWER_STATE", &running, "halted", "running"]
    );
    let left = client
        .ok("GPU_group.get_remaining_capacity", json!([group, model]))
        .await;
    assert_eq!(left, 4);
    for vtpm in client
        .ok("VM.get_VTPMs", json!([vm]))
        .await
        .as_array()
        .expect("a set")
    {
        client.ok("VTPM.destroy", json!([vtpm])).await;
    }
    client.ok("VTPM.create", json!([vm, false])).await;
    assert_eq!(
        client.fault("VTPM.create", json!([vm, false])).await[0],
        "VTPM_MAX_AMOUNT_REACHED"
    );
}

#[tokio::test]
async fn an_appliance_starts_and_stops_its_guests() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Halted");
    let record = json!({ "name_label": "shop", "name_description": "" });
    let appliance = client.ok("VM_appliance.create", json!([record])).await;
    client.ok("VM.set_appliance", json!([vm, appliance])).await;
    client.ok("VM_appliance.start", json!([appliance, false])).await;
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Running");
    client.ok("VM_appliance.hard_shutdown", json!([appliance])).await;
    assert_eq!(client.ok("VM.get_power_state", json!([vm])).await, "Halted");
}

#[tokio::test]
async fn roles_tell_their_permissions() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let role = client.ok("role.get_by_name_label", json!(["vm-operator"])).await[0].clone();
    let allowed = client.ok("role.get_permissions_name_label", json!([role])).await;
    let allowed = allowed.as_array().expect("a set");
    assert!(allowed.contains(&json!("vm.start")) && !allowed.contains(&json!("vm.destroy")));
}

#[tokio::test]
async fn a_session_that_nobody_used_for_a_day_ends() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let session = client.session.clone();
    let active = |pool: &xapi_sim::SimPool| pool.read(|db| db.get("session", &session, "last_active").int());
    let before = active(&pool);
    // Use is noted, though not each time.
    pool.set_clock_skew(3_600);
    client.ok("pool.get_all", json!([])).await;
    assert!(active(&pool) >= before + 3_600);
    pool.set_clock_skew(20 * 3_600);
    client.ok("pool.get_all", json!([])).await;
    pool.set_clock_skew(45 * 3_600);
    let fault = client.fault("pool.get_all", json!([])).await;
    assert_eq!(fault, ["SESSION_INVALID", &client.session]);
    assert_eq!(
        pool.read(|db| db.get("session", &client.session, "uuid").clone()),
        Value::from("")
    );
}
