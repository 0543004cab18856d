//! `lint`: format, clippy, licences.

use crate::workspace::{Workspace, run, step};
use std::process::{Command, Stdio};

pub fn check() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    step("format", || workspace.cargo(&["fmt", "--all", "--check"]))?;
    step("clippy", || {
        workspace.cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ])
    })?;
    let present = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !present.is_ok_and(|status| status.success()) {
        eprintln!("licences: not checked, cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    step("licences and sources", || {
        run(Command::new("cargo-deny")
            .args(["check", "licenses", "bans", "sources"])
            .current_dir(&workspace.root))
    })
}
