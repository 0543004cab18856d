//! MurmurHash3 of 32 bits, fed piece by piece, as today's product computes the ids of rights with it.
//!
//! It is fed UTF-16 units and not bytes. A unit above 255 spills over its place in the block; each place
//! spills in its own way, and so it must here, or the ids of such names would differ.

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hash {
    hash: u32,
    block: u32,
    /// Units in `block`.
    filled: usize,
    length: u32,
}

fn mix(block: u32) -> u32 {
    block
        .wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

impl Hash {
    pub(super) fn add(&mut self, text: &str) {
        for unit in text.encode_utf16() {
            let unit = u32::from(unit);
            self.length = self.length.wrapping_add(1);
            self.block ^= match self.filled {
                0 => unit,
                1 => unit << 8,
                2 => unit << 16,
                _ => (unit & 0xff) << 24 | (unit & 0xff00) >> 8,
            };
            self.filled += 1;
            if self.filled == 4 {
                self.hash ^= mix(self.block);
                self.hash = self
                    .hash
                    .rotate_left(13)
                    .wrapping_mul(5)
                    .wrapping_add(0xe654_6b64);
                (self.block, self.filled) = (0, 0);
            }
        }
    }

    pub(super) fn result(self) -> u32 {
        let mut hash = self.hash;
        // As a signed number: a rest that is "negative" is left out there.
        if self.block.cast_signed() > 0 {
            hash ^= mix(self.block);
        }
        hash ^= self.length;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        hash ^ hash >> 16
    }
}
