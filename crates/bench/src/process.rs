//! The server as a process: start it, read its CPU time and memory, stop it.

use anyhow::{Context, ensure};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

pub const PASSWORD: &str = "measured";
pub const USER: &str = "admin@admin.net";
/// Ticks per second of /proc/PID/stat, 100 on every Linux.
const TICKS: f64 = 100.0;

pub struct Server {
    child: Child,
    pub address: String,
    data: PathBuf,
    /// From the start of the process until it said its address.
    pub listening_after: Duration,
}

impl Server {
    /// Starts a server on an empty store, or on the one in `data`.
    pub async fn start(programs: &Path, site: &Path, data: Option<PathBuf>) -> anyhow::Result<Self> {
        let data = match data {
            Some(data) => data,
            None => {
                std::env::temp_dir().join(format!("xo-bench-{}-{:?}", std::process::id(), Instant::now()))
            }
        };
        let started = Instant::now();
        let mut child = Command::new(programs.join("xo-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error"])
            .arg("--data-dir")
            .arg(&data)
            .arg("--site-dir")
            .arg(site)
            .env("XO_ADMIN_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start xo-server")?;
        let output = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        let line = lines.next_line().await?.context("the server said nothing")?;
        let listening_after = started.elapsed();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .context("no address")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            child,
            address,
            data,
            listening_after,
        })
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let id = self.child.id().context("the server has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{id}/{file}"))?)
    }

    /// CPU seconds used so far.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("no name")?
            .1
            .split_whitespace()
            .collect();
        let ticks: f64 = [11, 12]
            .iter()
            .filter_map(|&index| fields.get(index)?.parse::<f64>().ok())
            .sum();
        Ok(ticks / TICKS)
    }

    /// Resident memory, MiB; and its peak.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = self.proc("status")?;
        let value = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace()
                .nth(1)?
                .parse::<f64>()
                .ok()
                .map(|kib| kib / 1024.0)
        };
        Ok((
            value("VmRSS:").context("no VmRSS")?,
            value("VmHWM:").context("no VmHWM")?,
        ))
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().context("the server has ended")?;
        let status = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await?;
        ensure!(status.success(), "the server cannot be told to stop");
        tokio::time::timeout(Duration::from_secs(20), self.child.wait())
            .await
            .context("the server does not stop")??;
        std::fs::remove_dir_all(&self.data)?;
        Ok(())
    }
}
