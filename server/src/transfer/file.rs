//! The file of a configuration export: JSON, perhaps compressed.

use super::{Export, TransferError};
use std::io::Read;

/// The longest text, in bytes: compressed or not.
pub const LONGEST: usize = 64 << 20;

pub fn read(bytes: &[u8]) -> Result<Export, TransferError> {
    let not = |error: &dyn std::fmt::Display| TransferError::NotAnExport(error.to_string());
    if is_open_pgp(bytes) {
        return Err(TransferError::OpenPgp);
    }
    let mut text = Vec::new();
    let json = if bytes.starts_with(&[0x1f, 0x8b]) {
        let decoder = flate2::read::MultiGzDecoder::new(bytes);
        decoder
            .take(LONGEST as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|error| not(&error))?;
        if is_open_pgp(&text) {
            return Err(TransferError::OpenPgp);
        }
        text.as_slice()
    } else {
        bytes
    };
    if json.len() > LONGEST {
        return Err(not(&"it is too large"));
    }
    Export::from_json(serde_json::from_slice(json).map_err(|error| not(&error))?)
}

/// Armoured, or beginning with a packet for a session key (tags 1 and 3) in either form of header.
fn is_open_pgp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"-----BEGIN PGP")
        || bytes
            .first()
            .is_some_and(|first| matches!(first, 0xc1 | 0xc3 | 0x84..=0x87 | 0x8c..=0x8f))
}
