//! Networks and the interfaces below them: network, PIF, VLAN, Bond.

use super::{Outcome, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const NETWORK: &[&str] = &["attach", "set_default_locking_mode"];
pub const PIF: &[&str] = &[
    "plug",
    "unplug",
    "reconfigure_ip",
    "scan",
    "forget",
    "set_property",
];
pub const VLAN: &[&str] = &["create", "destroy"];
pub const BOND: &[&str] = &["create", "destroy", "set_mode", "set_property"];

pub fn run(call: &Call, class_name: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class_name, name) {
        ("network", "create") => create_network(call, &p[0]).map(Some),
        ("network", "destroy") => call.write(|db| destroy_network(db, this)),
        ("network", "attach") => call.pool.db().check("network", this).and_then(|()| void()),
        ("network", "set_default_locking_mode") => call.write(|db| {
            db.check("network", this)?;
            db.set("network", this, "default_locking_mode", p[1].clone());
            void()
        }),
        ("PIF", "plug" | "unplug") => call.write(|db| {
            db.check("PIF", this)?;
            if name == "unplug" && db.get("PIF", this, "management").bool() {
                return Err(Fault::new("PIF_IS_MANAGEMENT_INTERFACE", [this]));
            }
            if name == "unplug" && db.get("PIF", this, "disallow_unplug").bool() {
                return Err(Fault::new("PIF_DOES_NOT_ALLOW_UNPLUG", [this]));
            }
            if name == "plug" && db.exists("Bond", db.get("PIF", this, "bond_slave_of").str()) {
                return Err(Fault::new("CANNOT_PLUG_BOND_SLAVE", [this]));
            }
            db.set("PIF", this, "currently_attached", name == "plug");
            void()
        }),
        ("PIF", "reconfigure_ip") => call.write(|db| {
            db.check("PIF", this)?;
            if p[1].str() == "Static" {
                let bad = |at: usize| p[at].str().parse::<std::net::Ipv4Addr>().is_err();
                for (name, at) in [("IP", 2), ("netmask", 3), ("gateway", 4)] {
                    let optional = name == "gateway" && p[at].str().is_empty();
                    if bad(at) && !optional {
                        return Err(Fault::new("INVALID_IP_ADDRESS_SPECIFIED", [name]));
                    }
                }
            }
            let fields = ["ip_configuration_mode", "IP", "netmask", "gateway", "DNS"];
            for (field, value) in fields.iter().zip(&p[1..]) {
                db.set("PIF", this, field, value.clone());
            }
            void()
        }),
        ("PIF", "scan") => call.pool.db().check("host", this).and_then(|()| void()),
        ("PIF", "forget") => call.write(|db| {
            db.check("PIF", this)?;
            if db.get("PIF", this, "management").bool() {
                return Err(Fault::new("PIF_IS_MANAGEMENT_INTERFACE", [this]));
            }
            if !db.members("PIF", this, "VLAN_slave_of").is_empty() {
                return Err(Fault::new("PIF_VLAN_STILL_EXISTS", [this]));
            }
            if db.get("PIF", this, "currently_attached").bool() {
                return Err(Fault::not_allowed("PIF is currently attached"));
            }
            let metrics = db.text("PIF", this, "metrics");
            db.destroy("PIF_metrics", &metrics);
            db.destroy("PIF", this);
            void()
        }),
        ("PIF", "set_property") => call.write(|db| {
            db.check("PIF", this)?;
            db.set_entry("PIF", this, "properties", p[1].str(), Some(p[2].clone()));
            void()
        }),
        ("VLAN", "create") => call
            .write(|db| create_vlan(db, this, p[1].int(), p[2].str()))
            .map(|vlan| Some(Value::from(vlan))),
        ("VLAN", "destroy") => call.write(|db| {
            db.check("VLAN", this)?;
            let pif = db.text("VLAN", this, "untagged_PIF");
            db.destroy("PIF", &pif);
            db.destroy("VLAN", this);
            void()
        }),
        ("Bond", "create") => call
            .write(|db| create_bond(db, p))
            .map(|bond| Some(Value::from(bond))),
        ("Bond", "set_mode") => call.write(|db| {
            db.check("Bond", this)?;
            db.set("Bond", this, "mode", p[1].clone());
            // Each mode has its own properties; those of the others go.
            let hashes = p[1].str() == "lacp";
            let hashing = hashes.then(|| Value::from("tcpudp_ports"));
            db.set_entry("Bond", this, "properties", "hashing_algorithm", hashing);
            void()
        }),
        ("Bond", "set_property") => call.write(|db| {
            db.check("Bond", this)?;
            let mode = db.text("Bond", this, "mode");
            if p[1].str() != "hashing_algorithm" || mode != "lacp" {
                return Err(Fault::new("INVALID_VALUE", [p[1].str(), p[2].str()]));
            }
            db.set_entry("Bond", this, "properties", p[1].str(), Some(p[2].clone()));
            void()
        }),
        ("Bond", "destroy") => call.write(|db| {
            db.check("Bond", this)?;
            for slave in db.members("Bond", this, "slaves") {
                db.set("PIF", &slave, "bond_slave_of", Value::null());
            }
            let master = db.text("Bond", this, "master");
            let metrics = db.text("PIF", &master, "metrics");
            let primary = db.text("Bond", this, "primary_slave");
            move_vlans(db, &master, &primary);
            db.destroy("Bond", this);
            db.destroy("PIF_metrics", &metrics);
            db.destroy("PIF", &master);
            void()
        }),
        _ => Ok(None),
    }
}

fn create_network(call: &Call, record: &Value) -> Result<Value, Fault> {
    let mut record = record.clone();
    let bridge = record.text("bridge").to_owned();
    {
        let db = call.pool.db();
        let bridge = if bridge.is_empty() {
            let mut names = (0..).map(|number| format!("xapi{number}"));
            names
                .find(|name| db.find("network", "bridge", name).is_none())
                .unwrap_or_default()
        } else if db.find("network", "bridge", &bridge).is_some() {
            return Err(Fault::new("BRIDGE_NAME_EXISTS", [bridge]));
        } else {
            bridge
        };
        record = record.with("bridge", Some(Value::from(bridge)));
    }
    if record.entry("other_config").is_none() {
        record = record.with("other_config", Some(Value::empty_map()));
    }
    let made = super::records::create(call, class("network"), &record)?;
    call.write(|db| {
        if db.get("network", made.str(), "MTU").int() <= 0 {
            db.set("network", made.str(), "MTU", 1500_i64);
        }
    });
    Ok(made)
}

fn destroy_network(db: &mut Db, network: &str) -> Outcome {
    db.check("network", network)?;
    let vifs = db.members("network", network, "VIFs");
    let attached: Vec<&String> = vifs
        .iter()
        .filter(|vif| db.get("VIF", vif, "currently_attached").bool())
        .collect();
    if !attached.is_empty() {
        return Err(Fault::new("NETWORK_CONTAINS_VIF", attached));
    }
    let pifs = db.members("network", network, "PIFs");
    if !pifs.is_empty() {
        return Err(Fault::new("NETWORK_CONTAINS_PIF", pifs));
    }
    if db.get("network", network, "bridge").str() == "xenapi" {
        return Err(Fault::new("CANNOT_DESTROY_SYSTEM_NETWORK", [network]));
    }
    for vif in vifs {
        db.destroy("VIF", &vif);
    }
    db.destroy("network", network);
    void()
}

/// The VLAN and its own PIF.
pub fn create_vlan(db: &mut Db, tagged: &str, tag: i64, network: &str) -> Result<String, Fault> {
    db.check("PIF", tagged)?;
    db.check("network", network)?;
    if !(0..=4094).contains(&tag) {
        return Err(Fault::new("VLAN_TAG_INVALID", [tag.to_string()]));
    }
    if db.get("PIF", tagged, "VLAN").int() >= 0 {
        return Err(Fault::new("PIF_IS_VLAN", [tagged]));
    }
    if db.exists("Bond", db.get("PIF", tagged, "bond_slave_of").str()) {
        return Err(Fault::new("CANNOT_ADD_VLAN_TO_BOND_SLAVE", [tagged]));
    }
    for vlan in db.get("PIF", tagged, "VLAN_slave_of").set() {
        if db.get("VLAN", vlan.str(), "tag").int() == tag {
            return Err(Fault::new(
                "PIF_VLAN_EXISTS",
                [db.text("VLAN", vlan.str(), "untagged_PIF")],
            ));
        }
    }
    let host = db.text("PIF", tagged, "host");
    for pif in db.get("network", network, "PIFs").set() {
        if db.get("PIF", pif.str(), "host").str() == host {
            return Err(Fault::new("NETWORK_ALREADY_CONNECTED", [&*host, pif.str()]));
        }
    }
    let copied = |field: &str| db.get("PIF", tagged, field).clone();
    let fields = [
        ("device", copied("device")),
        ("host", copied("host")),
        ("metrics", copied("metrics")),
        ("MTU", copied("MTU")),
        ("currently_attached", copied("currently_attached")),
        ("network", Value::from(network)),
        ("VLAN", Value::Int(tag)),
        ("MAC", Value::from("fe:ff:ff:ff:ff:ff")),
        ("IPv6", Value::Set(vec![])),
    ];
    let untagged = db.create("PIF", fields);
    let vlan = db.create(
        "VLAN",
        [
            ("tagged_PIF", Value::from(tagged)),
            ("untagged_PIF", Value::from(&*untagged)),
            ("tag", Value::Int(tag)),
        ],
    );
    db.set("PIF", &untagged, "VLAN_master_of", &*vlan);
    Ok(vlan.to_string())
}

/// The VLANs of one interface are on another one from now on.
fn move_vlans(db: &mut Db, from: &str, to: &str) {
    for vlan in db.members("PIF", from, "VLAN_slave_of") {
        db.set("VLAN", &vlan, "tagged_PIF", to);
        let untagged = db.text("VLAN", &vlan, "untagged_PIF");
        for field in ["device", "metrics"] {
            let value = db.get("PIF", to, field).clone();
            db.set("PIF", &untagged, field, value);
        }
    }
}

fn create_bond(db: &mut Db, p: &[Value]) -> Result<String, Fault> {
    let (network, members, mac) = (p[0].str(), p[1].strings(), p[2].str());
    db.check("network", network)?;
    if members.len() < 2 {
        return Err(Fault::bare("PIF_BOND_NEEDS_MORE_MEMBERS"));
    }
    for member in &members {
        db.check("PIF", member)?;
        if db.exists("Bond", db.get("PIF", member, "bond_slave_of").str()) {
            return Err(Fault::new("PIF_ALREADY_BONDED", [member]));
        }
        if db.get("PIF", member, "VLAN").int() >= 0 {
            return Err(Fault::new("PIF_IS_VLAN", [member]));
        }
        if !db.get("PIF", member, "bond_master_of").set().is_empty() {
            return Err(Fault::bare("INCOMPATIBLE_PIF_PROPERTIES"));
        }
        if db.get("PIF", member, "host") != db.get("PIF", &members[0], "host") {
            return Err(Fault::bare("PIF_CANNOT_BOND_CROSS_HOST"));
        }
    }
    let first = &members[0];
    let host = db.text("PIF", first, "host");
    let mut names = (0..).map(|number| format!("bond{number}"));
    let pifs = db.members("host", &host, "PIFs");
    let taken: Vec<String> = pifs.iter().map(|pif| db.text("PIF", pif, "device")).collect();
    let device = names.find(|name| !taken.contains(name)).unwrap_or_default();
    let metrics = super::clone::row_copy(db, "PIF_metrics", &db.text("PIF", first, "metrics"), &[]);
    let mut changes = vec![
        ("device", Value::from(device)),
        ("network", Value::from(network)),
        ("metrics", Value::from(metrics)),
        ("physical", Value::Bool(false)),
    ];
    if !mac.is_empty() {
        changes.push(("MAC", Value::from(mac)));
    }
    let master = super::clone::row_copy(db, "PIF", first, &changes);
    let bond = db.create(
        "Bond",
        [
            ("master", Value::from(&master)),
            ("primary_slave", Value::from(first)),
            ("mode", p[3].clone()),
            ("properties", p[4].clone()),
            ("links_up", Value::Int(members.len() as i64)),
        ],
    );
    for member in &members {
        move_vlans(db, member, &master);
        db.update(
            "PIF",
            member,
            [
                ("bond_slave_of", Value::from(&*bond)),
                ("management", Value::Bool(false)),
                ("IP", Value::void()),
                ("ip_configuration_mode", Value::from("None")),
            ],
        );
    }
    Ok(bond.to_string())
}
