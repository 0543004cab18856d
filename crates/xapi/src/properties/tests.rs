//! The properties, asked of real answers changed at random. `XAPI_FUZZ_SEED` plays a run again.

use super::*;
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use std::{fs, path::Path};

/// Changed inputs per target.
const ROUNDS: usize = 1_500;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("seeds")
        .map(|file| file.expect("a seed").path())
        .collect();
    files.sort();
    assert!(files.len() > 3, "{target} has seeds");
    files
        .iter()
        .map(|file| fs::read(file).expect("readable"))
        .collect()
}

fn seed() -> u64 {
    match std::env::var("XAPI_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => rand::random(),
    }
}

const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "1e400",
    "-9223372036854775809",
    "0.1",
    "\\ud800",
    "\\u0065",
    "<value>",
    "</value>",
    "<value/>",
    "<struct>",
    "<array><data>",
    "<nil/>",
    "<i4>7</i4>",
    "&#x1;",
    "&amp;",
    "<!--",
    "-->",
    "<![CDATA[x]]>",
    "\u{1}",
    "é",
    "OpaqueRef:NULL",
    "\"error\":",
    "\"result\":",
    "\"events\":[",
    "\"class\":\"vm\"",
    "\"snapshot\":",
    "\"uuid\":1",
];

/// A seed with a few changes.
fn changed(dice: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[dice.random_range(0..seeds.len())].clone();
    for _ in 0..dice.random_range(1..6) {
        let from = dice.random_range(0..=input.len());
        let to = (from + dice.random_range(0..40)).min(input.len());
        match dice.random_range(0..6) {
            0 if from < input.len() => input[from] = dice.random(),
            1 => drop(input.drain(from..to)),
            2 => {
                let copy = input[from..to].to_vec();
                let at = dice.random_range(0..=input.len());
                input.splice(at..at, copy);
            }
            3 => input.truncate(from.max(input.len() / 2)),
            4 => {
                let other = &seeds[dice.random_range(0..seeds.len())];
                let start = dice.random_range(0..=other.len());
                let end = (start + dice.random_range(0..200)).min(other.len());
                input.splice(from..to, other[start..end].iter().copied());
            }
            _ => {
                let piece = PIECES[dice.random_range(0..PIECES.len())].bytes();
                input.splice(from..from, piece);
            }
        }
    }
    input
}

fn ask(target: &str, property: impl Fn(&[u8])) {
    let seed = seed();
    let mut dice = StdRng::seed_from_u64(seed);
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| property(seed));
    for _ in 0..ROUNDS {
        let input = changed(&mut dice, &seeds);
        let shown = String::from_utf8_lossy(&input).into_owned();
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(&input)));
        assert!(held.is_ok(), "XAPI_FUZZ_SEED={seed}, {target} with\n{shown}");
    }
}

#[test]
fn changed_xml_rpc_answers() {
    ask("xml_rpc", xml_rpc);
}

#[test]
fn changed_json_rpc_answers() {
    ask("json_rpc", json_rpc);
}

#[test]
fn changed_listings_of_events() {
    ask("events", events_input);
}

#[test]
fn changed_records() {
    ask("records", record_input);
}

#[test]
fn changed_texts() {
    ask("texts", |input| text(&String::from_utf8_lossy(input)));
}

/// A pool's answer over one protocol is its answer over the other.
#[test]
fn both_protocols_give_the_same_records() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut compared = 0;
    for &class in Class::ALL {
        let read = |protocol: &str| fs::read(folder.join(protocol).join(class.name())).ok();
        if let (Some(json), Some(xml)) = (read("json_rpc"), read("xml_rpc")) {
            let json = json_rpc::decode(json.into()).expect("an answer");
            let xml = xml_rpc::decode(&xml).expect("an answer");
            let parse = |answer: &Answer| {
                let text = std::str::from_utf8(answer.json()).expect("text");
                Record::parse(class, text).expect("a record")
            };
            assert_eq!(parse(&json), parse(&xml), "{}", class.name());
            compared += 1;
        }
    }
    assert!(compared >= 5);
}
