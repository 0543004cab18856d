use xapi_sim::{PoolConfig, SimPool, contradictions};

#[tokio::test]
async fn the_client_follows_a_new_master() -> anyhow::Result<()> {
    let pool = SimPool::start(PoolConfig {
        hosts: 3,
        vms: 20,
        time_scale: 0.0, // operations take no time
        ..PoolConfig::default()
    })
    .await?;
    // Here your client logs in at pool.url(), as root with the password "password".
    let vm = pool.read(|db| db.refs("VM")[0].clone());
    // Relations follow, and events tell.
    pool.write(|db| db.set("VM", &vm, "name_label", "changed behind the client's back"));
    pool.kill_master().await?;
    pool.change_master(1)?;
    assert_eq!(
        pool.master_url(),
        Some(format!("http://127.0.0.2:{}", pool.addr().port()))
    );
    // What your client should know now: class -> reference -> record.
    let known = pool.read(|db| db.snapshot());
    assert_eq!(
        known["VM"][&*vm]["name_label"],
        "changed behind the client's back"
    );
    // Nothing contradicts itself.
    assert_eq!(pool.read(|db| contradictions(db, true)), [""; 0]);
    pool.stop().await;
    Ok(())
}
