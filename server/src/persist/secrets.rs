//! Secrets at rest: sealed with a key that lives in a file of its own, mode 0600, beside the store.
//!
//! A copy of the store without the key file tells no password. XChaCha20-Poly1305, a random nonce each.

use super::StoreError;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Members of records whose names begin so are sealed texts.
pub const SEALED: &str = "sealed_";

#[derive(Clone)]
pub struct Secrets {
    cipher: XChaCha20Poly1305,
    root: ring::hmac::Key,
}

/// How a passphrase becomes a key: argon2id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    pub memory_kib: u32,
    pub passes: u32,
    /// Base64.
    pub salt: String,
}

impl Derivation {
    /// Takes a fraction of a second: it is done once per file, and by who guesses once per guess.
    pub fn new() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            salt: STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>()),
        }
    }
}

impl Default for Derivation {
    fn default() -> Self {
        Self::new()
    }
}

impl Secrets {
    /// Reads the key file, or makes it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |reason: String| StoreError::Unusable(format!("key file {}: {reason}", path.display()));
        let key = match fs::read(path) {
            Ok(key) => {
                let mode = fs::metadata(path)
                    .map_err(|error| fail(error.to_string()))?
                    .permissions()
                    .mode();
                if mode & 0o077 != 0 {
                    return Err(fail(format!(
                        "others may read it (mode {:o}); chmod 600 it",
                        mode & 0o777
                    )));
                }
                key
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key: [u8; KEY_BYTES] = rand::random();
                // Written aside and renamed: a crash must not leave half a key.
                let aside = path.with_extension("new");
                let written = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&aside)
                    .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()))
                    .and_then(|()| fs::rename(&aside, path));
                written.map_err(|error| fail(error.to_string()))?;
                key.to_vec()
            }
            Err(error) => return Err(fail(error.to_string())),
        };
        Self::of_key(&key)
            .ok_or_else(|| fail(format!("it must hold {KEY_BYTES} bytes, it holds {}", key.len())))
    }

    /// From a passphrase; `None` when the derivation is not one that we would do.
    pub fn of_passphrase(passphrase: &str, derivation: &Derivation) -> Option<Self> {
        // A file that others made must not take all memory or time.
        if derivation.memory_kib > 512 * 1024 || derivation.passes > 20 {
            return None;
        }
        let salt = STANDARD_NO_PAD.decode(&derivation.salt).ok()?;
        let params = Params::new(derivation.memory_kib, derivation.passes, 1, Some(KEY_BYTES)).ok()?;
        let mut key = [0; KEY_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
            .ok()?;
        Self::of_key(&key)
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new_from_slice(key).ok()?;
        let root = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        Some(Self { cipher, root })
    }

    /// Another key, for another purpose: none tells of the others.
    pub fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut derived = [0; KEY_BYTES];
        derived.copy_from_slice(ring::hmac::sign(&self.root, purpose.as_bytes()).as_ref());
        derived
    }

    /// Seals what [`Secrets::unseal_members`] has unsealed.
    pub fn seal_members(&self, record: &mut Map<String, Value>) {
        for (_, value) in sealed_members(record) {
            if let Some(text) = value.as_str() {
                *value = self.seal(text).into();
            }
        }
    }

    /// Puts the secrets of a record in the place of their sealed forms; the name of a member that cannot be
    /// unsealed is the error.
    pub fn unseal_members(&self, record: &mut Map<String, Value>) -> Result<(), String> {
        for (name, value) in sealed_members(record) {
            if let Some(text) = value.as_str() {
                *value = self.unseal(text).ok_or_else(|| name.clone())?.into();
            }
        }
        Ok(())
    }

    pub fn seal(&self, secret: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        // Encryption fails only for texts of gigabytes.
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), secret.as_bytes())
            .unwrap_or_default();
        STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// `None` when it was sealed with another key, or is damaged.
    pub fn unseal(&self, sealed: &str) -> Option<String> {
        let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let secret = self.cipher.decrypt(&XNonce::from(*nonce), sealed).ok()?;
        String::from_utf8(secret).ok()
    }
}

/// An empty text was never sealed.
fn sealed_members(record: &mut Map<String, Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    record.iter_mut().filter(|(name, value)| {
        name.starts_with(SEALED) && value.as_str().is_some_and(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_needs_its_key_file() {
        let folder = std::env::temp_dir().join(format!("xo-secrets-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).expect("a folder");
        let (first, other) = (folder.join("key"), folder.join("other"));
        let sealed = Secrets::open(&first).expect("made").seal("päss");
        assert!(!sealed.contains("päss"));
        assert_eq!(
            fs::metadata(&first).expect("there").permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            Secrets::open(&first).expect("read").unseal(&sealed).as_deref(),
            Some("päss")
        );
        assert_eq!(Secrets::open(&other).expect("made").unseal(&sealed), None);
        fs::set_permissions(&first, fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(Secrets::open(&first).is_err());
        fs::remove_dir_all(&folder).expect("removed");
    }
}
