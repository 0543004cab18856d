//! Whatever happens to records, in whatever order and batches: what is published is what these records give
//! when they are converted from scratch. This is what "recomputed when anything that it was computed from
//! changes" means, for every conversion at once.

mod pool;

use pool::Pool;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use xapi::watch::{Event, Operation};

/// How a field's value is made: `>C` a reference to class C, `*C` a list of them, `#C` a map from references
/// of C, `u` uuid, `i` integer, `b` boolean, `d` date, `p` power state, `t` text, and words of their own.
const CLASSES: &[(&str, &[(&str, &str)])] = &[
    (
        "pool",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("master", ">host"),
            ("default_SR", ">SR"),
            ("suspend_image_SR", ">SR"),
            ("ha_statefiles", "*VDI"),
            ("current_operations", "#task"),
        ],
    ),
    (
        "host",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("metrics", ">host_metrics"),
            ("control_domain", ">VM"),
            ("resident_VMs", "*VM"),
            ("PIFs", "*PIF"),
            ("PBDs", "*PBD"),
            ("patches", "*host_patch"),
            ("updates", "*pool_update"),
            ("certificates", "*Certificate"),
            ("software_version", "version"),
        ],
    ),
    (
        "host_metrics",
        &[
            ("uuid", "u"),
            ("live", "b"),
            ("memory_total", "i"),
            ("memory_free", "i"),
        ],
    ),
    (
        "Certificate",
        &[("uuid", "u"), ("fingerprint", "t"), ("not_after", "d")],
    ),
    (
        "pool_update",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("vdi", ">VDI"),
            ("hosts", "*host"),
        ],
    ),
    (
        "pool_patch",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("pool_applied", "b"),
            ("host_patches", "*host_patch"),
        ],
    ),
    (
        "host_patch",
        &[
            ("uuid", "u"),
            ("host", ">host"),
            ("pool_patch", ">pool_patch"),
            ("applied", "b"),
        ],
    ),
    (
        "VM",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("power_state", "p"),
            ("is_a_template", "b"),
            ("is_default_template", "b"),
            ("is_a_snapshot", "b"),
            ("snapshot_of", ">VM"),
            ("snapshots", "*VM"),
            ("parent", ">VM"),
            ("resident_on", ">host"),
            ("affinity", ">host"),
            ("metrics", ">VM_metrics"),
            ("guest_metrics", ">VM_guest_metrics"),
            ("VBDs", "*VBD"),
            ("VIFs", "*VIF"),
            ("VGPUs", "*VGPU"),
            ("suspend_SR", ">SR"),
            ("suspend_VDI", ">VDI"),
            ("current_operations", "#task"),
            ("VCPUs_at_startup", "i"),
        ],
    ),
    (
        "VM_metrics",
        &[
            ("uuid", "u"),
            ("VCPUs_number", "i"),
            ("memory_actual", "i"),
            ("start_time", "d"),
        ],
    ),
    (
        "VM_guest_metrics",
        &[
            ("uuid", "u"),
            ("PV_drivers_version", "tools"),
            ("networks", "addresses"),
        ],
    ),
    (
        "SR",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("type", "sr"),
            ("shared", "b"),
            ("PBDs", "*PBD"),
            ("VDIs", "*VDI"),
            ("physical_size", "i"),
        ],
    ),
    (
        "PBD",
        &[
            ("uuid", "u"),
            ("host", ">host"),
            ("SR", ">SR"),
            ("currently_attached", "b"),
            ("device_config", "provisioning"),
        ],
    ),
    (
        "VDI",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("SR", ">SR"),
            ("VBDs", "*VBD"),
            ("managed", "b"),
            ("is_a_snapshot", "b"),
            ("snapshot_of", ">VDI"),
            ("snapshots", "*VDI"),
            ("virtual_size", "i"),
            ("physical_utilisation", "i"),
            ("sm_config", "parent"),
        ],
    ),
    (
        "VBD",
        &[("uuid", "u"), ("VM", ">VM"), ("VDI", ">VDI"), ("type", "drive")],
    ),
    (
        "network",
        &[
            ("uuid", "u"),
            ("name_label", "t"),
            ("PIFs", "*PIF"),
            ("VIFs", "*VIF"),
        ],
    ),
    (
        "PIF",
        &[
            ("uuid", "u"),
            ("host", ">host"),
            ("network", ">network"),
            ("metrics", ">PIF_metrics"),
            ("bond_slave_of", ">Bond"),
            ("bond_master_of", "*Bond"),
        ],
    ),
    ("PIF_metrics", &[("uuid", "u"), ("speed", "i"), ("carrier", "b")]),
    ("Bond", &[("uuid", "u"), ("master", ">PIF"), ("slaves", "*PIF")]),
    ("VIF", &[("uuid", "u"), ("VM", ">VM"), ("network", ">network")]),
    (
        "task",
        &[
            ("uuid", "u"),
            ("resident_on", ">host"),
            ("other_config", "applies"),
            ("progress", "i"),
        ],
    ),
    ("message", &[("uuid", "u"), ("obj_uuid", "t")]),
    (
        "PGPU",
        &[
            ("uuid", "u"),
            ("host", ">host"),
            ("resident_VGPUs", "*VGPU"),
            ("GPU_group", ">GPU_group"),
        ],
    ),
    (
        "GPU_group",
        &[("uuid", "u"), ("PGPUs", "*PGPU"), ("VGPUs", "*VGPU")],
    ),
    (
        "VGPU",
        &[
            ("uuid", "u"),
            ("VM", ">VM"),
            ("resident_on", ">PGPU"),
            ("GPU_group", ">GPU_group"),
        ],
    ),
];

/// References per class; all but the pool.
const EACH: u64 = 4;

/// SplitMix64: the same seed, the same case.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// A reference of the class: to something, to nothing, or none.
    fn reference(&mut self, class: &str) -> String {
        match self.below(8) {
            0 => "OpaqueRef:NULL".to_owned(),
            number => format!("OpaqueRef:{class}-{}", number % (EACH + 1)),
        }
    }

    fn list(&mut self, class: &str) -> Vec<String> {
        (0..self.below(4)).map(|_| self.reference(class)).collect()
    }

    fn value(&mut self, kind: &str, class: &str, number: u64) -> Value {
        match kind.split_at(1) {
            (">", class) => json!(self.reference(class)),
            ("*", class) => json!(self.list(class)),
            ("#", class) => self
                .list(class)
                .into_iter()
                .map(|task| (task, json!("start")))
                .collect::<Map<_, _>>()
                .into(),
            // Two generations of uuids: a uuid may change, and never means two records.
            ("u", "") => json!(format!("{class}-{number}-{}", self.below(10) / 9)),
            ("i", "") => json!(self.below(3) * 1000),
            ("b", "") => json!(self.below(2) == 0),
            ("d", "") => json!(self.pick(&["20240131T12:34:56Z", "19700101T00:00:00Z"])),
            ("t", "") => json!(self.pick(&["", "a", "b"])),
            ("p", "") => json!(self.pick(&["Running", "Halted", "Paused", "Suspended"])),
            _ => match kind {
                "parent" => {
                    json!({ "vhd-parent": format!("VDI-{}-{}", self.below(EACH + 1), self.below(10) / 9) })
                }
                "applies" => json!({ "applies_to": self.reference("VM") }),
                "version" => json!({ "platform_version": self.pick(&["2.5.0", "3.4.0"]) }),
                "provisioning" => json!({ "provisioning": self.pick(&["thin", "thick"]) }),
                "tools" => self
                    .pick(&[r#"{"major":"7","minor":"1"}"#, "{}"])
                    .parse()
                    .expect("JSON"),
                "addresses" => json!({ "0/ip": self.pick(&["10.0.0.1", "10.0.0.2"]) }),
                "sr" => json!(self.pick(&["linstor", "ext", "lvm"])),
                "drive" => json!(self.pick(&["Disk", "CD"])),
                other => panic!("unknown kind {other}"),
            },
        }
    }

    fn record(&mut self, class: &str, fields: &[(&str, &str)], number: u64) -> Value {
        let mut record = Map::new();
        for (field, kind) in fields {
            // Fields may be unknown to a pool; an object without uuid is known by its reference.
            if self.below(30) > 0 {
                record.insert((*field).to_owned(), self.value(kind, class, number));
            }
        }
        record.into()
    }
}

type Records = BTreeMap<(&'static str, String), Value>;

/// One change of the world, and the events that tell of it.
fn step(dice: &mut Dice, records: &mut Records, events: &mut Vec<Event>) {
    let (class, fields) = dice.pick(CLASSES);
    let number = if class == "pool" { 0 } else { dice.below(EACH) };
    let reference = format!("OpaqueRef:{class}-{number}");
    let twin = format!("OpaqueRef:{class}-{number}-again");
    let key = |reference: &str| (class, reference.to_owned());
    match dice.below(20) {
        // The pool goes less often: without it there is nothing to see.
        0..=4 if class != "pool" || dice.below(20) == 0 => {
            records.remove(&key(&reference));
            events.push(pool::delete(class, &reference));
        }
        5 if class != "pool" => {
            records.remove(&key(&reference));
            events.push(Event {
                operation: Operation::Unreadable,
                ..pool::delete(class, &reference)
            });
        }
        // Forgotten and introduced again: the same uuid, another reference, in either order of events.
        6 if class == "VDI" => {
            let (old, new) = if records.contains_key(&key(&twin)) {
                (twin, reference)
            } else {
                (reference, twin)
            };
            let Some(record) = records.remove(&key(&old)) else {
                return;
            };
            events.push(pool::delete(class, &old));
            let put = pool::put(class, &new, &record);
            let position = events.len() - dice.below(2) as usize;
            events.insert(position, put);
            records.insert(key(&new), record);
        }
        _ if records.contains_key(&key(&twin)) => {}
        _ => {
            let fresh = dice.record(class, fields, number);
            let record = match records.get(&key(&reference)) {
                // Most changes touch one field.
                Some(old) if dice.below(4) > 0 => {
                    let (field, _) = dice.pick(fields);
                    let mut record = old.clone();
                    record[field] = fresh.get(field).cloned().unwrap_or_default();
                    record
                }
                _ => fresh,
            };
            events.push(pool::put(class, &reference, &record));
            records.insert(key(&reference), record);
        }
    }
}

fn listing(records: &Records) -> Vec<Event> {
    records
        .iter()
        .map(|((class, reference), record)| pool::put(class, reference, record))
        .collect()
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let (mut records, mut pool) = (Records::new(), Pool::default());
    for _ in 0..dice.below(12) + 1 {
        let mut events = Vec::new();
        for _ in 0..dice.below(60) + 1 {
            step(&mut dice, &mut records, &mut events);
        }
        // Now and then everything is listed anew, which also tells what has gone without a word.
        if dice.below(6) == 0 {
            pool.apply(true, listing(&records));
        } else {
            pool.apply(false, events);
        }
    }
    let mut scratch = Pool::default();
    let mut events = listing(&records);
    for index in (1..events.len()).rev() {
        events.swap(index, dice.below(index as u64 + 1) as usize);
    }
    scratch.apply(true, events);
    let (found, expected) = (pool.bytes(), scratch.bytes());
    for id in found.keys().chain(expected.keys()) {
        let show = |object: Option<&(&[u8], Option<&[u8]>, Option<&str>)>| {
            object.map_or_else(
                || "nothing".to_owned(),
                |(json, light, _)| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    format!("{} {}", text(json), light.map(text).unwrap_or_default())
                },
            )
        };
        assert!(
            found.get(id) == expected.get(id),
            "seed {seed}: {id} is\n{}\nand should be\n{}",
            show(found.get(id)),
            show(expected.get(id))
        );
    }
    pool.apply(true, Vec::new());
    assert!(pool.bytes().is_empty(), "seed {seed}: objects without records");
    assert_eq!(
        pool.references(),
        0,
        "seed {seed}: references without records are kept"
    );
}

#[test]
fn what_is_published_is_what_a_conversion_from_scratch_gives() {
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    match first {
        Some(seed) => run(seed),
        None => (0..400).for_each(run),
    }
}
