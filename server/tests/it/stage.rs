//! One server, one pool, one administrator who follows.

use crate::support::*;
use serde_json::Value;
use xapi_sim::SimPool;

pub struct Stage {
    pub server: TestServer,
    pub pool: SimPool,
    pub client: Client,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(pool().await).await
    }

    pub async fn with(pool: SimPool) -> Self {
        let server = TestServer::start().await;
        let mut client = server.admin().await;
        client.add_pool(&pool).await;
        client.follow().await;
        Self { server, pool, client }
    }

    pub async fn until(&mut self, id: &str, property: &str, value: Value) {
        let what = format!("{property} is {value}");
        self.client
            .until(&what, |objects| {
                objects.get(id).is_some_and(|object| object[property] == value)
            })
            .await;
    }

    pub async fn done(self) {
        self.server.stop().await;
        self.pool.stop().await;
    }
}
