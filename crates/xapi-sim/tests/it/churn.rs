//! Worlds that live by themselves.

use serde_json::json;
use xapi_sim::consistency::contradictions;
use xapi_sim::{ChurnKind, PoolConfig};

use crate::client::{Client, pool_with};

#[tokio::test]
async fn guests_start_and_stop_and_nothing_is_contradictory() {
    let pool = pool_with(PoolConfig {
        churn_kind: ChurnKind::Life,
        churn_per_second: 2000.0,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let mut token = client.events(json!(["message"]), "", 1.0).await.token;
    let mut seen = Vec::new();
    while !["VM_STARTED", "VM_SHUTDOWN"]
        .iter()
        .all(|name| seen.contains(&json!(name)))
    {
        let batch = client.events(json!(["message"]), &token, 10.0).await;
        token = batch.token;
        seen.extend(batch.events.iter().map(|event| event["snapshot"]["name"].clone()));
    }
    pool.set_churn(0.0);
    let found = pool.read(|db| contradictions(db, true));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
