//! Light records: the few properties of an object that lists, tree, search and palette need.
//!
//! They travel as JSON arrays (one per object, trailing fields in this order) to keep ten thousand
//! VMs within the wire budget of design/ui.md. The full object is subscribed to only where it is open.
//! Links are XO ids; an empty string stands for "none".

use serde::{Deserialize, Serialize};
use serde_tuple::{Deserialize_tuple, Serialize_tuple};

/// What may be done to a VM now, as XAPI's `allowed_operations` says; one bit per operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmOperations(pub u32);

macro_rules! vm_operations {
    ($($bit:literal $constant:ident = $name:literal),* $(,)?) => {
        impl VmOperations {
            $(pub const $constant: VmOperations = VmOperations(1 << $bit);)*
            /// Name in XAPI and bit of every operation that is carried.
            pub const NAMES: &[(&str, VmOperations)] = &[$(($name, VmOperations::$constant)),*];
        }
    };
}

vm_operations! {
    0 START = "start", 1 START_ON = "start_on", 2 CLEAN_SHUTDOWN = "clean_shutdown",
    3 HARD_SHUTDOWN = "hard_shutdown", 4 CLEAN_REBOOT = "clean_reboot", 5 HARD_REBOOT = "hard_reboot",
    6 SUSPEND = "suspend", 7 RESUME = "resume", 8 PAUSE = "pause", 9 UNPAUSE = "unpause",
    10 SNAPSHOT = "snapshot", 11 CHECKPOINT = "checkpoint", 12 POOL_MIGRATE = "pool_migrate",
    13 MIGRATE_SEND = "migrate_send", 14 CLONE = "clone", 15 COPY = "copy", 16 DESTROY = "destroy",
    17 EXPORT = "export", 18 REVERT = "revert", 19 PROVISION = "provision",
}

impl VmOperations {
    /// The set named by XAPI's list; names that are not carried are passed over.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bits = 0;
        for name in names {
            if let Some((_, bit)) = Self::NAMES.iter().find(|(known, _)| *known == name) {
                bits |= bit.0;
            }
        }
        Self(bits)
    }

    pub fn allows(self, operation: VmOperations) -> bool {
        self.0 & operation.0 == operation.0
    }
}

/// A VM, template, snapshot or control domain.
#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightVm {
    pub id: String,
    pub name_label: String,
    /// `Running`, `Halted`, `Paused`, `Suspended`; anything else is shown as it came.
    pub power_state: String,
    /// Host or pool where the VM is (contract `$container`).
    pub container: String,
    pub pool: String,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Raw value of `mainIpAddress`; empty when unknown.
    pub address: String,
    pub os: String,
    pub tags: Vec<String>,
    pub allowed: VmOperations,
    /// Name of the operation that runs on it now, empty when idle.
    pub operation: String,
    /// Virtual size of its disks together, bytes.
    pub disk: u64,
    pub snapshots: u32,
    /// Seconds since epoch, 0 when unknown or not running.
    pub started: i64,
    /// Parent VM of a snapshot; empty for others.
    pub snapshot_of: String,
    /// Seconds since epoch; 0 for anything but a snapshot.
    pub snapshot_time: i64,
    /// PV drivers were detected (clean shutdown and suspend can work).
    pub drivers: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightHost {
    pub id: String,
    pub name_label: String,
    /// `Running`, `Halted` or `Unknown`.
    pub power_state: String,
    pub pool: String,
    pub address: String,
    pub enabled: bool,
    pub cpus: u32,
    /// Bytes.
    pub memory_size: u64,
    pub memory_usage: u64,
    pub version: String,
    pub brand: String,
    pub tags: Vec<String>,
    pub reboot_required: bool,
    pub started: i64,
    pub operation: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightPool {
    pub id: String,
    pub name_label: String,
    pub name_description: String,
    /// Host id.
    pub master: String,
    pub default_sr: String,
    pub ha_enabled: bool,
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightSr {
    pub id: String,
    pub name_label: String,
    pub sr_type: String,
    pub content_type: String,
    pub container: String,
    pub pool: String,
    pub shared: bool,
    /// Bytes; all three.
    pub size: u64,
    pub physical_usage: u64,
    pub usage: u64,
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightNetwork {
    pub id: String,
    pub name_label: String,
    pub pool: String,
    pub bridge: String,
    pub mtu: u32,
    pub vifs: u32,
    pub pifs: u32,
    pub tags: Vec<String>,
}

/// A XAPI task.
#[derive(Clone, Debug, Default, PartialEq, Serialize_tuple, Deserialize_tuple)]
pub struct LightTask {
    pub id: String,
    pub name_label: String,
    pub pool: String,
    pub host: String,
    /// `pending`, `success`, `failure`, `cancelling`, `cancelled`.
    pub status: String,
    /// 0 to 1.
    pub progress: f64,
    /// Seconds since epoch.
    pub created: i64,
    pub finished: i64,
    /// XO id of the object it works on; empty when unknown.
    pub applies_to: String,
    /// `CODE(param,param)` of a failed task, else empty.
    pub error: String,
    pub cancellable: bool,
}

/// The state of the link to one registered server (pool), so that age and trouble can be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkRow {
    /// Server id, as in `server.getAll`.
    pub id: String,
    pub label: String,
    pub host: String,
    pub enabled: bool,
    pub status: LinkStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    /// Why the last attempt failed or the link broke, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When this status began, ms since epoch.
    pub since: i64,
    /// When the pool last answered an event fetch, ms since epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<i64>,
    /// When the next attempt starts, ms since epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkStatus {
    #[default]
    Disconnected,
    Connecting,
    Connected,
}
