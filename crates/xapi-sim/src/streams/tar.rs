//! As much of tar as XVA files need: plain files with short names.

/// Size of a header, and what contents are padded to.
pub const BLOCK: usize = 512;

pub struct Entry {
    pub name: String,
    pub size: u64,
}

pub fn header(name: &str, size: usize) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    for at in [100, 108, 116] {
        put(at, b"0000000\0");
    }
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A file as it stands in an archive.
pub fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut file = header(name, bytes.len());
    file.extend_from_slice(bytes);
    file.resize(file.len().next_multiple_of(BLOCK), 0);
    file
}

/// Reads a header; `Ok(None)` for the empty block at the end of an archive.
pub fn read(block: &[u8]) -> Result<Option<Entry>, &'static str> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    if octal(&block[148..156]) != Some(u64::from(sum)) {
        return Err("a header's checksum is wrong");
    }
    if !matches!(block[156], b'0' | 0) {
        return Err("something else than a file");
    }
    let end = block[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
    let name = std::str::from_utf8(&block[..end]).map_err(|_| "a name is no text")?;
    Ok(Some(Entry {
        name: name.to_owned(),
        size: octal(&block[124..136]).ok_or("a size is no number")?,
    }))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let file = file("Ref:7/00000001", b"abc");
        assert_eq!(file.len(), 2 * BLOCK);
        let entry = read(&file[..BLOCK]).expect("valid").expect("a file");
        assert_eq!((entry.name.as_str(), entry.size), ("Ref:7/00000001", 3));
        assert!(read(&[0; BLOCK]).expect("the end").is_none());
        let mut wrong = file;
        wrong[3] ^= 1;
        assert!(read(&wrong[..BLOCK]).is_err());
    }
}
