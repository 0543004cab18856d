//! Typed records of the classes that feed Xen Orchestra's objects.
//!
//! Hosts of fifteen years answer here, so reading is forgiving: every field is optional, an unknown field
//! is skipped, an integer may come as text and the other way round, and a field of an unexpected shape is
//! read as missing instead of losing its record. Strings are boxed and lists exact, because a pool holds
//! a hundred thousand of these.

// Field names are XAPI's own spelling: the documentation, the wire and the log use the same.
#![allow(non_snake_case)]

mod activity;
mod device;
mod host;
mod lenient;
mod network;
mod storage;
mod types;
mod vm;

pub use activity::*;
pub use device::*;
pub use host::*;
pub use network::*;
pub use storage::*;
pub use types::{IntMap, List, Map, Restrictions, Text, Texts, Timestamp, parse_date};
pub use vm::*;

pub use crate::reference::{OpaqueRef, Ref};
use serde::{Deserialize, Deserializer, de::DeserializeSeed};

/// A typed record and the class it belongs to.
pub trait XapiRecord: Sized {
    const CLASS: Class;
    fn from_record(record: &Record) -> Option<&Self>;
    fn uuid(&self) -> Option<&str>;
}

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(deserialize_with = "lenient::field")] pub $field: Option<$kind>,)*
        }

        #[cfg(any(test, fuzzing))]
        impl $name {
            pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($field).trim_start_matches("r#"), format!("{:?}", self.$field))),*]
            }
        }

        impl XapiRecord for $name {
            const CLASS: Class = Class::$name;
            fn from_record(record: &Record) -> Option<&Self> {
                match record { Record::$name(record) => Some(record), _ => None }
            }
            fn uuid(&self) -> Option<&str> {
                self.uuid.as_deref()
            }
        }
    )*};
}
use records;

macro_rules! classes {
    ($($variant:ident = $name:literal / $event:literal,)*) => {
        /// A XAPI class of which records are kept.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Class { $($variant),* }

        impl Class {
            pub const ALL: &[Class] = &[$(Class::$variant),*];

            /// XAPI's spelling, as in method names.
            pub const fn name(self) -> &'static str {
                match self { $(Class::$variant => $name),* }
            }

            /// The class of an event, which XAPI spells in lower case.
            pub fn from_event(name: &str) -> Option<Class> {
                match name { $($event => Some(Class::$variant),)* _ => None }
            }
        }

        /// A record of any kept class.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Record { $($variant(Box<$variant>)),* }

        impl Record {
            pub fn class(&self) -> Class {
                match self { $(Record::$variant(_) => Class::$variant),* }
            }

            /// Reads the JSON of a record of `class`.
            pub fn parse(class: Class, json: &str) -> Result<Record, serde_json::Error> {
                let mut deserializer = serde_json::Deserializer::from_str(json);
                let record = class.deserialize(&mut deserializer)?;
                deserializer.end().map(|()| record)
            }

            pub fn uuid(&self) -> Option<&str> {
                match self { $(Record::$variant(record) => record.uuid()),* }
            }

            /// Names and values, to compare one by one.
            #[cfg(any(test, fuzzing))]
            pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
                match self { $(Record::$variant(record) => record.fields()),* }
            }
        }

        /// Reads a record of this class.
        impl<'de> DeserializeSeed<'de> for Class {
            type Value = Record;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
                let members = lenient::Members(deserializer);
                Ok(match self { $(Class::$variant => Record::$variant(Box::deserialize(members)?)),* })
            }
        }
    };
}

classes! {
    Pool = "pool" / "pool", Host = "host" / "host", HostMetrics = "host_metrics" / "host_metrics",
    HostCpu = "host_cpu" / "host_cpu", Vm = "VM" / "vm", VmMetrics = "VM_metrics" / "vm_metrics",
    VmGuestMetrics = "VM_guest_metrics" / "vm_guest_metrics", Sr = "SR" / "sr", Sm = "SM" / "sm",
    Pbd = "PBD" / "pbd", Pif = "PIF" / "pif", PifMetrics = "PIF_metrics" / "pif_metrics",
    Vdi = "VDI" / "vdi", Vbd = "VBD" / "vbd", Vif = "VIF" / "vif", Network = "network" / "network",
    Message = "message" / "message", Task = "task" / "task", HostPatch = "host_patch" / "host_patch",
    PoolPatch = "pool_patch" / "pool_patch", PoolUpdate = "pool_update" / "pool_update",
    Pci = "PCI" / "pci", Pgpu = "PGPU" / "pgpu", Vgpu = "VGPU" / "vgpu",
    GpuGroup = "GPU_group" / "gpu_group", VgpuType = "VGPU_type" / "vgpu_type", Vtpm = "VTPM" / "vtpm",
    Pusb = "PUSB" / "pusb", Vusb = "VUSB" / "vusb", UsbGroup = "USB_group" / "usb_group",
    Bond = "Bond" / "bond", Vlan = "VLAN" / "vlan", Tunnel = "tunnel" / "tunnel",
    Console = "console" / "console", Certificate = "Certificate" / "certificate",
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(json: &str) -> Vm {
        match Record::parse(Class::Vm, json).expect("readable") {
            Record::Vm(vm) => *vm,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_and_booleans_are_read_in_every_form() {
        let json_rpc =
            vm(r#"{"uuid":"u","VCPUs_max":4,"is_a_template":false,"memory_static_max":8589934592}"#);
        let xml_rpc =
            vm(r#"{"uuid":"u","VCPUs_max":"4","is_a_template":false,"memory_static_max":"8589934592"}"#);
        assert_eq!(json_rpc, xml_rpc);
        assert_eq!(json_rpc.memory_static_max, Some(8 << 30));
    }

    #[test]
    fn a_strange_field_does_not_lose_its_record() {
        let vm = vm(
            r#"{"uuid":"u","name_label":{"no":["text"]},"VBDs":"OpaqueRef:x","tags":["a",["b"],"c"],"VCPUs_max":"many",
                "a_field_of_the_future":[1,{"x":null}],"power_state":"Hibernating","other_config":{"a":"1","b":2,"c":[]}}"#,
        );
        assert_eq!(vm.name_label, None);
        assert_eq!(vm.VBDs, None);
        assert_eq!(vm.VCPUs_max, None);
        assert_eq!(vm.power_state.as_deref(), Some("Hibernating"));
        assert_eq!(vm.tags.expect("a list").iter().collect::<Vec<_>>(), ["a", "c"]);
        let other_config = vm.other_config.expect("a map");
        assert_eq!(
            (
                other_config.get("a"),
                other_config.get("b"),
                other_config.get("c")
            ),
            (Some("1"), Some("2"), None)
        );
    }

    #[test]
    fn class_names_of_events_lead_back() {
        for &class in Class::ALL {
            assert_eq!(Class::from_event(&class.name().to_lowercase()), Some(class));
        }
    }
}
