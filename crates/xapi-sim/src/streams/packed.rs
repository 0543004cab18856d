//! Streams that are packed on their way: gzip, zstd, and the frames of WebSockets (which are in `frames`). The zstd
//! here packs nothing: blocks are stored as they are, which every reader of the format takes. It reads no others.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};

use super::frames::Frames;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Largest block of zstd, and the window that its frames declare.
const ZSTD_BLOCK: usize = 128 << 10;

/// How what is sent is packed.
pub enum Packer {
    Plain,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd { begun: bool },
}

impl Packer {
    /// By the name that the request gives it.
    pub fn named(name: &str) -> Packer {
        match name {
            "true" | "gzip" => Packer::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            "zstd" => Packer::Zstd { begun: false },
            _ => Packer::Plain,
        }
    }

    pub fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Packer::Plain => bytes.to_vec(),
            Packer::Gzip(encoder) => {
                // Into memory: it does not fail.
                let _ = encoder.write_all(bytes);
                std::mem::take(encoder.get_mut())
            }
            Packer::Zstd { begun } => {
                let mut out = Vec::with_capacity(bytes.len() + 64);
                if !std::mem::replace(begun, true) {
                    // No sizes, no checksum; a window of 128 KiB.
                    out.extend_from_slice(ZSTD);
                    out.extend_from_slice(&[0, 7 << 3]);
                }
                for block in bytes.chunks(ZSTD_BLOCK) {
                    out.extend_from_slice(&zstd_head(block.len(), false));
                    out.extend_from_slice(block);
                }
                out
            }
        }
    }

    /// What comes at the end.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Packer::Plain => Vec::new(),
            Packer::Gzip(encoder) => encoder.finish().unwrap_or_default(),
            Packer::Zstd { .. } => zstd_head(0, true).to_vec(),
        }
    }
}

/// A stored block: whether it is the last, its kind (0), its size.
fn zstd_head(size: usize, last: bool) -> [u8; 3] {
    let head = ((size as u32) << 3 | u32::from(last)).to_le_bytes();
    [head[0], head[1], head[2]]
}

/// How what arrives is unpacked.
pub enum Unpacker {
    Gzip(Box<GzDecoder<Vec<u8>>>),
    Zstd(Zstd),
    Frames(Frames),
}

impl Unpacker {
    /// By the first bytes of a file.
    pub fn of(first: &[u8]) -> Option<Unpacker> {
        if first.starts_with(GZIP) {
            return Some(Unpacker::Gzip(Box::new(GzDecoder::new(Vec::new()))));
        }
        first.starts_with(ZSTD).then(|| Unpacker::Zstd(Zstd::default()))
    }

    /// Appends what the bytes hold, and gives what is to be answered at once.
    pub fn unpack(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<Vec<u8>, &'static str> {
        match self {
            Unpacker::Gzip(decoder) => {
                let done = decoder.write_all(bytes).and_then(|()| decoder.flush());
                plain.append(decoder.get_mut());
                done.map(|()| Vec::new()).map_err(|_| "gzip: it cannot be read")
            }
            Unpacker::Zstd(zstd) => zstd.unpack(bytes, plain).map(|()| Vec::new()),
            Unpacker::Frames(frames) => frames.unpack(bytes, plain),
        }
    }
}

/// Reads frames of stored and repeated blocks.
#[derive(Default)]
pub struct Zstd {
    waiting: Vec<u8>,
    inside: bool,
    sums: bool,
}

impl Zstd {
    fn unpack(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str> {
        self.waiting.extend_from_slice(bytes);
        while let Some(used) = self.step(plain)? {
            self.waiting.drain(..used);
        }
        Ok(())
    }

    /// How many of the bytes were used; `None`: more must come first.
    fn step(&mut self, plain: &mut Vec<u8>) -> Result<Option<usize>, &'static str> {
        let bytes = &self.waiting;
        if !self.inside {
            let Some(flags) = bytes.get(4).copied() else {
                return Ok(None);
            };
            if !bytes.starts_with(ZSTD) {
                return Err("zstd: no frame");
            }
            let single = flags & 0x20 != 0;
            let dictionary = [0, 1, 2, 4][usize::from(flags & 3)];
            let size = [usize::from(single), 2, 4, 8][usize::from(flags >> 6)];
            let head = 5 + usize::from(!single) + dictionary + size;
            if bytes.len() < head {
                return Ok(None);
            }
            (self.inside, self.sums) = (true, flags & 4 != 0);
            return Ok(Some(head));
        }
        let [a, b, c, ..] = bytes[..] else {
            return Ok(None);
        };
        let head = u32::from_le_bytes([a, b, c, 0]);
        let (last, kind, size) = (head & 1 == 1, head >> 1 & 3, (head >> 3) as usize);
        let held = if kind == 1 { 1 } else { size };
        let end = 3 + held + if last && self.sums { 4 } else { 0 };
        if bytes.len() < end {
            return Ok(None);
        }
        match kind {
            0 => plain.extend_from_slice(&bytes[3..3 + size]),
            1 if size <= ZSTD_BLOCK => plain.resize(plain.len() + size, bytes[3]),
            _ => return Err("zstd: only stored blocks are read here"),
        }
        self.inside = !last;
        Ok(Some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let zeros = vec![0; 300_000];
        let bytes = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
        bytes.chain(zeros).collect()
    }

    #[test]
    fn what_is_packed_is_unpacked_in_pieces_of_any_size() {
        for name in ["gzip", "zstd"] {
            let mut packer = Packer::named(name);
            let mut packed: Vec<u8> = sample()
                .chunks(70_001)
                .flat_map(|piece| packer.pack(piece))
                .collect();
            packed.extend(packer.finish());
            for size in [1, 7, 65_536] {
                let mut unpacker = Unpacker::of(&packed).expect(name);
                let mut plain = Vec::new();
                for piece in packed.chunks(size) {
                    unpacker.unpack(piece, &mut plain).expect(name);
                }
                assert!(plain == sample(), "{name} in pieces of {size}");
            }
        }
        assert!(Unpacker::of(b"ova.xml").is_none());
    }

    #[test]
    fn zstd_repeats_a_byte_and_refuses_what_it_does_not_know() {
        let repeated = [ZSTD, &[0, 0x38], &[(5 << 3) | 1 << 1 | 1, 0, 0, b'x']].concat();
        let mut plain = Vec::new();
        Zstd::default().unpack(&repeated, &mut plain).expect("readable");
        assert_eq!(plain, b"xxxxx");
        let compressed = [ZSTD, &[0, 0x38], &[(1 << 3) | 2 << 1 | 1, 0, 0, 9]].concat();
        assert!(Zstd::default().unpack(&compressed, &mut plain).is_err());
    }
}
