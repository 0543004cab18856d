//! The server's figures: inventory, listings, small calls, start, notifications.

use crate::{Setting, client::Client, process::Server};
use anyhow::{Context, ensure};
use serde_json::json;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use xapi_sim::{ChurnKind, PoolConfig, SimPool, Value};

/// A key that carries the moment of a change from the simulator to the clients.
const MARK: &str = "xo-bench";

pub async fn measure(setting: &Setting) -> anyhow::Result<()> {
    if setting.wants("start") {
        start(setting).await?;
    }
    if setting.wants("inventory") {
        println!("server.enable to complete inventory, and listings");
        println!(
            "| VMs | objects | complete | server CPU | memory | peak | getAllObjects, 1 client | 10 clients together |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for &vms in if setting.quick {
            &[100, 1_000][..]
        } else {
            &[100, 1_000, 10_000]
        } {
            inventory(setting, vms).await?;
        }
        println!();
    }
    if setting.wants("calls") {
        calls(setting).await?;
    }
    if [1, 50, 500]
        .iter()
        .any(|clients| setting.wants(&format!("latency-{clients}")))
    {
        println!("XAPI change to `all` notification, ms (XAPI's own batching of 50 ms included)");
        println!("| changes/s | clients | median | p99 | seen of made | server CPU | memory before, after |");
        println!("|---|---|---|---|---|---|---|");
        for &clients in &[1, 50, 500] {
            for &rate in &[10, 100, 1_000] {
                if setting.wants(&format!("latency-{clients}")) {
                    latency(setting, rate, clients).await?;
                }
            }
        }
    }
    if setting.wants("attacks") {
        crate::attacks::measure(setting).await?;
    }
    Ok(())
}

async fn pool(vms: usize) -> anyhow::Result<SimPool> {
    let hosts = (vms / 300).clamp(3, 64);
    SimPool::start(PoolConfig {
        hosts,
        vms,
        tls: false,
        churn_per_second: 0.0,
        churn_kind: ChurnKind::Vm,
        ..PoolConfig::default()
    })
    .await
}

async fn add(client: &mut Client, pool: &SimPool) -> anyhow::Result<String> {
    let params =
        json!({ "host": pool.url(), "username": "root", "password": "password", "autoConnect": false });
    let id = client.call("server.add", params).await?;
    Ok(id.as_str().context("no id")?.to_owned())
}

/// Enables a server and waits until its inventory is complete.
async fn enable(client: &mut Client, id: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    client.call("server.enable", json!({ "id": id })).await?;
    loop {
        let servers = client.call("server.getAll", json!({})).await?;
        if servers
            .as_array()
            .into_iter()
            .flatten()
            .any(|server| server["id"] == *id && server["status"] == "connected")
        {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn start(setting: &Setting) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let server = Server::start(&setting.programs, &setting.site, None).await?;
        Client::signed_in(&server.address).await?;
        times.push((started.elapsed(), server.listening_after));
        server.stop().await?;
    }
    times.sort();
    let (signed_in, listening) = times[times.len() / 2];
    println!(
        "start to first sign-in (empty store, first administrator made): median of 5 {:.0} ms, listening after {:.0} ms\n",
        ms(signed_in),
        ms(listening)
    );
    Ok(())
}

async fn inventory(setting: &Setting, vms: usize) -> anyhow::Result<()> {
    let pool = pool(vms).await?;
    let server = Server::start(&setting.programs, &setting.site, None).await?;
    let mut client = Client::signed_in(&server.address).await?;
    // This client asks, another would be told: its views keep the notifications away.
    client
        .call(
            "view.subscribe",
            json!({ "view": { "scope": "object", "id": "none" } }),
        )
        .await?;
    let id = add(&mut client, &pool).await?;
    let cpu_before = server.cpu()?;
    let complete = enable(&mut client, &id).await?;
    let cpu = server.cpu()? - cpu_before;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (memory, peak) = server.memory()?;
    let mut alone = Vec::new();
    let mut size = 0;
    for _ in 0..5 {
        let started = Instant::now();
        size = client.raw_call("xo.getAllObjects", json!({})).await?.len();
        alone.push(started.elapsed());
    }
    alone.sort();
    let objects = client.call("xo.getAllObjects", json!({})).await?;
    let objects = objects.as_object().context("no objects")?.len();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::signed_in(&server.address).await?);
    }
    let started = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for mut client in clients {
        asked.spawn(async move {
            client
                .raw_call("xo.getAllObjects", json!({}))
                .await
                .map(|answer| answer.len())
        });
    }
    while let Some(answer) = asked.join_next().await {
        ensure!(answer?? > 0, "an empty answer");
    }
    println!(
        "| {vms} | {objects} | {:.2} s | {cpu:.2} s | {memory:.0} MiB | {peak:.0} MiB | {:.0} ms ({:.1} MB) | {:.0} ms |",
        complete.as_secs_f64(),
        ms(alone[alone.len() / 2]),
        size as f64 / 1e6,
        ms(started.elapsed()),
    );
    server.stop().await?;
    pool.stop().await;
    Ok(())
}

async fn calls(setting: &Setting) -> anyhow::Result<()> {
    let server = Server::start(&setting.programs, &setting.site, None).await?;
    let seconds = if setting.quick { 2 } else { 5 };
    for clients in [1, 50] {
        let mut running = tokio::task::JoinSet::new();
        let until = Instant::now() + Duration::from_secs(seconds);
        for _ in 0..clients {
            let mut client = Client::signed_in(&server.address).await?;
            running.spawn(async move {
                let mut made = 0u64;
                while Instant::now() < until {
                    client.raw_call("session.getUser", json!({})).await?;
                    made += 1;
                }
                anyhow::Ok(made)
            });
        }
        let mut made = 0;
        while let Some(client) = running.join_next().await {
            made += client??;
        }
        println!(
            "small calls (session.getUser), {clients} clients one call after another: {:.0}/s",
            made as f64 / seconds as f64
        );
    }
    println!();
    server.stop().await
}

/// Changes VMs of a pool of 10,000 at a rate; each change carries its moment.
async fn latency(setting: &Setting, rate: usize, clients: usize) -> anyhow::Result<()> {
    let vms = if setting.quick { 300 } else { 10_000 };
    let seconds = if setting.quick { 3 } else { 10 };
    let pool = pool(vms).await?;
    let server = Server::start(&setting.programs, &setting.site, None).await?;
    let mut client = Client::signed_in(&server.address).await?;
    let id = add(&mut client, &pool).await?;
    enable(&mut client, &id).await?;
    let references: Vec<xapi_sim::Ref> = pool.read(|db| {
        db.refs("VM")
            .into_iter()
            .filter(|reference| !matches!(db.get("VM", reference, "is_a_template"), Value::Bool(true)))
            .collect()
    });
    let mut connected = Vec::new();
    for _ in 1..clients {
        let mut client = Client::signed_in(&server.address).await?;
        client.call("system.getServerTimezone", json!({})).await?;
        connected.push(client);
    }
    let mut watcher = Client::signed_in(&server.address).await?;
    watcher.call("system.getServerTimezone", json!({})).await?;
    let epoch = Instant::now();
    let until = epoch + Duration::from_secs(seconds) + Duration::from_secs(3);
    // One client looks at what it gets; the others only take it, as fast as they can.
    let mut others = tokio::task::JoinSet::new();
    for mut client in connected {
        others.spawn(async move {
            let mut bytes = 0usize;
            while let Ok(Ok(message)) = tokio::time::timeout_at(until.into(), client.receive()).await {
                bytes += message.len();
            }
            bytes
        });
    }
    let watching = tokio::spawn(async move {
        let (mut latencies, mut seen) = (Vec::new(), HashMap::<String, u64>::new());
        while let Ok(Ok(message)) = tokio::time::timeout_at(until.into(), watcher.receive()).await {
            let now = epoch.elapsed().as_micros() as u64;
            for (vm, stamp) in marks(&message) {
                if seen.insert(vm, stamp) != Some(stamp) {
                    latencies.push(now.saturating_sub(stamp));
                }
            }
        }
        latencies
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (memory_before, _) = server.memory()?;
    let cpu_before = server.cpu()?;
    let mut made = 0usize;
    let changing = Instant::now();
    while changing.elapsed() < Duration::from_secs(seconds) {
        let due = (changing.elapsed().as_secs_f64() * rate as f64) as usize;
        while made < due {
            let reference = &references[made % references.len()];
            let stamp = epoch.elapsed().as_micros();
            pool.write(|db| {
                db.set(
                    "VM",
                    reference,
                    "name_description",
                    Value::from(format!("{MARK}:{stamp}:")),
                )
            });
            made += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let cpu = (server.cpu()? - cpu_before) / seconds as f64;
    let mut latencies = watching.await?;
    while let Some(other) = others.join_next().await {
        ensure!(other? > 0, "a client got nothing");
    }
    let (memory_after, _) = server.memory()?;
    latencies.sort_unstable();
    let at = |part: f64| {
        latencies
            .get((latencies.len() as f64 * part) as usize)
            .map_or(f64::NAN, |&micros| micros as f64 / 1e3)
    };
    println!(
        "| {rate} | {clients} | {:.1} | {:.1} | {} of {made} | {:.0} % of a core | {memory_before:.0}, {memory_after:.0} MiB |",
        at(0.5),
        at(0.99),
        latencies.len(),
        cpu * 100.0,
    );
    server.stop().await?;
    pool.stop().await;
    Ok(())
}

/// VM ids and stamps in an `enter` notification, found without parsing it.
fn marks(message: &[u8]) -> Vec<(String, u64)> {
    let text = String::from_utf8_lossy(message);
    let mut found = Vec::new();
    for (position, _) in text.match_indices(MARK) {
        let rest = &text[position + MARK.len() + 1..];
        let Some(stamp) = rest.split(':').next().and_then(|stamp| stamp.parse().ok()) else {
            continue;
        };
        // The object's id is the last one before the mark.
        let id = text[..position]
            .rfind("\"uuid\":\"")
            .map(|at| text[at + 8..].chars().take(36).collect());
        found.push((id.unwrap_or_default(), stamp));
    }
    found
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
