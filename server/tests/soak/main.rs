//! Five pools that change a thousand times per second, and everything that the simulator can do to them: the
//! server's inventory is theirs again within ten seconds, and nothing is left behind.
//!
//! The seed is printed; `SOAK_SEED` plays it again.

mod callers;
mod faults;
mod mirror;
#[path = "../pool/mod.rs"]
mod pool;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "each test program uses its part")]
mod world;

use faults::FAULTS;
use std::time::Duration;
use world::World;

#[test]
fn every_fault_is_tried() {
    for trouble in xapi_sim::TROUBLES {
        let tried = FAULTS.iter().any(|fault| fault.begin.0 == trouble.name);
        let no_fault = ["churn", "off", "power-on"].contains(&trouble.name);
        assert!(tried || no_fault, "{}", trouble.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_fault_and_after_many_the_inventory_is_right_and_nothing_leaks() {
    let mut world = World::start(&[]).await;
    world.settle("the start").await;
    world.churn().await;
    world.settle("a quiet hour").await;
    let before = world.resources().await;

    // Each pool has another fault at a time.
    for faults in FAULTS.chunks(world.pools()) {
        let names: Vec<&str> = faults.iter().map(|fault| fault.begin.0).collect();
        world.go_on();
        for (pool, fault) in faults.iter().enumerate() {
            assert!(
                world.begin(pool, fault).await,
                "{} is not to be had",
                fault.begin.0
            );
        }
        world.wait(Duration::from_secs(2)).await;
        world.heal().await;
        world.settle(&names.join(", ")).await;
    }

    // Longer than every time limit of ours.
    world.go_on();
    for (pool, argument) in ["on", "on@0"].into_iter().enumerate() {
        world.hold(pool, "black-hole", argument).await;
    }
    for (pool, (name, argument)) in [("latency", "20000"), ("slow", "5000"), ("latency", "9000@0")]
        .into_iter()
        .enumerate()
    {
        world.hold(2 + pool, name, argument).await;
    }
    world.wait(Duration::from_secs(18)).await;
    world.heal().await;
    world.settle("faults that outlast patience").await;

    world.go_on();
    world.wait(Duration::from_secs(2)).await;
    world.freeze_masters().await;
    world
        .settle("masters that are frozen while others take over")
        .await;
    world.heal().await;
    world.settle("frozen masters that come back").await;
    world.compare_sessions();

    world.faults_at_random(Duration::from_secs(15), 1.0).await;
    world.settle("many faults at random").await;

    // Caches are as full as they happen to be: the least of some times is what is held.
    let mut used = Vec::new();
    for _ in 0..3 {
        world.faults_at_random(Duration::from_secs(5), 1.0).await;
        world.settle("more of them").await;
        let now = world.resources().await;
        world.compare_tasks_and_sockets(&before, &now);
        used.push(now.used);
    }
    let least = used.iter().min().copied().unwrap_or_default();
    assert!(
        least as f64 <= before.used as f64 * 1.1,
        "{} bytes before, {used:?} afterwards",
        before.used
    );
    world.stop().await;
}
