//! Dynamic VHD: a footer, a header, a table of blocks, the blocks that hold something, the footer again.
//! A differencing one names its parent and holds what differs: of a block, the sectors whose bit is set.
//! Numbers are big-endian.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Exchange, Flow, raw};
use crate::db::Db;
use crate::fault::Fault;

const SECTOR: u64 = 512;
const BLOCK: u64 = 2 << 20;
/// A bit for each of the 4096 sectors of a block.
const BITMAP: u64 = BLOCK / SECTOR / 8;
const NOWHERE: u32 = u32::MAX;
/// The largest disk that XAPI makes a VHD of.
const LARGEST: u64 = 2040 << 30;
/// Between 1970 and 2000, from where VHD counts.
const EPOCH: i64 = 946_684_800;

fn checksum(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

/// Kinds of images, as footers tell them.
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;

/// The sixteen bytes of a uuid; a text that is none gives zeros.
fn identifier(uuid: &str) -> [u8; 16] {
    let digits: Vec<u8> = uuid.bytes().filter(|byte| *byte != b'-').collect();
    let pairs = digits.chunks(2);
    let bytes: Vec<u8> = pairs
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.try_into().unwrap_or_default()
}

fn footer(size: u64, uuid: &str, now: i64, kind: u32) -> Vec<u8> {
    let mut footer = vec![0; SECTOR as usize];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &2_u32.to_be_bytes());
    put(12, &0x0001_0000_u32.to_be_bytes());
    put(16, &SECTOR.to_be_bytes());
    put(24, &((now - EPOCH).max(0) as u32).to_be_bytes());
    put(28, b"tap\0");
    put(32, &0x0001_0003_u32.to_be_bytes());
    put(40, &size.to_be_bytes());
    put(48, &size.to_be_bytes());
    put(56, &geometry(size / SECTOR));
    put(60, &kind.to_be_bytes());
    put(68, &identifier(uuid));
    let sum = checksum(&footer);
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    footer
}

/// Cylinders, heads and sectors as the format's appendix computes them.
fn geometry(sectors: u64) -> [u8; 4] {
    let sectors = sectors.min(65_535 * 16 * 255);
    let (heads, per_track, cylinders_heads);
    if sectors >= 65_535 * 16 * 63 {
        (per_track, heads) = (255, 16);
        cylinders_heads = sectors / per_track;
    } else {
        let mut track = 17;
        let mut by_heads = sectors / track;
        let mut head = by_heads.div_ceil(1024).max(4);
        if by_heads >= head * 1024 || head > 16 {
            (track, head) = (31, 16);
            by_heads = sectors / track;
        }
        if by_heads >= head * 1024 {
            (track, head) = (63, 16);
            by_heads = sectors / track;
        }
        (per_track, heads, cylinders_heads) = (track, head, by_heads);
    }
    let cylinders = (cylinders_heads / heads) as u16;
    let [high, low] = cylinders.to_be_bytes();
    [high, low, heads as u8, per_track as u8]
}

fn header(entries: u32, parent: Option<&str>, now: i64) -> Vec<u8> {
    let mut header = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"cxsparse");
    put(8, &u64::MAX.to_be_bytes());
    put(16, &(3 * SECTOR).to_be_bytes());
    put(24, &0x0001_0000_u32.to_be_bytes());
    put(28, &entries.to_be_bytes());
    put(32, &(BLOCK as u32).to_be_bytes());
    if let Some(parent) = parent {
        put(40, &identifier(parent));
        put(56, &((now - EPOCH).max(0) as u32).to_be_bytes());
        let name: Vec<u8> = format!("{parent}.vhd")
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        put(64, &name[..name.len().min(512)]);
    }
    let sum = checksum(&header);
    header[36..40].copy_from_slice(&sum.to_be_bytes());
    header
}

/// What a block of the image holds: its bytes, and which of its sectors count. `None`: nothing.
fn block(
    db: &Db,
    disk: [&str; 2],
    base: Option<[&str; 2]>,
    at: u64,
    length: usize,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let held = db.disks.read(disk[0], disk[1], at, length);
    let Some(base) = base else {
        return held.map(|bytes| (bytes, vec![0xff; BITMAP as usize]));
    };
    let before = db.disks.read(base[0], base[1], at, length);
    if held == before {
        return None;
    }
    let bytes = held.unwrap_or_else(|| vec![0; length]);
    let before = before.unwrap_or_else(|| vec![0; length]);
    let mut bits = vec![0; BITMAP as usize];
    let sectors = bytes.chunks(SECTOR as usize).zip(before.chunks(SECTOR as usize));
    for (sector, _) in sectors.enumerate().filter(|(_, (now, then))| now != then) {
        bits[sector / 8] |= 0x80 >> (sector % 8);
    }
    Some((bytes, bits))
}

/// The whole disk, or what differs from a base: `[reference, uuid]`.
pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    [vdi, uuid]: [&str; 2],
    size: u64,
    base: Option<[&str; 2]>,
) -> Flow<()> {
    if size > LARGEST {
        return Err(Fault::new("VDI_TOO_LARGE", [vdi, &LARGEST.to_string()]).into());
    }
    let blocks = size.div_ceil(BLOCK);
    let now = exchange.pool.db().now();
    let kind = if base.is_some() { DIFFERENCING } else { DYNAMIC };
    let footer = footer(size, uuid, now, kind);
    let table_size = (blocks * 4).next_multiple_of(SECTOR);
    let mut table = Vec::with_capacity(table_size as usize);
    let mut kept = Vec::new();
    let mut place = 3 * SECTOR + table_size;
    for number in 0..blocks {
        let length = BLOCK.min(size - number * BLOCK) as usize;
        let holds = block(&exchange.pool.db(), [vdi, uuid], base, number * BLOCK, length).is_some();
        let sector = if holds { (place / SECTOR) as u32 } else { NOWHERE };
        table.extend_from_slice(&sector.to_be_bytes());
        if holds {
            kept.push(number);
            place += BITMAP + BLOCK;
        }
    }
    table.resize(table_size as usize, 0xff);
    exchange.send(&footer).await?;
    exchange
        .send(&header(blocks as u32, base.map(|base| base[1]), now))
        .await?;
    exchange.send(&table).await?;
    for (at, number) in kept.iter().enumerate() {
        let length = BLOCK.min(size - number * BLOCK) as usize;
        let held = block(&exchange.pool.db(), [vdi, uuid], base, number * BLOCK, length);
        // It may have become what its base is meanwhile: then no sector of it counts.
        let (mut bytes, bits) = held.unwrap_or_else(|| (vec![], vec![0; BITMAP as usize]));
        bytes.resize(BLOCK as usize, 0);
        exchange.send(&bits).await?;
        exchange.send(&bytes).await?;
        exchange.progress(at as f64 / kept.len() as f64)?;
    }
    exchange.send(&footer).await
}

fn bad(text: &str) -> Broken {
    Broken::Fault(Fault::new("IMPORT_ERROR", [format!("VHD: {text}")]))
}

/// Reads the blocks in the order in which they come. What a differencing image does not hold stays as it is.
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    vdi: &str,
    uuid: &str,
    size: u64,
) -> Flow<()> {
    let ends = || bad("it ends early");
    let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut at = SECTOR;
    let footer = exchange.take(SECTOR as usize).await?.ok_or_else(ends)?;
    let mut unsummed = footer.clone();
    unsummed[64..68].fill(0);
    if &footer[..8] != b"conectix" || u64::from(checksum(&unsummed)) != number(&footer[64..68]) {
        return Err(bad("no footer"));
    }
    let kind = number(&footer[60..64]) as u32;
    if !matches!(kind, DYNAMIC | DIFFERENCING) {
        return Err(bad("neither a dynamic nor a differencing disk"));
    }
    if number(&footer[48..56]) > size {
        return Err(bad("larger than the disk"));
    }
    let mut skip_to = number(&footer[16..24]);
    let header = match gap(at, skip_to)? {
        0 => exchange.take(1024).await?.ok_or_else(ends)?,
        gap => {
            exchange.take(gap).await?.ok_or_else(ends)?;
            exchange.take(1024).await?.ok_or_else(ends)?
        }
    };
    at = skip_to + 1024;
    let (entries, block) = (number(&header[28..32]), number(&header[32..36]));
    if &header[..8] != b"cxsparse" || block == 0 || block % SECTOR != 0 || block > 64 << 20 {
        return Err(bad("no header"));
    }
    if entries > size.div_ceil(block) {
        return Err(bad("more blocks than the disk has"));
    }
    skip_to = number(&header[16..24]);
    exchange.take(gap(at, skip_to)?).await?;
    let table = exchange.take(entries as usize * 4).await?.ok_or_else(ends)?;
    at = skip_to + entries * 4;
    let mut places: Vec<(u64, u64)> = table
        .chunks_exact(4)
        .enumerate()
        .map(|(block, sector)| (number(sector), block as u64))
        .filter(|(sector, _)| *sector != u64::from(NOWHERE))
        .collect();
    places.sort_unstable();
    let bitmap = (block / SECTOR / 8).next_multiple_of(SECTOR);
    for (done, (sector, number)) in places.iter().enumerate() {
        exchange.take(gap(at, sector * SECTOR)?).await?;
        let bits = exchange.take(bitmap as usize).await?.ok_or_else(ends)?;
        let start = number * block;
        for piece in (0..block).step_by(raw::PIECE.min(block) as usize) {
            let length = raw::PIECE.min(block - piece);
            let mut bytes = exchange.take(length as usize).await?.ok_or_else(ends)?;
            let place = start + piece;
            let under = match kind {
                DIFFERENCING => exchange.pool.db().disks.read(vdi, uuid, place, bytes.len()),
                _ => None,
            };
            // What is not there is nothing, or what the parent holds.
            for (at, sector) in (0..bytes.len()).step_by(SECTOR as usize).zip(piece / SECTOR..) {
                if bits[sector as usize / 8] & (0x80 >> (sector % 8)) == 0 {
                    let own = &mut bytes[at..at + SECTOR as usize];
                    match &under {
                        Some(under) => own.copy_from_slice(&under[at..at + SECTOR as usize]),
                        None => own.fill(0),
                    }
                }
            }
            if place < size {
                bytes.truncate((size - place).min(length) as usize);
                raw::write(exchange, vdi, uuid, size, place, &bytes)?;
            }
        }
        at = sector * SECTOR + bitmap + block;
        exchange.progress(done as f64 / places.len() as f64)?;
    }
    // The footer again, and what else there is.
    while exchange.length().is_none_or(|left| left > 0) && exchange.take(SECTOR as usize).await?.is_some() {}
    Ok(())
}

/// How far it is to the next part, which lies behind what was read.
fn gap(from: u64, to: u64) -> Flow<usize> {
    match to.checked_sub(from) {
        Some(gap) if gap <= 64 << 20 => Ok(gap as usize),
        _ => Err(bad("parts that overlap")),
    }
}
