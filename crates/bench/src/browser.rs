//! The web client's figures: Chromium is driven by end2end/measure.mjs against a real server.

use crate::{
    Setting,
    client::Client,
    process::{PASSWORD, Server, USER},
};
use anyhow::{Context, ensure};
use serde_json::json;
use std::time::Duration;
use xapi_sim::{ChurnKind, PoolConfig, SimPool};

pub async fn measure(setting: &Setting) -> anyhow::Result<()> {
    let end2end =
        std::env::var_os("XO_END2END").context("XO_END2END names the folder of the browser tests")?;
    for vms in if setting.quick {
        vec![300]
    } else {
        vec![300, 10_000]
    } {
        let hosts = (vms / 300).clamp(3, 64);
        let pool = SimPool::start(PoolConfig {
            hosts,
            vms,
            tls: false,
            churn_per_second: 100.0,
            churn_kind: ChurnKind::Mixed,
            ..PoolConfig::default()
        })
        .await?;
        let server = Server::start(&setting.programs, &setting.site, None).await?;
        let mut client = Client::signed_in(&server.address).await?;
        let params = json!({ "host": pool.url(), "username": "root", "password": "password" });
        client.call("server.add", params).await?;
        while client.call("server.getAll", json!({})).await?[0]["status"] != "connected" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(client);
        let status = tokio::process::Command::new("node")
            .arg("measure.mjs")
            .current_dir(&end2end)
            .env("XO_URL", format!("http://{}", server.address))
            .env("XO_USER", USER)
            .env("XO_PASSWORD", PASSWORD)
            .env("XO_VMS", vms.to_string())
            .status()
            .await?;
        ensure!(status.success(), "the measurement in the browser failed");
        server.stop().await?;
        pool.stop().await;
    }
    Ok(())
}
