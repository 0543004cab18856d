//! The `xapi-sim` program: some simulated pools on consecutive ports, until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use xapi_sim::control::{self, Control};
use xapi_sim::{ChurnKind, PoolConfig, SimPool, User};

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
  xapi-sim --fault latency=200 --fault jitter=300 --control 127.0.0.1:8440
  xapi-sim --load pool.json                  records of a real pool instead of a made-up one

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
    /// Tasks that are there from the start, running and ended ones
    #[arg(long, default_value_t = 0)]
    tasks: usize,
    /// Seed of the first pool; the next pools count on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes per second and pool that the world makes by itself
    #[arg(long, default_value_t = 1.0)]
    churn: f64,
    /// What changes: metrics only, exactly N VM records, a mix, or a mix with starts, stops, moves and snapshots
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
    /// A certificate for each host instead of one for the pool; means --tls
    #[arg(long, conflicts_with = "no_tls")]
    own_certificates: bool,
    /// Start the first pool from records: JSON `{ref: {"class": "VM", field: value, ...}}`
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Write the first pool's records to a file (- = standard output) at the end; with --dump-at-once at once
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// With --dump: write and leave, without waiting for the end
    #[arg(long, requires = "dump")]
    dump_at_once: bool,
    /// Listen for commands that switch faults; `curl ADDRESS` says what there is
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    /// Switch a fault in all pools from the start, such as latency=200; may be repeated
    #[arg(long = "fault", value_name = "NAME=VALUE")]
    faults: Vec<String>,
    /// List the faults and leave
    #[arg(long)]
    list_faults: bool,
    /// List the calls that answer NOT_IMPLEMENTED and leave
    #[arg(long)]
    list_unimplemented: bool,
    /// Single new hosts that can join a pool: no guests, no shared storage, no bonds
    #[arg(long)]
    fresh: bool,
    /// Somebody beside root, such as ann:secret:vm-operator; may be repeated
    #[arg(long = "user", value_name = "NAME:PASSWORD:ROLE", value_parser = user)]
    users: Vec<User>,
    /// Password of root
    #[arg(long, default_value = "password")]
    password: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Metrics,
    Vm,
    Mixed,
    Life,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    if arguments.list_faults {
        write!(std::io::stdout(), "{}", control::explained())?;
        return Ok(());
    }
    if arguments.list_unimplemented {
        for name in xapi_sim::unimplemented_messages() {
            writeln!(std::io::stdout(), "{name}")?;
        }
        return Ok(());
    }
    let mut pools = Vec::new();
    for at in 0..arguments.pools.max(1) {
        let config = config(&arguments, at)?;
        let pool = match &arguments.load {
            Some(file) if at == 0 => SimPool::start_from(config, &read(file)?).await?,
            _ => SimPool::start(config).await?,
        };
        for fault in &arguments.faults {
            let (name, argument) = fault.split_once('=').unwrap_or((fault, ""));
            pool.trouble(name, argument).await?;
        }
        if let Some(file) = arguments.dump.as_ref().filter(|_| arguments.dump_at_once) {
            return dump(&pool, file);
        }
        let mut out = std::io::stdout().lock();
        match pool.fingerprint_sha256() {
            Some(print) => writeln!(out, "{} {} sha256={print}", pool.config().name, pool.url())?,
            None => writeln!(out, "{} {}", pool.config().name, pool.url())?,
        }
        out.flush()?;
        pools.push(pool);
    }
    let control = match arguments.control {
        Some(listen) => Some(Control::start(listen, pools.clone()).await?),
        None => None,
    };
    if let Some(control) = &control {
        writeln!(std::io::stdout(), "control {}", control.url())?;
    }
    wait_for_the_end().await?;
    if let Some(file) = &arguments.dump {
        dump(&pools[0], file)?;
    }
    for pool in &pools {
        pool.stop().await;
    }
    Ok(())
}

fn user(text: &str) -> Result<User, String> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let mut part = || parts.next().ok_or("it takes NAME:PASSWORD:ROLE");
    let user = User {
        name: part()?,
        password: part()?,
        role: part()?,
    };
    match xapi_sim::ROLES.iter().any(|(role, _)| *role == user.role) {
        true => Ok(user),
        false => Err(format!(
            "the roles are {}",
            xapi_sim::ROLES.map(|(role, _)| role).join(", ")
        )),
    }
}

fn read(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    xapi_sim::parse_records(&text).with_context(|| format!("{} cannot be loaded", file.display()))
}

fn dump(pool: &SimPool, file: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&pool.dump())?;
    match file.to_str() {
        Some("-") => Ok(writeln!(std::io::stdout(), "{text}")?),
        _ => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display())),
    }
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
        tasks: arguments.tasks,
        seed: arguments.seed + u64::from(at),
        churn_per_second: arguments.churn,
        churn_kind: match arguments.churn_kind {
            Kind::Metrics => ChurnKind::Metrics,
            Kind::Vm => ChurnKind::Vm,
            Kind::Mixed => ChurnKind::Mixed,
            Kind::Life => ChurnKind::Life,
        },
        listen,
        tls: (arguments.tls && !arguments.no_tls) || arguments.own_certificates,
        fresh: arguments.fresh,
        users: arguments.users.clone(),
        own_certificates: arguments.own_certificates,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a pool has TLS, and a certificate for each host; `None`: the options are refused.
    fn secured(options: &[&str]) -> Option<(bool, bool)> {
        let arguments = Arguments::try_parse_from(["xapi-sim"].iter().chain(options)).ok()?;
        let config = config(&arguments, 0).expect("a configuration");
        Some((config.tls, config.own_certificates))
    }

    #[test]
    fn certificates_of_their_own_mean_tls() {
        assert_eq!(secured(&[]), Some((false, false)));
        assert_eq!(secured(&["--tls"]), Some((true, false)));
        assert_eq!(secured(&["--own-certificates"]), Some((true, true)));
        assert_eq!(secured(&["--tls", "--own-certificates"]), Some((true, true)));
        assert_eq!(secured(&["--no-tls", "--own-certificates"]), None);
    }
}
