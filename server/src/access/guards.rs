//! From which other objects an object's rights come: the inheritance of contract/acl.md section 1, and nothing else.

use super::rights::Rights;
use crate::inventory::Object;
use app::model::ObjectType;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, sync::Arc};

/// Longest chain of inheritance is message, VDI-snapshot, VDI, VM, host, pool.
const DEEPEST: usize = 8;

type Ids = SmallVec<[Arc<str>; 2]>;

/// What decides about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// Entries for the object itself count.
    pub own: bool,
    /// Whatever may be done with one of these.
    pub any: Ids,
    /// Whatever may be done with all of these.
    pub all: Ids,
    /// Of a disk: the VMs of these VBDs.
    pub through: Ids,
    /// Of a VBD: the VM that it lends to its disk.
    pub lends: Option<Arc<str>>,
}

/// Where guards are looked up.
pub trait Nodes {
    /// `None` for an object that is not there.
    fn guards<T>(&self, id: &str, look: impl FnOnce(&Guards) -> T) -> Option<T>;
}

impl Guards {
    pub fn of(object: &Object) -> Self {
        let json = &object.json;
        let ids = |names| links(json, names);
        let pool = || Ids::from_iter([object.pool.clone()]);
        let any = |own, any| Self {
            own,
            any,
            ..Self::default()
        };
        match object.kind {
            ObjectType::Host | ObjectType::Network | ObjectType::VmTemplate => any(true, pool()),
            ObjectType::Sr | ObjectType::Vm => any(true, ids(&["$container"])),
            ObjectType::VmController => any(false, ids(&["$container"])),
            ObjectType::VmSnapshot => any(true, ids(&["$snapshot_of"])),
            ObjectType::Vdi => Self {
                any: ids(&["$SR"]),
                through: ids(&["$VBDs"]),
                ..Self::default()
            },
            ObjectType::VdiSnapshot => any(false, ids(&["$snapshot_of"])),
            ObjectType::Vbd => {
                let disk = ids(&["VDI"]);
                let vm = ids(&["VM"]).into_iter().next();
                Self {
                    // An empty drive has nothing but its VM.
                    any: if disk.is_empty() {
                        vm.iter().cloned().collect()
                    } else {
                        disk
                    },
                    lends: vm,
                    ..Self::default()
                }
            }
            ObjectType::Vif => any(false, ids(&["$network", "$VM"])),
            ObjectType::Pif | ObjectType::Pci | ObjectType::Task => any(false, ids(&["$host"])),
            ObjectType::Pbd => any(false, ids(&["host", "SR"])),
            ObjectType::Pusb => any(false, ids(&["host"])),
            ObjectType::UsbGroup => Self {
                all: ids(&["PUSBs"]),
                ..Self::default()
            },
            ObjectType::Vusb => any(false, ids(&["vm"])),
            ObjectType::Message => any(false, ids(&["$object"])),
            ObjectType::Pool
            | ObjectType::VdiUnmanaged
            | ObjectType::Pgpu
            | ObjectType::Vgpu
            | ObjectType::GpuGroup
            | ObjectType::VgpuType
            | ObjectType::Vtpm
            | ObjectType::Bond
            | ObjectType::Sm
            | ObjectType::Patch
            | ObjectType::PoolPatch => any(true, Ids::new()),
        }
    }

    /// Every object that these guards name.
    pub fn links(&self) -> impl Iterator<Item = &Arc<str>> {
        let lists = [&self.any, &self.all, &self.through];
        lists.into_iter().flatten().chain(&self.lends)
    }
}

/// What may be done with an object; `explicit` are the rights that entries give on an object itself.
pub fn rights(id: &str, explicit: &impl Fn(&str) -> Rights, nodes: &impl Nodes) -> Rights {
    descend(id, explicit, nodes, DEEPEST)
}

fn descend(id: &str, explicit: &impl Fn(&str) -> Rights, nodes: &impl Nodes, depth: usize) -> Rights {
    if depth == 0 {
        return Rights::NONE;
    }
    let of = |other: &Arc<str>| {
        // A member that is the object itself says nothing more.
        if **other == *id {
            return Rights::NONE;
        }
        descend(other, explicit, nodes, depth - 1)
    };
    let found = nodes.guards(id, |guards| {
        let mut rights = if guards.own { explicit(id) } else { Rights::NONE };
        for other in &guards.any {
            rights |= of(other);
        }
        for drive in &guards.through {
            let vm = nodes.guards(drive, |guards| guards.lends.clone()).flatten();
            if let Some(vm) = vm {
                rights |= of(&vm);
            }
        }
        if let Some((first, others)) = guards.all.split_first() {
            rights |= others
                .iter()
                .fold(of(first), |common, other| common.and(of(other)));
        }
        rights
    });
    found.unwrap_or(Rights::NONE)
}

/// The ids that stand in these properties.
fn links(json: &[u8], names: &[&str]) -> Ids {
    let mut found = Ids::new();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // Our own JSON: an object that cannot be read has no links, and nobody but administrators sees it.
    let read = deserializer.deserialize_map(Properties {
        names,
        found: &mut found,
    });
    if let Err(error) = read {
        tracing::error!(%error, "an object's links cannot be read");
        found.clear();
    }
    found
}

struct Properties<'a> {
    names: &'a [&'a str],
    found: &'a mut Ids,
}

impl<'de> Visitor<'de> for Properties<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Key<'de>>()? {
            if self.names.contains(&&*name.0) {
                map.next_value_seed(Collect(self.found))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text, a list of texts, or something else, which is no link.
struct Collect<'a>(&'a mut Ids);

impl<'de> DeserializeSeed<'de> for Collect<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, id: &str) -> Result<(), E> {
        self.0.push(id.into());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Collect(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_texts_and_lists_of_texts() {
        let json = br#"{"a":"1","b":["2","3"],"c":{"a":"4"},"d":null,"e":5,"f":true,"a\u0041":"6"}"#;
        let found = |names: &[&str]| {
            links(json, names)
                .iter()
                .map(|id| id.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&["a", "b"]), ["1", "2", "3"]);
        assert_eq!(found(&["c", "d", "e", "f"]), [""; 0]);
        assert_eq!(found(&["aA"]), ["6"]);
        assert!(links(b"{\"a\":", &["a"]).is_empty());
    }
}
