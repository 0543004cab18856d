//! Dynamic VHD: a footer, a header, a table of blocks, the blocks that hold something, the footer again.
//! Numbers are big-endian.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Broken, Exchange, Flow, raw};
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

fn footer(size: u64, uuid: &str, now: i64) -> Vec<u8> {
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
    // A dynamic disk.
    put(60, &3_u32.to_be_bytes());
    let id: Vec<u8> = uuid
        .bytes()
        .filter(|byte| *byte != b'-')
        .collect::<Vec<u8>>()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    put(68, id.get(..16).unwrap_or(&[0; 16]));
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

fn header(entries: u32) -> Vec<u8> {
    let mut header = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"cxsparse");
    put(8, &u64::MAX.to_be_bytes());
    put(16, &(3 * SECTOR).to_be_bytes());
    put(24, &0x0001_0000_u32.to_be_bytes());
    put(28, &entries.to_be_bytes());
    put(32, &(BLOCK as u32).to_be_bytes());
    let sum = checksum(&header);
    header[36..40].copy_from_slice(&sum.to_be_bytes());
    header
}

pub async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    vdi: &str,
    uuid: &str,
    size: u64,
) -> Flow<()> {
    if size > LARGEST {
        return Err(Fault::new("VDI_TOO_LARGE", [vdi, &LARGEST.to_string()]).into());
    }
    let blocks = size.div_ceil(BLOCK);
    let footer = footer(size, uuid, exchange.pool.db().now());
    let table_size = (blocks * 4).next_multiple_of(SECTOR);
    let mut table = Vec::with_capacity(table_size as usize);
    let mut kept = Vec::new();
    let mut place = 3 * SECTOR + table_size;
    for block in 0..blocks {
        let length = BLOCK.min(size - block * BLOCK) as usize;
        let holds = exchange
            .pool
            .db()
            .disks
            .read(vdi, uuid, block * BLOCK, length)
            .is_some();
        let sector = if holds { (place / SECTOR) as u32 } else { NOWHERE };
        table.extend_from_slice(&sector.to_be_bytes());
        if holds {
            kept.push(block);
            place += BITMAP + BLOCK;
        }
    }
    table.resize(table_size as usize, 0xff);
    exchange.send(&footer).await?;
    exchange.send(&header(blocks as u32)).await?;
    exchange.send(&table).await?;
    for (at, block) in kept.iter().enumerate() {
        let length = BLOCK.min(size - block * BLOCK) as usize;
        let bytes = exchange.pool.db().disks.read(vdi, uuid, block * BLOCK, length);
        let mut bytes = bytes.unwrap_or_default();
        bytes.resize(BLOCK as usize, 0);
        exchange.send(&[0xff; BITMAP as usize]).await?;
        exchange.send(&bytes).await?;
        exchange.progress(at as f64 / kept.len() as f64)?;
    }
    exchange.send(&footer).await
}

fn bad(text: &str) -> Broken {
    Broken::Fault(Fault::new("IMPORT_ERROR", [format!("VHD: {text}")]))
}

/// Reads the blocks in the order in which they come.
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
    if number(&footer[60..64]) != 3 {
        return Err(bad("not a dynamic disk"));
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
            // What is not there is nothing.
            for (sector, bytes) in (piece / SECTOR..).zip(bytes.chunks_mut(SECTOR as usize)) {
                if bits[sector as usize / 8] & (0x80 >> (sector % 8)) == 0 {
                    bytes.fill(0);
                }
            }
            let place = start + piece;
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
