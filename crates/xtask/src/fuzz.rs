//! `fuzz`: libFuzzer against the parsers of `crates/xapi`, for a bounded time.

use crate::{
    running, setup,
    workspace::{Workspace, run, step},
};
use anyhow::{Context, bail};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const VERSION: &str = "0.13.2";

#[derive(clap::Args)]
pub struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    pub seconds: u32,
    /// The seed of a run to play again; each run prints its own
    #[arg(long)]
    pub seed: Option<u32>,
    /// Only these targets
    pub targets: Vec<String>,
}

pub fn run_all(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    setup::cpp_compiler()?;
    let fuzzer = Fuzzer::find(&workspace)?;
    let known = fuzzer.targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() {
        &known
    } else {
        &options.targets
    };
    let sanitizer = fuzzer.build()?;
    for target in targets {
        let seed = options.seed.map_or_else(running::random_seed, Ok)?;
        step(
            &format!("fuzz {target} for {} s, seed {seed}", options.seconds),
            || fuzzer.run(target, sanitizer, options.seconds, seed),
        )?;
    }
    Ok(())
}

struct Fuzzer {
    program: PathBuf,
    folder: PathBuf,
    target: PathBuf,
}

impl Fuzzer {
    /// cargo-fuzz of our version: of the system, or installed under the target folder.
    fn find(workspace: &Workspace) -> anyhow::Result<Self> {
        let ours = |program: &Path| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|version| {
                String::from_utf8_lossy(&version.stdout).trim() == format!("cargo-fuzz {VERSION}")
            })
        };
        let root = workspace.target.join("cargo-fuzz");
        let installed = root.join("bin/cargo-fuzz");
        let candidates = [PathBuf::from("cargo-fuzz"), installed.clone()];
        let program = match candidates.into_iter().find(|program| ours(program)) {
            Some(program) => program,
            None => {
                step(&format!("fuzz: install cargo-fuzz {VERSION}"), || {
                    run(Command::new(env!("CARGO"))
                        .args([
                            "install",
                            "cargo-fuzz",
                            "--quiet",
                            "--locked",
                            "--version",
                            VERSION,
                            "--root",
                        ])
                        .arg(&root)
                        .env_remove("CARGO_TARGET_DIR"))
                })?;
                installed
            }
        };
        Ok(Self {
            program,
            folder: workspace.root.join("crates/xapi/fuzz"),
            target: workspace.target.join("fuzz"),
        })
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .arg("--fuzz-dir")
            .arg(&self.folder)
            .current_dir(self.folder.join(".."))
            // The flags of sanitizers are not stable yet; the compiler that is pinned has them all the same.
            .env("RUSTC_BOOTSTRAP", "1");
        command
    }

    fn targets(&self) -> anyhow::Result<Vec<String>> {
        let output = self
            .command("list")
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo-fuzz")?;
        let targets: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        if targets.is_empty() {
            bail!("cargo-fuzz names no targets");
        }
        Ok(targets)
    }

    /// With the address sanitizer where the toolchain has one; without it the assertions remain.
    fn build(&self) -> anyhow::Result<&'static str> {
        let build = |sanitizer: &str| {
            step(&format!("fuzz: compile (sanitizer: {sanitizer})"), || {
                run(self
                    .command("build")
                    .args(["--sanitizer", sanitizer, "--target-dir"])
                    .arg(&self.target))
            })
        };
        match build("address") {
            Ok(()) => Ok("address"),
            Err(error) => {
                eprintln!("{error:#}; once more without it");
                build("none").map(|()| "none")
            }
        }
    }

    fn run(&self, target: &str, sanitizer: &str, seconds: u32, seed: u32) -> anyhow::Result<()> {
        let folder = |kind: &str| -> anyhow::Result<PathBuf> {
            let folder = self.target.join(kind).join(target);
            std::fs::create_dir_all(&folder)?;
            Ok(folder)
        };
        let (corpus, found) = (folder("corpus")?, folder("found")?);
        run(self
            .command("run")
            .args(["--sanitizer", sanitizer, "--target-dir"])
            .arg(&self.target)
            .arg(target)
            .arg(&corpus)
            .arg(self.folder.join("seeds").join(target))
            .arg("--")
            .args([
                "-timeout=20",
                "-rss_limit_mb=2048",
                "-max_len=8192",
                "-print_final_stats=1",
            ])
            .arg(format!("-dict={}", self.folder.join("dictionary").display()))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-seed={seed}"))
            .arg(format!("-artifact_prefix={}/", found.display())))
        .with_context(|| {
            format!(
                "the input is in {}; to play it again: RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/xapi/fuzz {target} FILE",
                found.display()
            )
        })
    }
}
