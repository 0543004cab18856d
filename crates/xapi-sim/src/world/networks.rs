//! Networks and physical interfaces: a management network, a storage bond, VLANs for guests.

use super::{Ground, texts};
use crate::db::{Db, Ref};
use crate::ops::create_vlan;
use crate::pool::PoolConfig;
use crate::value::Value;

const VLANS: [(&str, i64); 6] = [
    ("prod", 110),
    ("preprod", 120),
    ("dev", 130),
    ("dmz", 200),
    ("voip", 310),
    ("guest-wifi", 666),
];

pub fn build(db: &mut Db, config: &PoolConfig, ground: &mut Ground) {
    let network = |db: &mut Db, name: &str, bridge: &str, text: &str| {
        db.create(
            "network",
            [
                ("name_label", Value::from(name)),
                ("name_description", Value::from(text)),
                ("bridge", Value::from(bridge)),
            ],
        )
    };
    let management = network(
        db,
        "Pool-wide network associated with eth0",
        "xenbr0",
        "Management",
    );
    let lan = network(
        db,
        "Pool-wide network associated with eth1",
        "xenbr1",
        "Guests and VLANs",
    );
    let links = [
        network(db, "Pool-wide network associated with eth2", "xenbr2", ""),
        network(db, "Pool-wide network associated with eth3", "xenbr3", ""),
    ];
    let storage = network(db, "Storage", "xapi0", "iSCSI and NFS, jumbo frames");
    db.set("network", &storage, "MTU", 9000_i64);
    let internal = network(
        db,
        "Host internal management network",
        "xenapi",
        "Network on which guests will be assigned a private link-local IP address which can be used to talk XenAPI",
    );
    db.set(
        "network",
        &internal,
        "other_config",
        texts([
            ("is_guest_installer_network", "true"),
            ("is_host_internal_management_network", "true"),
            ("ip_begin", "169.254.0.1"),
            ("ip_end", "169.254.255.254"),
            ("netmask", "255.255.0.0"),
        ]),
    );
    let private = network(db, "private-lab", "xapi1", "Not connected to anything");
    let vlans: Vec<(Ref, i64)> = VLANS
        .iter()
        .enumerate()
        .map(|(at, (name, tag))| {
            let vlan = network(
                db,
                &format!("{name} (VLAN {tag})"),
                &format!("xapi{}", at + 2),
                "",
            );
            db.set("network", &vlan, "tags", Value::set_of([*name]));
            (vlan, *tag)
        })
        .collect();
    for (at, host) in ground.hosts.clone().iter().enumerate() {
        let ip = db.text("host", host, "address");
        pif(db, host, "eth0", &management, Some(&ip));
        let tagged = pif(db, host, "eth1", &lan, None);
        let slaves: Vec<Ref> = links
            .iter()
            .enumerate()
            .map(|(n, link)| pif(db, host, &format!("eth{}", n + 2), link, None))
            .collect();
        bond(
            db,
            host,
            &storage,
            &slaves,
            &format!("10.{}.9.{}", config.seed % 200, 10 + at),
        );
        for (vlan, tag) in &vlans {
            // The interfaces were made for it: this cannot fail.
            let _ = create_vlan(db, &tagged, *tag, vlan);
        }
    }
    ground.guest_networks = vec![management, lan];
    ground
        .guest_networks
        .extend(vlans.into_iter().map(|(vlan, _)| vlan));
    ground.guest_networks.push(private);
}

fn pif(db: &mut Db, host: &str, device: &str, network: &str, management: Option<&str>) -> Ref {
    let number = device.trim_start_matches("eth").to_owned();
    let path = format!("0000:5d:00.{number}");
    let metrics = metrics(db, &path);
    let gateway = management
        .and_then(|ip| ip.rsplit_once('.'))
        .map(|(net, _)| format!("{net}.254"));
    let mac = db.seed.mac();
    let pci = db
        .members("host", host, "PCIs")
        .into_iter()
        .find(|pci| db.text("PCI", pci, "pci_id") == path);
    db.create(
        "PIF",
        [
            ("device", Value::from(device)),
            ("host", Value::from(host)),
            ("network", Value::from(network)),
            ("MAC", Value::from(mac)),
            ("MTU", Value::Int(1500)),
            ("VLAN", Value::Int(-1)),
            ("physical", Value::Bool(true)),
            ("metrics", Value::from(metrics)),
            ("management", Value::Bool(management.is_some())),
            (
                "ip_configuration_mode",
                Value::from(if management.is_some() { "Static" } else { "None" }),
            ),
            ("IP", Value::from(management.unwrap_or_default())),
            (
                "netmask",
                Value::from(if management.is_some() { "255.255.255.0" } else { "" }),
            ),
            ("gateway", Value::from(gateway.clone().unwrap_or_default())),
            ("DNS", Value::from(gateway.unwrap_or_default())),
            ("IPv6", Value::set_of([""])),
            ("properties", texts([("gro", "on")])),
            ("PCI", pci.map_or_else(Value::null, Value::from)),
        ],
    )
}

fn metrics(db: &mut Db, path: &str) -> String {
    let made = db.create(
        "PIF_metrics",
        [
            ("carrier", Value::Bool(true)),
            ("vendor_id", Value::from("8086")),
            ("vendor_name", Value::from("Intel Corporation")),
            ("device_id", Value::from("1572")),
            (
                "device_name",
                Value::from("Ethernet Controller X710 for 10GbE SFP+"),
            ),
            ("speed", Value::Int(10_000)),
            ("duplex", Value::Bool(true)),
            ("pci_bus_path", Value::from(path)),
        ],
    );
    made.to_string()
}

fn bond(db: &mut Db, host: &str, network: &str, slaves: &[Ref], ip: &str) {
    let metrics = metrics(db, "N/A");
    let mac = db.text("PIF", &slaves[0], "MAC");
    let master = db.create(
        "PIF",
        [
            ("device", Value::from("bond0")),
            ("host", Value::from(host)),
            ("network", Value::from(network)),
            ("MAC", Value::from(mac)),
            ("MTU", Value::Int(9000)),
            ("VLAN", Value::Int(-1)),
            ("metrics", Value::from(metrics)),
            ("ip_configuration_mode", Value::from("Static")),
            ("IP", Value::from(ip)),
            ("netmask", Value::from("255.255.255.0")),
            ("IPv6", Value::set_of([""])),
        ],
    );
    let bond = db.create(
        "Bond",
        [
            ("master", Value::from(&*master)),
            ("primary_slave", Value::from(&*slaves[0])),
            ("mode", Value::from("lacp")),
            ("properties", texts([("hashing_algorithm", "tcpudp_ports")])),
            ("links_up", Value::Int(slaves.len() as i64)),
        ],
    );
    for slave in slaves {
        db.set("PIF", slave, "bond_slave_of", &*bond);
    }
}
