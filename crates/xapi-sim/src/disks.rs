//! What is on the disks: nothing, but for what was written, in memory and up to a limit. Disks of the made-up world
//! begin with a few lines that name them, so that a copy can be told from an empty disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Unit of storage.
const UNIT: u64 = 64 << 10;
/// Most that the disks of a pool hold together; more is an error of their repository.
pub const LIMIT: usize = 512 << 20;

pub struct Disks {
    known: FxHashMap<Box<str>, Disk>,
    units: usize,
    limit: usize,
}

impl Default for Disks {
    fn default() -> Disks {
        Disks {
            known: FxHashMap::default(),
            units: 0,
            limit: LIMIT / UNIT as usize,
        }
    }
}

#[derive(Clone)]
struct Disk {
    /// The uuid that its made-up first lines tell; none when it began empty.
    origin: Option<Box<str>>,
    units: BTreeMap<u64, Arc<[u8]>>,
}

/// No memory is left for what is written.
#[derive(Debug)]
pub struct Full;

impl Disks {
    /// It begins empty.
    pub fn blank(&mut self, vdi: &str) {
        self.remove(vdi);
        let blank = Disk {
            origin: None,
            units: BTreeMap::new(),
        };
        self.known.insert(vdi.into(), blank);
    }

    /// What is on one is on the other now; written units are shared until they are written again.
    pub fn copy(&mut self, from: &str, uuid: &str, to: &str) {
        let copy = self.disk(from, uuid).clone();
        self.remove(to);
        self.units += copy.units.len();
        self.known.insert(to.into(), copy);
    }

    pub fn remove(&mut self, vdi: &str) {
        if let Some(disk) = self.known.remove(vdi) {
            self.units -= disk.units.len();
        }
    }

    fn disk(&mut self, vdi: &str, uuid: &str) -> &mut Disk {
        self.known.entry(vdi.into()).or_insert_with(|| Disk {
            origin: Some(uuid.into()),
            units: BTreeMap::new(),
        })
    }

    /// The bytes there; `None` when all of them are zero.
    pub fn read(&self, vdi: &str, uuid: &str, at: u64, length: usize) -> Option<Vec<u8>> {
        let known = self.known.get(vdi);
        let origin = known.map_or(Some(uuid), |disk| disk.origin.as_deref());
        let mut bytes = vec![0; length];
        let mut any = false;
        let end = at + length as u64;
        for number in at / UNIT..end.div_ceil(UNIT) {
            let written = known.and_then(|disk| disk.units.get(&number)).cloned();
            let Some(unit) = written.or_else(|| origin.filter(|_| number == 0).map(made_up)) else {
                continue;
            };
            let start = number * UNIT;
            let (from, to) = (at.max(start), end.min(start + UNIT));
            let part = &unit[(from - start) as usize..(to - start) as usize];
            any |= part.iter().any(|byte| *byte != 0);
            bytes[(from - at) as usize..(to - at) as usize].copy_from_slice(part);
        }
        any.then_some(bytes)
    }

    pub fn write(&mut self, vdi: &str, uuid: &str, at: u64, bytes: &[u8]) -> Result<(), Full> {
        let end = at + bytes.len() as u64;
        for number in at / UNIT..end.div_ceil(UNIT) {
            let start = number * UNIT;
            let (from, to) = (at.max(start), end.min(start + UNIT));
            let part = &bytes[(from - at) as usize..(to - at) as usize];
            let mut unit = self.read(vdi, uuid, start, UNIT as usize).unwrap_or_default();
            let is_new = !self.disk(vdi, uuid).units.contains_key(&number);
            if unit.is_empty() {
                if is_new && part.iter().all(|byte| *byte == 0) {
                    continue;
                }
                unit.resize(UNIT as usize, 0);
            }
            unit[(from - start) as usize..(to - start) as usize].copy_from_slice(part);
            if is_new {
                if self.units >= self.limit {
                    return Err(Full);
                }
                self.units += 1;
            }
            self.disk(vdi, uuid).units.insert(number, unit.into());
        }
        Ok(())
    }
}

fn made_up(uuid: &str) -> Arc<[u8]> {
    let mut unit = vec![0; UNIT as usize];
    let text = format!("Simulated disk {uuid}\n");
    unit[..text.len()].copy_from_slice(text.as_bytes());
    // As a disk that can be booted has.
    unit[510..512].copy_from_slice(&[0x55, 0xaa]);
    unit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_rest_is_nothing() {
        let mut disks = Disks::default();
        disks.blank("a");
        assert_eq!(disks.read("a", "u", 0, 1 << 20), None);
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at as u8 | 1).collect();
        disks.write("a", "u", 100_001, &bytes).expect("room");
        assert_eq!(disks.read("a", "u", 100_001, bytes.len()), Some(bytes.clone()));
        let around = disks.read("a", "u", 100_000, 3).expect("something");
        assert_eq!(around, [0, bytes[0], bytes[1]]);
        // A copy goes its own way.
        disks.copy("a", "u", "b");
        disks.write("a", "u", 100_001, &[9]).expect("room");
        assert_eq!(disks.read("b", "u", 100_001, 1), Some(vec![bytes[0]]));
        // Zeros over something are something that was written; over nothing they are nothing.
        let held = disks.units;
        disks.write("a", "u", 10 << 20, &[0; 100_000]).expect("room");
        assert_eq!(disks.units, held);
        disks
            .write("a", "u", 100_001, &vec![0; bytes.len()])
            .expect("room");
        assert_eq!(disks.read("a", "u", 0, 1 << 20), None);
        disks.remove("a");
        disks.remove("b");
        assert_eq!(disks.units, 0);
    }

    #[test]
    fn the_worlds_disks_tell_who_they_are_and_memory_has_an_end() {
        let mut disks = Disks::default();
        let first = disks.read("world", "some-uuid", 0, 512).expect("lines");
        assert!(first.starts_with(b"Simulated disk some-uuid\n"));
        assert_eq!(first[510..], [0x55, 0xaa]);
        disks.limit = 10;
        let unit = vec![1; UNIT as usize];
        let written = (0..100).find(|at| disks.write("w", "u", at * UNIT, &unit).is_err());
        assert_eq!(written, Some(10));
        // What is there can be written again, and room comes back.
        disks.write("w", "u", 0, &[2]).expect("room");
        disks.remove("w");
        disks.write("x", "u", 0, &[2]).expect("room");
    }
}
