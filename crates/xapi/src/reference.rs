//! References to XAPI objects.
//!
//! Nearly every reference is `OpaqueRef:` and a lower-case UUID: that form is kept as 16 bytes, so that a
//! pool of 100,000 records does not hold millions of 46-byte strings. Any other text is kept as it came.

use serde::{Serialize, Serializer};
use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    ops::Deref,
    sync::Arc,
};

const PREFIX: &str = "OpaqueRef:";
const NULL: &str = "OpaqueRef:NULL";

/// A reference of which the class is not known.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OpaqueRef(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
enum Repr {
    #[default]
    Null,
    Uuid([u8; 16]),
    Other(Arc<str>),
}

impl OpaqueRef {
    /// Reads any text; the empty string and `OpaqueRef:NULL` are the null reference.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() || text == NULL {
            return Self(Repr::Null);
        }
        match text.strip_prefix(PREFIX).and_then(parse_uuid) {
            Some(uuid) => Self(Repr::Uuid(uuid)),
            None => Self(Repr::Other(text.into())),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.0, Repr::Null)
    }
}

/// A UUID, or whatever text stands for one, as the key of an index, or where many are kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uuid(Repr);

impl Uuid {
    pub fn parse(text: &str) -> Self {
        Self(match parse_uuid(text) {
            Some(uuid) => Repr::Uuid(uuid),
            None => Repr::Other(text.into()),
        })
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Null => Ok(()),
            Repr::Other(text) => f.write_str(text),
            Repr::Uuid(bytes) => write_uuid(bytes, f),
        }
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 bytes of a lower-case, dashed UUID; anything else must survive as text to be sent back unchanged.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    let mut wrong = 0;
    let mut at = 0;
    for (index, byte) in bytes.iter_mut().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            wrong |= u8::from(text[at] != b'-') << 4;
            at += 1;
        }
        let (high, low) = (NIBBLE[usize::from(text[at])], NIBBLE[usize::from(text[at + 1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
        at += 2;
    }
    if wrong & 0xf0 != 0 {
        return None;
    }
    Some(bytes)
}

/// Values of lower-case hexadecimal digits; above 15 for anything else.
const NIBBLE: [u8; 256] = {
    let mut table = [0xf0; 256];
    let mut value = 0;
    while value < 16 {
        table[HEX[value] as usize] = value as u8;
        value += 1;
    }
    table
};

impl fmt::Display for OpaqueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Null => f.write_str(NULL),
            Repr::Other(text) => f.write_str(text),
            Repr::Uuid(bytes) => {
                f.write_str(PREFIX)?;
                write_uuid(bytes, f)
            }
        }
    }
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Debug for OpaqueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for OpaqueRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reference to a record of class `T`.
pub struct Ref<T> {
    opaque: OpaqueRef,
    class: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    pub fn new(opaque: OpaqueRef) -> Self {
        Self {
            opaque,
            class: PhantomData,
        }
    }

    pub fn null() -> Self {
        Self::new(OpaqueRef::default())
    }
}

impl<T> Deref for Ref<T> {
    type Target = OpaqueRef;
    fn deref(&self) -> &OpaqueRef {
        &self.opaque
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        Self::new(self.opaque.clone())
    }
}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

impl<T> Eq for Ref<T> {}

impl<T> Hash for Ref<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.opaque.hash(state);
    }
}

impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.opaque.fmt(f)
    }
}

impl<T> Serialize for Ref<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.opaque.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in [
            "OpaqueRef:NULL",
            "OpaqueRef:d4c1f3a0-0b9e-4a57-8d35-2f0a6b7c8d9e",
            "OpaqueRef:D4C1F3A0-0b9e-4a57-8d35-2f0a6b7c8d9e",
            "Ref:12",
            "OpaqueRef:short",
            "OpaqueRef:d4c1f3a0-0b9e-4a57-8d35-2f0a6b7c8dge",
            "OpaqueRef:d4c1f3a0x0b9e-4a57-8d35-2f0a6b7c8d9e",
            "anything",
        ] {
            assert_eq!(OpaqueRef::parse(text).to_string(), text);
            let id = text.strip_prefix(PREFIX).unwrap_or(text);
            assert_eq!(Uuid::parse(id).to_string(), id);
        }
        assert!(OpaqueRef::parse("").is_null());
        assert_eq!(std::mem::size_of::<Ref<()>>(), 24);
    }
}
