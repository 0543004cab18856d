//! What takes many minutes: `cargo xtask test --slow`, or `cargo test -p server --test slow`.
//!
//! XO_ROUNDS sets how many times the program is killed (1000), XO_SEED replays a run.

#[allow(dead_code)] // Shared with the ordinary tests.
mod kill;
#[allow(dead_code)]
#[path = "../redis_server/mod.rs"]
mod redis_server;
#[allow(dead_code, unused_imports)]
#[path = "../support/mod.rs"]
mod support;

use redis_server::RedisServer;

fn rounds() -> usize {
    let rounds = std::env::var("XO_ROUNDS").ok();
    rounds.map_or(1000, |rounds| rounds.parse().expect("XO_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_thousand_kills() {
    kill::rounds(rounds(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_thousand_kills_of_server_and_redis() {
    kill::rounds(rounds(), Some(RedisServer::start().await)).await;
}
