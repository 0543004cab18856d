//! `cargo xtask <verb>`: builds, runs, tests and measures Xen Orchestra without tools to install.
//!
//! One file per verb; this one only names them.

mod web;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Set up, build, run, test and measure Xen Orchestra"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the web client into target/site
    BuildWeb(web::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::BuildWeb(options) => web::build(&options),
    }
}
