//! Who writes to a Redis: one server at a time.

use crate::persist::StoreError;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The name under which a server holds the store.
pub struct Owner {
    /// Two servers with the same id never run at once.
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
    /// Locked as long as this is there.
    _lock: Option<File>,
}

fn machine(file: &str) -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap_or_default();
    text.trim().to_owned()
}

fn name() -> String {
    format!("{}, process {}", machine("hostname"), std::process::id())
}

impl Owner {
    /// Of the data directory. Its lock file tells that an owner of the same id is dead, so that a server that
    /// was killed need not wait until its own lease has run out.
    pub fn of(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let fail =
            |error: &dyn std::fmt::Display| StoreError::Unusable(format!("{}: {error}", path.display()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| fail(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse(format!(
                    "another server runs on the data directory {}",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fail(&error)),
        }
        let metadata = file.metadata().map_err(|error| fail(&error))?;
        let boot = machine("random/boot_id");
        let same = format!("{boot} {} {}", metadata.dev(), metadata.ino());
        Ok(Self {
            id: hexadecimal(&Sha256::digest(same)[..16]),
            name: name(),
            _lock: Some(file),
        })
    }

    /// Who is nobody's successor.
    pub fn passing() -> Self {
        Self {
            id: hexadecimal(&rand::random::<[u8; 16]>()),
            name: name(),
            _lock: None,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
