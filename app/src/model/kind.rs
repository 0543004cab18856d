//! The 30 published object types and their spelling on the wire (contract/objects.md section 1).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! object_types {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// Type of a published object, the `type` property of its JSON.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ObjectType { $(#[serde(rename = $name)] $variant),* }

        impl ObjectType {
            /// Every type, in the order of the enum.
            pub const ALL: &[ObjectType] = &[$(ObjectType::$variant),*];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(ObjectType::$variant => $name),* }
            }
        }

        impl FromStr for ObjectType {
            type Err = UnknownType;
            fn from_str(name: &str) -> Result<Self, UnknownType> {
                match name { $($name => Ok(ObjectType::$variant),)* _ => Err(UnknownType) }
            }
        }
    };
}

object_types! {
    Pool = "pool", Host = "host", Vm = "VM", VmController = "VM-controller", VmSnapshot = "VM-snapshot",
    VmTemplate = "VM-template", Sr = "SR", Sm = "SM", Pbd = "PBD", Pif = "PIF", Vdi = "VDI",
    VdiSnapshot = "VDI-snapshot", VdiUnmanaged = "VDI-unmanaged", Vbd = "VBD", Vif = "VIF",
    Network = "network", Message = "message", Task = "task", Patch = "patch", PoolPatch = "pool_patch",
    Pci = "PCI", Pgpu = "PGPU", Vgpu = "vgpu", GpuGroup = "gpuGroup", VgpuType = "vgpuType",
    Vtpm = "VTPM", Pusb = "PUSB", Vusb = "VUSB", UsbGroup = "USB_group", Bond = "bond",
}

/// The text names no published type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown object type")]
pub struct UnknownType;

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_spelling() {
        assert_eq!(ObjectType::ALL.len(), 30);
        for &kind in ObjectType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("serialisable"), kind.as_str());
        }
        assert!("vm".parse::<ObjectType>().is_err());
    }
}
