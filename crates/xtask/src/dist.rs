//! `dist`: the release program with the web client inside, in a single file.

use crate::{
    web,
    workspace::{Workspace, run, step},
};
use anyhow::Context;
use std::process::Command;

pub fn build() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    web::build(&web::Options { release: true })?;
    step("server: compile", || {
        run(Command::new(env!("CARGO"))
            .args(["build", "--release", "--package", "server", "--features", "embed"])
            .current_dir(&workspace.root)
            .env("CARGO_TARGET_DIR", &workspace.target)
            .env("XO_SITE_BUILD", workspace.site()))
    })?;
    let folder = workspace.target.join("dist");
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("xo-server");
    std::fs::copy(workspace.target.join("release/xo-server"), &program).context("cannot copy the program")?;
    let size = std::fs::metadata(&program)?.len();
    eprintln!("{} ({:.1} MiB)", program.display(), size as f64 / 1_048_576.0);
    Ok(())
}
