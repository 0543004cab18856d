//! Where things are, and how to run cargo in this workspace. Knows no verb.

use anyhow::{Context, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

pub struct Workspace {
    pub root: PathBuf,
    /// Respects CARGO_TARGET_DIR and cargo's configuration.
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> anyhow::Result<Self> {
        let metadata = cargo_metadata::MetadataCommand::new()
            .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .no_deps()
            .exec()
            .context("cargo metadata failed")?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// The folder that the server serves: `pkg/` and the public files.
    pub fn site(&self) -> PathBuf {
        self.target.join("site")
    }

    pub fn cargo(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.cargo_with(arguments, &[])
    }

    /// With more in the environment.
    pub fn cargo_with(&self, arguments: &[&str], environment: &[(&str, &Path)]) -> anyhow::Result<()> {
        run(Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .envs(environment.iter().copied()))
    }
}

impl Workspace {
    /// Compiles the server and the simulator.
    pub fn programs(&self, release: bool) -> anyhow::Result<()> {
        let mut arguments = vec!["build", "--package", "server", "--package", "xapi-sim"];
        if release {
            arguments.push("--release");
        }
        self.cargo(&arguments)
    }
}

/// Runs a command to its end; its failure is ours.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// Says what happens and how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("{what} ...");
    let start = Instant::now();
    let result = work().with_context(|| format!("failed: {what}"))?;
    eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}
