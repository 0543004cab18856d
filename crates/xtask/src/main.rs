//! `cargo xtask <verb>`: builds, runs, tests and measures Xen Orchestra without tools to install.
//!
//! One file per verb; this one only names them.

mod bench;
mod clients;
mod demo;
mod dist;
mod fuzz;
mod lint;
mod redis;
mod running;
mod setup;
mod test;
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
    /// Build everything and start it with simulated pools
    Demo(demo::Options),
    /// Run all tests: unit, integration over real sockets, and in the browser
    Test(test::Options),
    /// Feed the XAPI client's parsers with what libFuzzer finds
    Fuzz(fuzz::Options),
    /// Check format, clippy and licences
    Lint,
    /// Measure and print the figures of docs/performance.md
    Bench(bench::Options),
    /// Make the release program, with the web client inside, in a single file
    Dist,
    /// Build the web client into target/site
    BuildWeb(web::Options),
}

fn main() -> anyhow::Result<()> {
    running::end_together()?;
    match Arguments::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run_all(&options),
        Verb::Fuzz(options) => fuzz::run_all(&options),
        Verb::Lint => lint::check(),
        Verb::Bench(options) => bench::measure(&options),
        Verb::Dist => dist::build(),
        Verb::BuildWeb(options) => web::build(&options),
    }
}
