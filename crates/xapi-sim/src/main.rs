//! The `xapi-sim` program: some simulated pools on consecutive ports, until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use xapi_sim::{ChurnKind, PoolConfig, SimPool};

/// Simulated XenServer/XCP-ng pools that speak the real XAPI protocol.
///
/// Prints one line per pool: its URL. Log in as root / password. The same seed makes the same world.
#[derive(Parser)]
#[command(
    version,
    after_help = "EXAMPLES
  xapi-sim                                   one small pool on http://127.0.0.1:8443
  xapi-sim --tls --listen 0.0.0.0:8443       the same over HTTPS, for other machines
  xapi-sim --pools 3 --vms 200 --churn 20    three lively pools on ports 8443, 8444, 8445
  xapi-sim --vms 10000 --hosts 32 --churn 1000 --churn-kind vm --time-scale 0    a benchmark
  xapi-sim --xml-only                        an old host without JSON-RPC

Point a client at the URL, for example:
  curl -s http://127.0.0.1:8443/jsonrpc -d '{\"jsonrpc\":\"2.0\",\"id\":1,
    \"method\":\"session.login_with_password\",\"params\":[\"root\",\"password\"]}'"
)]
struct Arguments {
    /// Address and first port; port 0 takes free ones
    #[arg(long, default_value = "127.0.0.1:8443", env = "XAPI_SIM_LISTEN")]
    listen: SocketAddr,
    /// Number of pools, on consecutive ports
    #[arg(long, default_value_t = 1)]
    pools: u16,
    /// Hosts per pool
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// Virtual machines per pool
    #[arg(long, default_value_t = 50)]
    vms: usize,
    /// Seed of the first pool; the next pools count on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes per second and pool that the world makes by itself
    #[arg(long, default_value_t = 1.0)]
    churn: f64,
    /// What changes: metrics only, exactly N VM records, or a mix
    #[arg(long, value_enum, default_value = "mixed")]
    churn_kind: Kind,
    /// HTTPS with a self-signed certificate
    #[arg(long, overrides_with = "no_tls")]
    tls: bool,
    /// Plain HTTP (the default)
    #[arg(long)]
    no_tls: bool,
    /// Old hosts: no /jsonrpc
    #[arg(long)]
    xml_only: bool,
    /// Duration of operations: 1 = realistic seconds, 0 = immediate
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Password of root
    #[arg(long, default_value = "password")]
    password: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Metrics,
    Vm,
    Mixed,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let mut pools = Vec::new();
    for at in 0..arguments.pools.max(1) {
        let pool = SimPool::start(config(&arguments, at)?).await?;
        let mut out = std::io::stdout().lock();
        match pool.fingerprint_sha256() {
            Some(print) => writeln!(out, "{} {} sha256={print}", pool.config().name, pool.url())?,
            None => writeln!(out, "{} {}", pool.config().name, pool.url())?,
        }
        out.flush()?;
        pools.push(pool);
    }
    wait_for_the_end().await?;
    for pool in &pools {
        pool.stop().await;
    }
    Ok(())
}

fn config(arguments: &Arguments, at: u16) -> anyhow::Result<PoolConfig> {
    let mut listen = arguments.listen;
    if listen.port() != 0 {
        listen.set_port(
            listen
                .port()
                .checked_add(at)
                .context("no port left for so many pools")?,
        );
    }
    let city = ["Paris", "Lyon", "Frankfurt", "Amsterdam", "Lab", "Edge"][usize::from(at) % 6];
    let name = if at < 6 {
        city.to_owned()
    } else {
        format!("{city} {}", at / 6 + 1)
    };
    Ok(PoolConfig {
        name,
        hosts: arguments.hosts,
        vms: arguments.vms,
        seed: arguments.seed + u64::from(at),
        churn_per_second: arguments.churn,
        churn_kind: match arguments.churn_kind {
            Kind::Metrics => ChurnKind::Metrics,
            Kind::Vm => ChurnKind::Vm,
            Kind::Mixed => ChurnKind::Mixed,
        },
        listen,
        tls: arguments.tls && !arguments.no_tls,
        json_rpc: !arguments.xml_only,
        time_scale: arguments.time_scale,
        password: arguments.password.clone(),
        ..PoolConfig::default()
    })
}

async fn wait_for_the_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
