//! `dist`: the release programs, each a single file: the server with the web client inside, the command line, and
//! the simulator.

use crate::{
    web,
    workspace::{Workspace, run, step},
};
use anyhow::Context;
use std::process::Command;

const PROGRAMS: &[&str] = &["xo-server", "xo", "xapi-sim"];

pub fn build() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    web::build(&web::Options { release: true })?;
    step("programs: compile", || {
        run(Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--package",
                "server",
                "--features",
                "server/embed",
            ])
            .args(["--package", "xo-cli", "--package", "xapi-sim"])
            .current_dir(&workspace.root)
            .env("CARGO_TARGET_DIR", &workspace.target)
            .env("XO_SITE_BUILD", workspace.site()))
    })?;
    let folder = workspace.target.join("dist");
    std::fs::create_dir_all(&folder)?;
    for name in PROGRAMS {
        let program = folder.join(name);
        std::fs::copy(workspace.target.join("release").join(name), &program)
            .with_context(|| format!("cannot copy {name}"))?;
        let size = std::fs::metadata(&program)?.len();
        eprintln!("{} ({:.1} MiB)", program.display(), size as f64 / 1_048_576.0);
    }
    Ok(())
}
