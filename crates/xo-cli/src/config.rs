//! The registration: which server, and the token that opens it. Never a password.

use crate::{address::Address, failure::Failure};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use xapi::tls::Trust;

/// Larger than any file of ours.
const MAX_SIZE: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// URL of the server.
    pub server: String,
    pub token: String,
    /// Its certificate is not verified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_unauthorized: bool,
    /// SHA-256 of the only certificate that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl Registration {
    pub fn address(&self) -> Result<Address, Failure> {
        Address::parse(&self.server)
    }

    pub fn trust(&self) -> Trust {
        match &self.fingerprint {
            Some(fingerprint) => Trust::Pinned(fingerprint.clone()),
            None if self.allow_unauthorized => Trust::Anyone,
            None => Trust::Authorities,
        }
    }

    pub fn set_trust(&mut self, trust: &Trust) {
        self.allow_unauthorized = *trust == Trust::Anyone;
        self.fingerprint = match trust {
            Trust::Pinned(fingerprint) => Some(fingerprint.clone()),
            Trust::Authorities | Trust::Anyone => None,
        };
    }
}

/// `$XDG_CONFIG_HOME/xo/cli.json`, by default `~/.config/xo/cli.json`.
pub fn default_path() -> Result<PathBuf, Failure> {
    // A relative folder is to be ignored, says the specification.
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .or_else(|| absolute("APPDATA"));
    let folder = folder.ok_or_else(|| {
        Failure::Usage("neither XDG_CONFIG_HOME nor HOME names a folder: say where with --config".to_owned())
    })?;
    Ok(folder.join("xo").join("cli.json"))
}

/// `None` when nothing is registered.
pub fn load(path: &Path) -> Result<Option<Registration>, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| {
        Failure::Usage(format!("{} cannot be used: {reason}", path.display()))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("read", path, &error)),
        Ok(found) if found.len() > MAX_SIZE => return Err(wrong(&"it is too large")),
        Ok(found) => warn_if_shared(path, &found),
    }
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| wrong(&error))
}

#[cfg(unix)]
fn warn_if_shared(path: &Path, found: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if found.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        eprintln!("xo: others can read {path}, which holds a token: chmod 600 {path}");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path, _: &fs::Metadata) {}

/// Whole or not at all, and for its owner only.
pub fn save(path: &Path, registration: &Registration) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::file("written", path, &error);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed)?;

    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let write = || -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        let mut text = serde_json::to_string_pretty(registration)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        // What cannot be removed was perhaps never made.
        let _ = fs::remove_file(&new);
        failed(error)
    })
}

pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::file("removed", path, &error)),
        _ => Ok(()),
    }
}
