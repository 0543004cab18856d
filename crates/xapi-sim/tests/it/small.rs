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

#[tokio::test]
async fn interfaces_refuse_what_would_cut_them_off() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let pif = pool.read(|db| {
        let pifs = db.refs("PIF").into_iter();
        let mut pifs = pifs.filter(|pif| {
            db.get("PIF", pif, "currently_attached").bool()
                && db.get("PIF", pif, "physical").bool()
                && !db.get("PIF", pif, "management").bool()
                && db.members("PIF", pif, "VLAN_slave_of").is_empty()
        });
        pifs.next().expect("a second interface").to_string()
    });
    let config = |ip: &str, gateway: &str| json!([pif, "Static", ip, "255.255.255.0", gateway, ""]);
    assert_eq!(
        client.fault("PIF.reconfigure_ip", config("x.y", "")).await,
        ["INVALID_IP_ADDRESS_SPECIFIED", "IP"]
    );
    assert_eq!(
        client
            .fault("PIF.reconfigure_ip", config("10.1.1.1", "here"))
            .await,
        ["INVALID_IP_ADDRESS_SPECIFIED", "gateway"]
    );
    client.ok("PIF.reconfigure_ip", config("10.1.1.1", "")).await;
    assert_eq!(
        client.fault("PIF.forget", json!([pif])).await[0],
        "OPERATION_NOT_ALLOWED"
    );
    client.ok("PIF.set_disallow_unplug", json!([pif, true])).await;
    assert_eq!(
        client.fault("PIF.unplug", json!([pif])).await,
        ["PIF_DOES_NOT_ALLOW_UNPLUG", &pif]
    );
    client.ok("PIF.set_disallow_unplug", json!([pif, false])).await;
    client.ok("PIF.unplug", json!([pif])).await;
    client.ok("PIF.forget", json!([pif])).await;
}

#[tokio::test]
async fn only_the_guests_of_a_dead_host_can_be_reset() {
    let pool = crate::client::pool_with(xapi_sim::PoolConfig {
        hosts: 2,
        vms: 20,
        ..Default::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let resident = |host: usize| {
        let host = pool.members()[host].host.clone();
        pool.read(|db| {
            let vms = db.members("host", &host, "resident_VMs").into_iter();
            let vms: (Vec<_>, Vec<_>) = vms.partition(|vm| db.get("VM", vm, "is_control_domain").bool());
            (vms.0[0].clone(), vms.1[0].clone())
        })
    };
    let (control, guest) = resident(0);
    assert_eq!(
        client.fault("VM.power_state_reset", json!([control])).await,
        ["CANNOT_RESET_CONTROL_DOMAIN", &control]
    );
    assert_eq!(
        client.fault("VM.power_state_reset", json!([guest])).await[..2],
        ["DOMAIN_EXISTS", &guest]
    );
    let (_, guest) = resident(1);
    let host = pool.members()[1].host.to_string();
    assert_eq!(
        client.fault("VM.power_state_reset", json!([guest])).await,
        ["HOST_IS_LIVE", &host]
    );
    pool.power_off(1).await.expect("a host");
    client.ok("VM.power_state_reset", json!([guest])).await;
    assert_eq!(client.ok("VM.get_power_state", json!([guest])).await, "Halted");
}
