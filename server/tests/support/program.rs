//! The program itself, as a process.

use super::{DEADLINE, EMAIL};
use std::{net::SocketAddr, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

pub fn command(folder: &Path, listen: &str) -> Command {
    // Another build, such as the release, can be tried.
    let program = std::env::var_os("XO_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_xo-server").into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("XO_") || name.starts_with("LEPTOS_") {
            command.env_remove(&*name);
        }
    }
    command
        .args(["--listen", listen, "--admin-email", EMAIL])
        .env("XO_LOG", "warn")
        .arg("--data-dir")
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    pub lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub async fn start(command: Command) -> Self {
        Self::start_with_scheme(command, "http").await
    }

    pub async fn start_with_scheme(mut command: Command, scheme: &str) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        let first = first.expect("in time").expect("readable").expect("a line");
        let address = first
            .strip_prefix(&format!("Xen Orchestra is at {scheme}://"))
            .expect("its address");
        Self {
            address: address.trim_end_matches('/').parse().expect("an address"),
            child,
            lines,
        }
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}
