//! `test`: everything that must hold. Unit and integration tests, then the product in a browser.

use crate::{
    clients, fuzz, redis,
    running::{self, Running},
    setup, web,
    workspace::{Workspace, run, step},
};
use std::{net::SocketAddr, path::Path, process::Command};

#[derive(clap::Args)]
pub struct Options {
    /// Only the browser tests
    #[arg(long)]
    browser: bool,
    /// Only the tests without a browser
    #[arg(long, conflicts_with = "browser")]
    rust: bool,
    /// Only other clients against the simulator
    #[arg(long, conflicts_with_all = ["browser", "rust"])]
    clients: bool,
    /// What takes its time: fuzzing, a thousand kills, a day of faults
    #[arg(long, conflicts_with_all = ["browser", "rust", "clients"])]
    slow: bool,
    /// How often the programs are killed, with --slow
    #[arg(long, default_value_t = 1_000, requires = "slow")]
    rounds: u32,
    /// How long each fuzz target runs, with --slow
    #[arg(long, default_value_t = 60, requires = "slow")]
    seconds: u32,
    /// Passed on to Playwright, for instance a part of a spec's name
    #[arg(last = true)]
    playwright: Vec<String>,
}

pub fn run_all(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    if options.clients {
        return clients::run_all(&workspace);
    }
    if options.slow {
        return slow(&workspace, options);
    }
    if !options.browser {
        let redis = redis::server(&workspace)?;
        step("tests without a browser", || {
            workspace.cargo_with(&["test", "--workspace", "--quiet"], &[(redis::VARIABLE, &redis)])
        })?;
        clients::run_all(&workspace)?;
    }
    if !options.rust {
        browser(&workspace, &options.playwright)?;
    }
    Ok(())
}

fn slow(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let redis = redis::server(workspace)?;
    let rounds = options.rounds.to_string();
    for (title, test) in [
        (format!("{rounds} kills of the server, and of Redis"), "slow"),
        ("a day of faults".to_owned(), "day"),
    ] {
        let arguments = ["test", "--package", "server", "--test", test, "--", "--nocapture"];
        let environment = [
            (redis::VARIABLE, redis.as_path()),
            ("XO_ROUNDS", Path::new(&rounds)),
        ];
        step(&title, || workspace.cargo_with(&arguments, &environment))?;
    }
    fuzz::run_all(&fuzz::Options {
        seconds: options.seconds,
        seed: None,
        targets: Vec::new(),
    })
}

fn browser(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<()> {
    let chromium = setup::chromium()?;
    setup::node_packages(workspace)?;
    web::build(&web::Options { release: false })?;
    step("server and simulator: compile", || workspace.programs(false))?;
    let password = running::random_password()?;
    let simulator = "--listen 127.0.0.1:0 --pools 2 --hosts 3 --vms 150 --seed 7 --churn 5 --churn-kind mixed --time-scale 0.3 --tls";
    let running = Running::start(
        workspace,
        &running::Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: running::fresh_folder(&workspace.target.join("end2end"))?,
            profile: "debug",
            password: password.clone(),
            simulator: simulator.split(' ').map(str::to_owned).collect(),
        },
    )?;
    step("tests in the browser", || {
        run(Command::new("npx")
            .args(["playwright", "test"])
            .args(arguments)
            .current_dir(workspace.root.join("end2end"))
            .env("CHROMIUM", &chromium)
            .env("XO_URL", &running.url)
            .env("XO_USER", "admin@admin.net")
            .env("XO_PASSWORD", &password)
            .env("XO_SIMULATOR", workspace.target.join("debug/xapi-sim")))
    })
}
