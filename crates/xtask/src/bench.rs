//! `bench`: measures, and prints the machine with the figures. No test depends on them.

use crate::{
    setup, web,
    workspace::{Workspace, run, step},
};
use std::process::Command;

#[derive(clap::Args)]
pub struct Options {
    /// Only the server's figures
    #[arg(long)]
    server: bool,
    /// Only the web client's figures, in Chromium
    #[arg(long, conflicts_with = "server")]
    browser: bool,
    /// Smaller worlds and shorter runs: to see that it works
    #[arg(long)]
    quick: bool,
}

pub fn measure(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    step("compile for release", || {
        workspace.cargo(&[
            "build",
            "--release",
            "--package",
            "server",
            "--package",
            "xapi-sim",
            "--package",
            "bench",
        ])
    })?;
    let programs = workspace.target.join("release");
    let bench = |what: &str| {
        let mut command = Command::new(programs.join("xo-bench"));
        command
            .arg(what)
            .arg("--programs")
            .arg(&programs)
            .arg("--site")
            .arg(workspace.site());
        if options.quick {
            command.arg("--quick");
        }
        command
    };
    if !options.browser {
        run(&mut bench("server"))?;
    }
    if !options.server {
        let chromium = setup::chromium()?;
        setup::node_packages(&workspace)?;
        web::build(&web::Options { release: true })?;
        run(bench("browser")
            .env("CHROMIUM", chromium)
            .env("XO_END2END", workspace.root.join("end2end")))?;
    }
    Ok(())
}
