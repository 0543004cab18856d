//! Records that today's product encrypted at rest (contract/storage.md section 4).

use super::TransferError;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
};

/// What the text of an encrypted record begins with.
pub(super) const MARK: &str = "enc:";
const HALF: usize = 32;

pub struct Keys {
    aes: LessSafeKey,
}

impl Keys {
    /// From a text of two lines, each 32 bytes in hexadecimal: the half in XenStore
    /// (`vm-data/xo-encryption-key`), then the one in the data directory.
    pub fn read(text: &str) -> Result<Self, TransferError> {
        let invalid = |reason: &str| TransferError::InvalidKey(reason.to_owned());
        let halves: Vec<&str> = text.split_whitespace().collect();
        if halves.len() != 2 {
            return Err(invalid(
                "two lines are expected, the half in XenStore and the one in the file",
            ));
        }
        let mut key = Vec::with_capacity(2 * HALF);
        for half in halves {
            let bytes = hexadecimal(half).filter(|bytes| bytes.len() == HALF);
            key.extend(bytes.ok_or_else(|| invalid("each half is 64 hexadecimal digits"))?);
        }
        // An empty salt: as many zeros as the hash has bytes, which is the same.
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&key);
        let unbound = derived
            .expand(&[b"xo-credentials-aes"], &AES_256_GCM)
            .map(UnboundKey::from);
        let unbound = unbound.map_err(|_| invalid("it cannot be derived"))?;
        Ok(Self {
            aes: LessSafeKey::new(unbound),
        })
    }

    /// The text of a record; the mark is cut off. `None` when this is not its key.
    pub(super) fn decrypt(&self, encrypted: &str) -> Option<String> {
        let mut bytes = STANDARD.decode(encrypted).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.aes.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = digits.chunks_exact(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}
