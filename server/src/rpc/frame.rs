//! WebSocket frames from server to client, built once and shared: they are not masked, so the same bytes
//! can go to five hundred sockets.

use bytes::Bytes;

/// A message that is ready to be written: header first, then its parts, none of them copied.
#[derive(Clone, Debug)]
pub struct Frame {
    parts: Vec<Bytes>,
    /// Bytes of the header, in the first part.
    header: usize,
}

const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;

impl Frame {
    pub fn text(parts: Vec<Bytes>) -> Self {
        Self::new(FINAL_TEXT, parts)
    }

    pub fn binary(payload: Bytes) -> Self {
        Self::new(FINAL_BINARY, vec![payload])
    }

    fn new(first: u8, parts: Vec<Bytes>) -> Self {
        let length: usize = parts.iter().map(Bytes::len).sum();
        let mut header = vec![first];
        match length {
            0..=125 => header.push(length as u8),
            126..=0xffff => {
                header.push(126);
                header.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                header.push(127);
                header.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let header_length = header.len();
        let mut all = Vec::with_capacity(parts.len() + 1);
        match parts.as_slice() {
            // A small message goes out in one write.
            [only] if only.len() <= 16 << 10 => {
                header.extend_from_slice(only);
                all.push(header.into());
            }
            _ => {
                all.push(header.into());
                all.extend(parts);
            }
        }
        Self {
            parts: all,
            header: header_length,
        }
    }

    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The message alone, for other transports than WebSocket.
    pub fn payload(&self) -> impl Iterator<Item = Bytes> {
        let skip = |(index, part): (usize, &Bytes)| part.slice(if index == 0 { self.header.. } else { 0.. });
        self.parts.iter().enumerate().map(skip)
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// What it takes at most while it is kept: others may share its parts.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.len() + self.parts.len() * size_of::<Bytes>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_length_form() {
        let header = |length: usize| {
            let frame = Frame::text(vec![Bytes::from(vec![b'x'; length])]);
            assert!(frame.len() > length);
            assert_eq!(frame.payload().map(|part| part.len()).sum::<usize>(), length);
            frame.parts().concat()[..frame.len() - length].to_vec()
        };
        assert_eq!(header(0), [0x81, 0]);
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
