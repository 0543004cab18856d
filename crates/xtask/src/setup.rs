//! What the verbs need on a machine, installed where that is ours to do, named exactly where it is not.

use crate::workspace::{Workspace, run, step};
use anyhow::{Context, bail};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The browser of the tests: $CHROMIUM, or the system's; installed with apt where we may.
pub fn chromium() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Ok(path.into());
    }
    let known = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    let find = || {
        known
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .map(Path::to_owned)
    };
    if let Some(path) = find() {
        return Ok(path);
    }
    let is_root = succeeds(Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ]"]));
    if is_root && succeeds(Command::new("apt-get").arg("--version")) {
        step("browser: install chromium", || {
            run(Command::new("apt-get").args(["update", "--quiet"]))?;
            run(Command::new("apt-get")
                .args([
                    "install",
                    "--yes",
                    "--quiet",
                    "--no-install-recommends",
                    "chromium",
                ])
                .env("DEBIAN_FRONTEND", "noninteractive"))
        })?;
        return find().context("chromium was installed, but is not where it is expected");
    }
    bail!(
        "Chromium is needed for the browser tests. Install it (sudo apt-get install chromium), or name it in $CHROMIUM."
    )
}

/// libFuzzer is C++; installed with apt where we may.
pub fn cpp_compiler() -> anyhow::Result<()> {
    let there = || succeeds(Command::new("c++").arg("--version"));
    if there() || std::env::var_os("CXX").is_some() {
        return Ok(());
    }
    let is_root = succeeds(Command::new("sh").args(["-c", "[ \"$(id -u)\" = 0 ]"]));
    if is_root && succeeds(Command::new("apt-get").arg("--version")) {
        step("fuzz: install a C++ compiler", || {
            run(Command::new("apt-get").args(["update", "--quiet"]))?;
            run(Command::new("apt-get")
                .args(["install", "--yes", "--quiet", "--no-install-recommends", "g++"])
                .env("DEBIAN_FRONTEND", "noninteractive"))
        })?;
    }
    if !there() {
        bail!(
            "a C++ compiler is needed for fuzzing. Install it (sudo apt-get install g++), or name it in $CXX."
        );
    }
    Ok(())
}

/// The packages of the browser tests, at the versions of their lock file.
pub fn node_packages(workspace: &Workspace) -> anyhow::Result<()> {
    if !succeeds(Command::new("npm").arg("--version")) {
        bail!(
            "Node.js with npm is needed for the browser tests. Install it (sudo apt-get install nodejs npm)."
        );
    }
    let folder = workspace.root.join("end2end");
    let (lock, installed) = (
        folder.join("package-lock.json"),
        folder.join("node_modules/.package-lock.json"),
    );
    let modified = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    if modified(&installed).is_some_and(|installed| modified(&lock).is_some_and(|lock| installed >= lock)) {
        return Ok(());
    }
    step("browser tests: install packages", || {
        run(Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))
    })
}
