//! Twenty-four hours in the life of five pools, two hundred and forty times as fast: faults of every kind at any
//! time, and every hour everything must be right again.
//!
//! The seed is printed; `SOAK_SEED` plays it again.

#[path = "../soak/callers.rs"]
mod callers;
#[path = "../soak/faults.rs"]
mod faults;
#[path = "../soak/mirror.rs"]
mod mirror;
#[path = "../pool/mod.rs"]
mod pool;
#[allow(dead_code, reason = "each test program uses its part")]
#[path = "../support/mod.rs"]
mod support;
#[path = "../soak/world.rs"]
#[allow(dead_code, reason = "each test program uses its part")]
mod world;

use std::time::Duration;
use world::{Resources, World};

const SCALE: f64 = 240.0;
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_faults() {
    // The server's clock is as fast as the world's: 5 s, 6 s and 300 s. How long it waits for answers is not scaled: that
    // follows from how fast hosts and networks are, and those are the machine's. The soak has those times as they are.
    let pace = [
        "--pool-poll",
        "0.021",
        "--pool-retry",
        "0.025",
        "--pool-silence",
        "1.25",
    ];
    let mut world = World::start(&pace).await;
    world.settle("the start").await;
    world.churn().await;
    world.settle("a quiet hour").await;
    let mut hours = Vec::new();
    for hour in 1..=24 {
        // A fault every minute or so, for some minutes: those of the short test are a sixtieth of that.
        world.faults_at_random(HOUR.div_f64(SCALE), SCALE / 60.0).await;
        world.settle(&format!("hour {hour}")).await;
        hours.push(world.resources().await);
    }
    world.compare_tasks_and_sockets(&hours[0], &hours[23]);
    // Caches are as full as they happen to be: the least of some hours is what is held.
    let used = |hours: &[Resources]| hours.iter().map(|hour| hour.used).min().expect("some hours") as f64;
    let (morning, evening) = (used(&hours[..5]), used(&hours[19..]));
    assert!(
        evening <= morning * 1.1,
        "{morning} bytes in the morning, {evening} in the evening"
    );
    world.stop().await;
}
