//! What each kind of light record can be searched and filtered by.

use super::class::{Light, Row};
use crate::{
    model::light::{LightHost, LightNetwork, LightPool, LightSr, LightTask, LightVm},
    query::{Field, Lookup},
};
use rustc_hash::FxHashMap;
use std::sync::Arc;

macro_rules! light {
    ($($record:ty => |$row:ident| [$($text:expr),*], [$($place:ident),*];)*) => {$(
        impl Light for $record {
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                &self.name_label
            }
            fn search_text(&self) -> String {
                let $row = self;
                let mut text = String::with_capacity(96);
                $(
                    text.push_str($text);
                    text.push('\n');
                )*
                text
            }
            fn stands_like(&self, other: &Self) -> bool {
                true $(&& self.$place == other.$place)*
            }
        }
    )*};
}

light! {
    LightVm => |row| [&row.name_label, &row.power_state, &row.address, &row.os, &row.tags.join("\n"), &row.id],
        [name_label, container, pool];
    LightHost => |row| [&row.name_label, &row.power_state, &row.address, &row.brand, &row.version, &row.tags.join("\n"), &row.id],
        [name_label, pool];
    LightPool => |row| [&row.name_label, &row.name_description, &row.tags.join("\n"), &row.id], [name_label];
    LightSr => |row| [&row.name_label, &row.sr_type, &row.tags.join("\n"), &row.id], [name_label, pool];
    LightNetwork => |row| [&row.name_label, &row.bridge, &row.tags.join("\n"), &row.id], [name_label, pool];
    LightTask => |row| [&row.name_label, &row.status, &row.error], [name_label];
}

/// Names of pools and hosts by id, so that `pool:lab` needs no id.
#[derive(Clone, Default, PartialEq)]
pub struct Places(pub FxHashMap<String, String>);

impl Places {
    fn of<'a>(&'a self, id: &'a str) -> Field<'a> {
        match self.0.get(id) {
            Some(name) => Field::Any(vec![id, name]),
            None if id.is_empty() => Field::Absent,
            None => Field::Text(id),
        }
    }

    pub fn find(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    pub fn name(&self, id: &str) -> &str {
        self.find(id).unwrap_or_default()
    }
}

/// A row beside the names of the places that it links to.
pub struct Placed<'a, T> {
    pub row: &'a Arc<Row<T>>,
    pub places: &'a Places,
}

fn texts(list: &[String]) -> Field<'_> {
    Field::Any(list.iter().map(String::as_str).collect())
}

fn time(seconds: i64) -> Field<'static> {
    if seconds == 0 {
        Field::Absent
    } else {
        Field::Number(seconds as f64)
    }
}

impl Lookup for Placed<'_, LightVm> {
    fn field(&self, name: &str) -> Field<'_> {
        let vm = &self.row.light;
        match name {
            "id" | "uuid" => Field::Text(&vm.id),
            "name_label" | "name" => Field::Text(&vm.name_label),
            "power_state" | "state" => Field::Text(&vm.power_state),
            "$container" | "host" => self.places.of(&vm.container),
            "$pool" | "$poolId" | "pool" => self.places.of(&vm.pool),
            "CPUs" | "cpus" | "cpu" => Field::Number(f64::from(vm.cpus)),
            "memory" | "ram" | "ramSize" => Field::Number(vm.memory as f64),
            "disk" | "diskSpaceSize" => Field::Number(vm.disk as f64),
            "mainIpAddress" | "addresses" | "ipAddresses" | "address" | "ip" => Field::Text(&vm.address),
            "os" | "os_version" => Field::Text(&vm.os),
            "tags" | "tag" => texts(&vm.tags),
            "current_operations" => {
                if vm.operation.is_empty() {
                    Field::Any(Vec::new())
                } else {
                    Field::Any(vec![&vm.operation])
                }
            }
            "snapshots" => Field::Number(f64::from(vm.snapshots)),
            "startTime" => time(vm.started),
            "pvDriversDetected" | "drivers" => Field::Bool(vm.drivers),
            "type" => Field::Text("VM"),
            _ => Field::Absent,
        }
    }

    fn haystack(&self) -> &str {
        &self.row.haystack
    }
}

impl Lookup for Placed<'_, LightHost> {
    fn field(&self, name: &str) -> Field<'_> {
        let host = &self.row.light;
        match name {
            "id" | "uuid" => Field::Text(&host.id),
            "name_label" | "name" => Field::Text(&host.name_label),
            "power_state" | "state" => Field::Text(&host.power_state),
            "$pool" | "$poolId" | "pool" => self.places.of(&host.pool),
            "address" | "ip" => Field::Text(&host.address),
            "enabled" => Field::Bool(host.enabled),
            "cpus" | "CPUs" | "cpu" => Field::Number(f64::from(host.cpus)),
            "memory" | "ram" => Field::Number(host.memory_size as f64),
            "version" => Field::Text(&host.version),
            "productBrand" | "brand" => Field::Text(&host.brand),
            "tags" | "tag" => texts(&host.tags),
            "rebootRequired" => Field::Bool(host.reboot_required),
            "startTime" => time(host.started),
            "type" => Field::Text("host"),
            _ => Field::Absent,
        }
    }

    fn haystack(&self) -> &str {
        &self.row.haystack
    }
}

impl Lookup for Placed<'_, LightPool> {
    fn field(&self, name: &str) -> Field<'_> {
        let pool = &self.row.light;
        match name {
            "id" | "uuid" | "$pool" => Field::Text(&pool.id),
            "name_label" | "name" => Field::Text(&pool.name_label),
            "name_description" => Field::Text(&pool.name_description),
            "master" => self.places.of(&pool.master),
            "HA_enabled" | "ha" => Field::Bool(pool.ha_enabled),
            "tags" | "tag" => texts(&pool.tags),
            "type" => Field::Text("pool"),
            _ => Field::Absent,
        }
    }

    fn haystack(&self) -> &str {
        &self.row.haystack
    }
}
