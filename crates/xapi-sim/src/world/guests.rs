//! What guests say about themselves: operating systems, drivers, addresses.

use super::texts;
use crate::db::{Db, class};
use crate::value::Value;

pub struct Os {
    /// As the agent names it.
    pub name: &'static str,
    pub distro: &'static str,
    pub version: (&'static str, &'static str),
    pub kernel: &'static str,
    pub windows: bool,
}

pub const LINUX: [Os; 5] = [
    Os {
        name: "Debian GNU/Linux 12 (bookworm)",
        distro: "debian",
        version: ("12", "7"),
        kernel: "6.1.0-25-amd64",
        windows: false,
    },
    Os {
        name: "Ubuntu 24.04.1 LTS",
        distro: "ubuntu",
        version: ("24", "04"),
        kernel: "6.8.0-45-generic",
        windows: false,
    },
    Os {
        name: "Rocky Linux 9.4 (Blue Onyx)",
        distro: "rocky",
        version: ("9", "4"),
        kernel: "5.14.0-427.el9.x86_64",
        windows: false,
    },
    Os {
        name: "AlmaLinux 9.4 (Seafoam Ocelot)",
        distro: "almalinux",
        version: ("9", "4"),
        kernel: "5.14.0-427.el9.x86_64",
        windows: false,
    },
    Os {
        name: "Alpine Linux v3.20",
        distro: "alpine",
        version: ("3", "20"),
        kernel: "6.6.52-0-virt",
        windows: false,
    },
];

pub const WINDOWS: [Os; 2] = [
    Os {
        name: "Microsoft Windows Server 2022 Standard|C:\\Windows|\\Device\\Harddisk0\\Partition4",
        distro: "windows",
        version: ("10", "0"),
        kernel: "",
        windows: true,
    },
    Os {
        name: "Microsoft Windows 11 Pro|C:\\Windows|\\Device\\Harddisk0\\Partition3",
        distro: "windows",
        version: ("10", "0"),
        kernel: "",
        windows: true,
    },
];

/// The guest metrics of a system that runs (or ran) with its tools.
pub fn fields(db: &mut Db, os: &Os, addresses: &[String], today: i64) -> Vec<(&'static str, Value)> {
    let mut networks = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        networks.push((format!("{at}/ip"), Value::from(address)));
        networks.push((format!("{at}/ipv4/0"), Value::from(address)));
        networks.push((
            format!("{at}/ipv6/0"),
            Value::from(format!("fe80::{:x}", db.seed.next() as u32)),
        ));
    }
    let drivers = match os.windows {
        true => texts([("major", "9"), ("minor", "4"), ("micro", "0"), ("build", "146")]),
        false => texts([("major", "7"), ("minor", "30"), ("micro", "0"), ("build", "12")]),
    };
    let mut system = vec![
        ("name", os.name),
        ("distro", os.distro),
        ("major", os.version.0),
        ("minor", os.version.1),
    ];
    if !os.windows {
        system.push(("uname", os.kernel));
    }
    vec![
        ("os_version", Value::map_of(system)),
        ("PV_drivers_version", drivers),
        ("PV_drivers_up_to_date", Value::Bool(true)),
        ("PV_drivers_detected", Value::Bool(true)),
        (
            "networks",
            Value::Map(
                networks
                    .into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            ),
        ),
        (
            "other",
            texts([
                ("platform-feature-multiprocessor-suspend", "1"),
                ("feature-shutdown", "1"),
                ("feature-reboot", "1"),
                ("feature-suspend", "1"),
                ("feature-poweroff", "1"),
                ("feature-vcpu-hotplug", "1"),
                ("feature-balloon", "1"),
                ("has-vendor-device", "0"),
            ]),
        ),
        ("memory", texts([])),
        ("last_updated", Value::Date(today)),
        ("live", Value::Bool(true)),
        ("can_use_hotplug_vbd", Value::from("yes")),
        ("can_use_hotplug_vif", Value::from("yes")),
    ]
}

/// The values of a record for a guest that starts for the first time.
pub fn fresh(db: &mut Db) -> Vec<Value> {
    let address = format!(
        "10.{}.{}.{}",
        db.seed.below(200),
        db.seed.below(250),
        db.seed.between(10, 250)
    );
    let named = fields(db, &LINUX[0], &[address], db.now());
    let class = class("VM_guest_metrics");
    let mut values: Vec<Value> = class.fields.iter().map(|field| field.initial()).collect();
    for (name, value) in named {
        if let Some(at) = class.field(name) {
            values[at] = value;
        }
    }
    values
}
