//! `build-web`: the WebAssembly client, its JavaScript bindings, the style sheet and the public files.
//!
//! The bindings come from the library behind wasm-bindgen's command, at the version of the lock file:
//! there is no tool to install and no version that could differ.

mod compress;
mod style;

use crate::workspace::{Workspace, run, step};
use anyhow::Context;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use wasm_bindgen_cli_support::Bindgen;

/// Name of the files in pkg/; the page (`app::shell`) names them too.
const OUTPUT_NAME: &str = "xo";

#[derive(clap::Args)]
pub struct Options {
    /// Optimise for size, and compress the files ahead of time
    #[arg(long)]
    pub release: bool,
}

pub fn build(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    let profile = if options.release {
        "wasm-release"
    } else {
        "wasm-dev"
    };
    ensure_wasm_target()?;
    step("client: compile to WebAssembly", || {
        workspace.cargo(&[
            "build",
            "--package",
            "frontend",
            "--lib",
            "--no-default-features",
            "--features",
            "hydrate",
            "--target",
            "wasm32-unknown-unknown",
            "--profile",
            profile,
        ])
    })?;
    let site = workspace.site();
    // Compressed files of an earlier release build would be served in place of fresh ones.
    if site.exists() {
        fs::remove_dir_all(&site).with_context(|| format!("cannot empty {}", site.display()))?;
    }
    let package = site.join("pkg");
    fs::create_dir_all(&package)?;
    step("client: bindings", || {
        let module = workspace
            .target
            .join("wasm32-unknown-unknown")
            .join(profile)
            .join("frontend.wasm");
        bindings(&module, &package, options.release)
    })?;
    step("client: style", || {
        let css = style::compile(&workspace.root.join("style/main.scss"), options.release)?;
        fs::write(package.join(format!("{OUTPUT_NAME}.css")), css).context("cannot write the style sheet")
    })?;
    copy(&workspace.root.join("public"), &site)?;
    if options.release {
        step("client: compress", || compress::beside(&site))?;
    }
    eprintln!("client: built in {}", site.display());
    Ok(())
}

fn bindings(module: &Path, package: &Path, release: bool) -> anyhow::Result<()> {
    Bindgen::new()
        .input_path(module)
        .out_name(OUTPUT_NAME)
        .web(true)?
        .typescript(false)
        .debug(!release)
        .keep_debug(false)
        .remove_name_section(release)
        .remove_producers_section(release)
        .generate(package)
        .context("wasm-bindgen failed")?;
    // The name that cargo-leptos gives: the same page serves both builds.
    fs::rename(
        package.join(format!("{OUTPUT_NAME}_bg.wasm")),
        package.join(format!("{OUTPUT_NAME}.wasm")),
    )
    .context("cannot name the module")
}

/// Adds the compiler's WebAssembly target where it is missing and rustup can.
fn ensure_wasm_target() -> anyhow::Result<()> {
    let listed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .stderr(Stdio::null())
        .output();
    match listed {
        Ok(output)
            if String::from_utf8_lossy(&output.stdout)
                .lines()
                .all(|line| line != "wasm32-unknown-unknown") =>
        {
            step("toolchain: add wasm32-unknown-unknown", || {
                run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]))
            })
        }
        // Without rustup the distribution's compiler must have the target: the build will say so.
        _ => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::{Table, Value};

    fn read(root: &Path, file: &str) -> Table {
        fs::read_to_string(root.join(file))
            .expect(file)
            .parse()
            .expect(file)
    }

    fn text<'a>(table: &'a Value, key: &str) -> &'a str {
        table
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{key} is missing"))
    }

    #[test]
    fn what_the_leptos_metadata_names_exists() {
        let root = Workspace::find().expect("a workspace").root;
        let manifest = read(&root, "Cargo.toml");
        let metadata = &manifest["workspace"]["metadata"]["leptos"][0];
        assert_eq!(text(metadata, "output-name"), OUTPUT_NAME);
        assert_eq!(text(metadata, "site-pkg-dir"), "pkg");
        for key in ["style-file", "assets-dir", "end2end-dir"] {
            assert!(root.join(text(metadata, key)).exists(), "{key}");
        }
        // Without it cargo-leptos looks for a program of the package's name.
        assert_eq!(text(metadata, "bin-exe-name"), text(metadata, "bin-target"));
        for (key, folder) in [("bin-package", "server"), ("lib-package", "frontend")] {
            assert_eq!(
                text(
                    &Value::Table(read(&root, &format!("{folder}/Cargo.toml")))["package"],
                    "name"
                ),
                text(metadata, key)
            );
        }
        for key in ["lib-profile-dev", "lib-profile-release"] {
            assert!(manifest["profile"].get(text(metadata, key)).is_some(), "{key}");
        }
    }

    #[test]
    fn what_trunk_names_exists() {
        let root = Workspace::find().expect("a workspace").root;
        let trunk = read(&root, "Trunk.toml");
        let page = root.join(text(&trunk["build"], "target"));
        let html = fs::read_to_string(&page).expect("the page");
        for part in html.split("href=\"").skip(1) {
            let link = part.split('"').next().unwrap_or_default();
            if !link.starts_with('/') {
                let path = page.parent().expect("a folder").join(link);
                assert!(path.exists(), "{}", path.display());
            }
        }
        let lock = fs::read_to_string(root.join("Cargo.lock")).expect("the lock file");
        let version = text(&trunk["tools"], "wasm_bindgen");
        assert!(
            lock.contains(&format!("name = \"wasm-bindgen\"\nversion = \"{version}\"")),
            "{version}"
        );
    }
}
