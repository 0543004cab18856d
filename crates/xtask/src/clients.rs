//! The simulator against clients that are not ours: the official Python binding and the npm package of today's
//! product each run a life cycle. They are installed under the target folder, once per version.

use crate::{
    running::Simulator,
    workspace::{Workspace, run, step},
};
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub fn run_all(workspace: &Workspace) -> anyhow::Result<()> {
    let scripts = workspace.root.join("crates/xapi-sim/clients");
    let installed = workspace.target.join("clients");
    let python = python(&scripts, &installed.join("python"))?;
    let node = node(&scripts, &installed.join("node"))?;
    workspace.cargo(&["build", "--quiet", "--package", "xapi-sim"])?;
    let simulator = Simulator::start(
        workspace,
        "--listen 127.0.0.1:0 --hosts 2 --vms 20 --churn 0 --time-scale 0.02",
    )?;
    step("simulator: the Python binding", || {
        run(Command::new(&python)
            .arg(scripts.join("life_cycle.py"))
            .arg(&simulator.url))
    })?;
    step("simulator: the npm client", || {
        run(Command::new("node").arg(&node).arg(&simulator.url))
    })
}

/// An interpreter that has the binding.
fn python(scripts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let python = folder.join("bin/python");
    let wanted = scripts.join("requirements.txt");
    if is_stale(folder, &[&wanted])? {
        step("simulator: install the Python binding", || {
            run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg("--requirement")
                .arg(&wanted))
        })?;
        mark(folder, &[&wanted])?;
    }
    Ok(python)
}

/// The script, beside the packages that it imports.
fn node(scripts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let wanted = ["package.json", "package-lock.json"].map(|name| scripts.join(name));
    let wanted: Vec<&Path> = wanted.iter().map(PathBuf::as_path).collect();
    if is_stale(folder, &wanted)? {
        std::fs::create_dir_all(folder)?;
        for file in &wanted {
            std::fs::copy(file, folder.join(file.file_name().context("a file")?))?;
        }
        step("simulator: install the npm client", || {
            run(Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
                .current_dir(folder))
        })?;
        mark(folder, &wanted)?;
    }
    let script = folder.join("life_cycle.mjs");
    std::fs::copy(scripts.join("life_cycle.mjs"), &script)?;
    Ok(script)
}

/// What is installed, as the files say that asked for it.
fn wanted_texts(files: &[&Path]) -> anyhow::Result<String> {
    let texts: anyhow::Result<Vec<String>> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())))
        .collect();
    Ok(texts?.concat())
}

fn is_stale(folder: &Path, files: &[&Path]) -> anyhow::Result<bool> {
    let installed = std::fs::read_to_string(folder.join("installed"));
    Ok(installed.ok() != Some(wanted_texts(files)?))
}

/// Written when the installation is complete.
fn mark(folder: &Path, files: &[&Path]) -> anyhow::Result<()> {
    Ok(std::fs::write(folder.join("installed"), wanted_texts(files)?)?)
}
