//! `xo-bench`: measures the real server, as a process of its own, against simulated pools in this one.
//!
//! Figures mean something only with the machine they come from, which is printed with them. Nothing here
//! decides whether a test passes.

// Figures for people are what this program is for.
#![allow(clippy::print_stdout)]

mod attacks;
mod browser;
mod client;
mod machine;
mod process;
mod server;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Measure Xen Orchestra")]
struct CommandLine {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Inventory, notifications, calls
    Server(Setting),
    /// The web client in Chromium
    Browser(Setting),
}

/// Where the programs are, and how much to do.
#[derive(clap::Args, Clone)]
pub struct Setting {
    /// Folder of the release programs
    #[arg(long)]
    programs: PathBuf,
    /// Folder of the built web client
    #[arg(long)]
    site: PathBuf,
    /// Smaller worlds and shorter runs
    #[arg(long)]
    quick: bool,
    /// Only the measurements whose name contains this
    #[arg(long)]
    only: Option<String>,
}

impl Setting {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let line = CommandLine::parse();
    machine::print()?;
    match line.what {
        What::Server(setting) => server::measure(&setting).await,
        What::Browser(setting) => browser::measure(&setting).await,
    }
}
