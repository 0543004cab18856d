//! A world from a file: `{ref: {"class": "VM", field: value, ...}, ...}`. Records of older releases lack fields and
//! may have others; what is missing gets its default, what is unknown or unreadable is left out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value as Json};

use crate::clock;
use crate::db::{Db, Ref, class};
use crate::model::{Class, Type, model};
use crate::ops::lifecycle;
use crate::seed::Seed;
use crate::value::{NULL_REF, Value};

/// The class of a record: as the data model spells it or in lower case.
fn class_of(record: &Json) -> Option<&'static Class> {
    let name = record.get("class").or(record.get("$type"))?.as_str()?;
    model().class(name).or_else(|| model().class_of_any_case(name))
}

fn entries(records: &Json) -> anyhow::Result<&Map<String, Json>> {
    records
        .as_object()
        .context("the file must be an object: {ref: {\"class\": \"VM\", ...}, ...}")
}

/// Records as a file has them. A reference that is there twice is refused: JSON keeps the last of them without a word.
pub fn parse(text: &[u8]) -> anyhow::Result<Json> {
    let Records(records) = serde_json::from_slice(text)?;
    Ok(Json::Object(records))
}

struct Records(Map<String, Json>);

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Records, D::Error> {
        input.deserialize_map(RecordsVisitor).map(Records)
    }
}

struct RecordsVisitor;

impl<'de> Visitor<'de> for RecordsVisitor {
    type Value = Map<String, Json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object {ref: {\"class\": \"VM\", ...}, ...}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut records = Map::new();
        while let Some(reference) = entries.next_key::<String>()? {
            match records.entry(reference) {
                Entry::Vacant(free) => drop(free.insert(entries.next_value()?)),
                Entry::Occupied(taken) => {
                    let text = format!("two records have the reference {}", taken.key());
                    return Err(A::Error::custom(text));
                }
            }
        }
        Ok(records)
    }
}

/// How many hosts the records have.
pub fn hosts(records: &Json) -> anyhow::Result<usize> {
    let is_host = |record: &&Json| class_of(record).is_some_and(|class| class.name == "host");
    match entries(records)?.values().filter(is_host).count() {
        0 => bail!("there is no record of class host"),
        hosts => Ok(hosts),
    }
}

/// Fills the database. Gives the hosts, the master first.
pub fn build(db: &mut Db, records: &Json, address: SocketAddr) -> anyhow::Result<Vec<Ref>> {
    // The records may be of a world of the same seed: what is new must not be called as what is there.
    let known = entries(records)?.keys().flat_map(|reference| reference.bytes());
    let known = known.fold(db.seed.next(), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    db.seed = Seed::new(known);
    let mut links = Vec::new();
    for (reference, record) in entries(records)? {
        let Some(class) = class_of(record).filter(|class| class.name != "session") else {
            tracing::warn!(reference, "a record of no known class is left out");
            continue;
        };
        let mut values: Vec<Value> = class.fields.iter().map(|field| field.initial()).collect();
        for (at, field) in class.fields.iter().enumerate() {
            let Some(value) = record.get(&field.name).and_then(|json| read(&field.ty, json)) else {
                continue;
            };
            // Relations are made when all objects are there.
            match field.forward {
                Some(_) => links.push((class, reference.as_str(), at, value)),
                None => values[at] = value,
            }
        }
        // Minimal files leave it out and want hosts that can be used.
        if let Some(at) = class.field("enabled").filter(|_| class.name == "host")
            && record.get("enabled").is_none()
        {
            values[at] = Value::Bool(true);
        }
        db.insert(class, reference, values);
    }
    for (class, reference, at, value) in links {
        db.set_at(class, reference, at, value);
    }
    // A made-up pool numbers its hosts by their addresses, and so do most people.
    let mut hosts = db.refs("host");
    hosts.sort_by_cached_key(|host| db.text("host", host, "address").parse::<IpAddr>().ok());
    if db.count("pool") == 0 {
        db.create("pool", [("master", Value::from(&*hosts[0]))]);
    }
    let master = db.master();
    match hosts.iter().position(|host| **host == *master) {
        Some(at) => hosts[..=at].rotate_right(1),
        None => {
            let pool = db.pool();
            db.set("pool", &pool, "master", &*hosts[0]);
        }
    }
    settle(db, &hosts, address);
    Ok(hosts)
}

/// The hosts are where the simulator listens, they live, and nothing is under way.
fn settle(db: &mut Db, hosts: &[Ref], address: SocketAddr) {
    for (at, host) in hosts.iter().enumerate() {
        let ip = match at {
            0 => Some(address.ip()),
            at => super::supporter_address(address.ip(), at),
        };
        if let Some(ip) = ip {
            db.set("host", host, "address", ip.to_string());
        }
        let metrics = db.text("host", host, "metrics");
        if !db.exists("host_metrics", &metrics) {
            let memory = Value::Int(256 << 30);
            let fields = [("memory_total", memory.clone()), ("memory_free", memory)];
            let made = db.create("host_metrics", fields);
            db.set("host", host, "metrics", &*made);
            db.set("host_metrics", &made, "live", true);
        }
    }
    for class in model().classes.iter() {
        let current = class.field("current_operations");
        for reference in db.refs(&class.name) {
            if let Some(at) = current {
                db.set_at(class, &reference, at, Value::empty_map());
            }
            lifecycle::refresh(db, &class.name, &reference);
        }
    }
}

/// A field of a record, in any form that a release or a tool has written it.
fn read(ty: &Type, json: &Json) -> Option<Value> {
    Some(match (ty, json) {
        (_, Json::Null) => return None,
        (Type::Str | Type::Enum(_) | Type::Ref(_), Json::String(text)) => match (ty, text.as_str()) {
            (Type::Ref(_), "" | "NULL") => Value::from(NULL_REF),
            (_, text) => Value::from(text),
        },
        (Type::Str, Json::Number(number)) => Value::from(number.to_string()),
        (Type::Str, Json::Bool(flag)) => Value::from(flag.to_string()),
        (Type::Int, Json::Number(number)) => {
            Value::Int(number.as_i64().or(number.as_f64().map(|n| n as i64))?)
        }
        (Type::Int, Json::String(text)) => Value::Int(text.trim().parse().ok()?),
        (Type::Float, Json::Number(number)) => Value::Float(number.as_f64()?),
        (Type::Float, Json::String(text)) => Value::Float(text.trim().parse().ok()?),
        (Type::Bool, Json::Bool(flag)) => Value::Bool(*flag),
        (Type::Bool, Json::Number(number)) => Value::Bool(number.as_i64()? != 0),
        (Type::Bool, Json::String(text)) => Value::Bool(text.trim().parse().ok()?),
        (Type::Date, Json::String(text)) => Value::Date(clock::parse(text)?),
        (Type::Date, Json::Number(number)) => Value::Date(number.as_i64()?),
        (Type::Set(item) | Type::Option(item), Json::Array(items)) => {
            Value::Set(items.iter().filter_map(|json| read(item, json)).collect())
        }
        (Type::Map(_, item), Json::Object(entries)) => {
            let entries = entries.iter();
            Value::Map(
                entries
                    .filter_map(|(key, json)| Some((key.as_str().into(), read(item, json)?)))
                    .collect(),
            )
        }
        _ => return None,
    })
}

/// All records but sessions, which are worth nothing elsewhere.
pub fn dump(db: &Db) -> Json {
    let session = class("session").id;
    let mut all = Map::new();
    for class in model().classes.iter().filter(|class| class.id != session) {
        for reference in db.refs(&class.name) {
            let Some(Json::Object(fields)) = db.record(&class.name, &reference) else {
                continue;
            };
            let name = ("class".to_owned(), Json::from(class.name.as_str()));
            let record: Map<String, Json> = std::iter::once(name).chain(fields).collect();
            all.insert(reference.to_string(), Json::Object(record));
        }
    }
    Json::Object(all)
}
