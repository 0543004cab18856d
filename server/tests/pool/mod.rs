//! A pool's records and what is published of them, through the same path that a pool's driver takes.

#![allow(dead_code, reason = "each test program uses its part")]

use serde_json::Value;
use server::inventory::{
    Graph,
    convert::{Converted, essence_changed},
};
use std::{collections::BTreeMap, sync::Arc};
use xapi::{
    Cache, OpaqueRef, Record,
    records::Class,
    watch::{Batch, Event, Operation},
};

/// An object's JSON, its light row, and what it is about.
pub type Bytes<'a> = (&'a [u8], Option<&'a [u8]>, Option<&'a str>);

#[derive(Default)]
pub struct Pool {
    cache: Cache,
    graph: Graph,
    published: BTreeMap<String, (OpaqueRef, Converted)>,
}

pub fn class(name: &str) -> Class {
    Class::from_event(&name.to_lowercase()).unwrap_or_else(|| panic!("{name} is no kept class"))
}

pub fn put(class_name: &str, reference: &str, record: &Value) -> Event {
    let class = class(class_name);
    let record = Record::parse(class, &record.to_string()).expect("a readable record");
    Event {
        class,
        reference: OpaqueRef::parse(reference),
        operation: Operation::Put(record),
    }
}

pub fn delete(class_name: &str, reference: &str) -> Event {
    Event {
        class: class(class_name),
        reference: OpaqueRef::parse(reference),
        operation: Operation::Delete,
    }
}

impl Pool {
    pub fn apply(&mut self, full: bool, events: Vec<Event>) {
        let changes = self.cache.apply(Batch::new(full, events), essence_changed);
        let update = self.graph.update(&mut self.cache, &changes);
        for (reference, id) in update.removed {
            if self
                .published
                .get(&*id)
                .is_some_and(|(behind, _)| *behind == reference)
            {
                self.published.remove(&*id);
            }
        }
        for (reference, converted) in update.put {
            self.published
                .insert(converted.id.to_string(), (reference, converted));
        }
        let mut ids: Vec<Arc<str>> = self.graph.published();
        ids.sort();
        ids.dedup();
        assert!(
            ids.iter()
                .map(|id| &**id)
                .eq(self.published.keys().map(String::as_str)),
            "the graph knows what was published"
        );
    }

    /// The published objects by id.
    pub fn published(&self) -> BTreeMap<String, Value> {
        self.published
            .iter()
            .map(|(id, (_, converted))| {
                let json = serde_json::from_slice(&converted.json).expect("an object is JSON");
                (id.clone(), json)
            })
            .collect()
    }

    /// The rows that lists show, by id.
    pub fn rows(&self) -> BTreeMap<String, Value> {
        let rows = self.published.iter().filter_map(|(id, (_, converted))| {
            let row = serde_json::from_slice(converted.light.as_deref()?).expect("a row is JSON");
            Some((id.clone(), row))
        });
        rows.collect()
    }

    /// Everything that is published of an object, as it is on the wire.
    pub fn bytes(&self) -> BTreeMap<&str, Bytes<'_>> {
        self.published
            .iter()
            .map(|(id, (_, converted))| {
                let light = converted.light.as_deref();
                (id.as_str(), (&*converted.json, light, converted.about.as_deref()))
            })
            .collect()
    }

    /// References of which a slot is kept.
    pub fn references(&self) -> usize {
        self.cache.slots()
    }
}
