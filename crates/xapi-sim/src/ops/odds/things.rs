//! Measurements, interfaces, devices, and the rest of the classes with a few calls.

use crate::db::Db;
use crate::fault::Fault;
use crate::ops::{Outcome, void};
use crate::rpc::Call;
use crate::rrd;
use crate::value::Value;

/// Measurements by name, and the few questions of virtual machines that share their shape.
pub fn sources(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    let db = call.pool.db();
    match name {
        "get_data_sources" => Ok(Some(Value::Set(rrd::data_sources(&db, class, this)))),
        "query_data_source" => {
            let wanted = p[1].str();
            if class == "VM" && db.text("VM", this, "power_state") != "Running" {
                let state = db.text("VM", this, "power_state").to_lowercase();
                return Err(Fault::new("VM_BAD_POWER_STATE", [this, "running", &state]));
            }
            let found = rrd::data_sources(&db, class, this);
            let found = found.iter().find(|source| source.text("name_label") == wanted);
            let value = found.and_then(|source| source.entry("value")).cloned();
            value
                .map(Some)
                .ok_or_else(|| Fault::internal(format!("No data source called {wanted}")))
        }
        "call_plugin" | "call_host_plugin" => {
            let state = db.text("VM", this, "power_state");
            if name == "call_plugin" && state != "Running" {
                return Err(Fault::new(
                    "VM_BAD_POWER_STATE",
                    [this, "running", &state.to_lowercase()],
                ));
            }
            Err(Fault::new("XENAPI_MISSING_PLUGIN", [p[1].str()]))
        }
        "query_services" => Ok(Some(Value::empty_map())),
        "retrieve_wlb_recommendations" => Err(Fault::bare("WLB_NOT_INITIALIZED")),
        "set_shadow_multiplier_live" => {
            drop(db);
            call.write(|db| {
                db.set("VM", this, "HVM_shadow_multiplier", p[1].clone());
                void()
            })
        }
        _ => void(),
    }
}

pub fn pif(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    call.write(|db| match name {
        "create_VLAN" => {
            let (device, network, host) = (this, p[1].str(), p[2].str());
            let own = db.members("host", host, "PIFs").into_iter();
            let mut own = own.filter(|pif| {
                db.text("PIF", pif, "device") == device && db.get("PIF", pif, "VLAN").int() == -1
            });
            let tagged = own
                .next()
                .ok_or_else(|| Fault::new("INVALID_VALUE", ["device", device]))?;
            let vlan = crate::ops::network::create_vlan(db, &tagged, p[3].int(), network)?;
            Ok(Some(Value::from(db.text("VLAN", &vlan, "untagged_PIF"))))
        }
        "destroy" => {
            if db.get("PIF", this, "physical").bool() {
                return Err(Fault::new("PIF_IS_PHYSICAL", [this]));
            }
            let vlan = db.text("PIF", this, "VLAN_master_of");
            if db.exists("VLAN", &vlan) {
                db.destroy("VLAN", &vlan);
            }
            db.destroy("PIF", this);
            void()
        }
        "introduce" => {
            let (host, mac, device) = (this, p[1].str().to_lowercase(), p[2].str());
            if !is_mac(&mac) {
                return Err(Fault::new("MAC_INVALID", [&*mac]));
            }
            let own = db.members("host", host, "PIFs");
            if own.iter().any(|pif| db.text("PIF", pif, "device") == device) {
                return Err(Fault::new("DUPLICATE_PIF_DEVICE_NAME", [device]));
            }
            if own.iter().any(|pif| db.text("PIF", pif, "MAC") == mac) {
                return Err(Fault::new("MAC_STILL_EXISTS", [&*mac]));
            }
            let network = db.create(
                "network",
                [
                    (
                        "name_label",
                        Value::from(format!("Pool-wide network associated with {device}")),
                    ),
                    ("bridge", Value::from(format!("br{device}"))),
                    ("MTU", Value::Int(1500)),
                ],
            );
            let metrics = db.create("PIF_metrics", []);
            let pif = db.create(
                "PIF",
                [
                    ("host", Value::from(host)),
                    ("device", Value::from(device)),
                    ("MAC", Value::from(mac)),
                    ("MTU", Value::Int(1500)),
                    ("VLAN", Value::Int(-1)),
                    ("physical", Value::Bool(true)),
                    ("managed", p[3].clone()),
                    ("network", Value::from(&*network)),
                    ("metrics", Value::from(&*metrics)),
                    ("ip_configuration_mode", Value::from("None")),
                    ("ipv6_configuration_mode", Value::from("None")),
                    ("primary_address_type", Value::from("IPv4")),
                ],
            );
            Ok(Some(Value::from(&*pif)))
        }
        _ => {
            let address = p[2].str();
            if p[1].str() == "Static"
                && address
                    .split('/')
                    .next()
                    .is_none_or(|ip| ip.parse::<std::net::Ipv6Addr>().is_err())
            {
                return Err(Fault::new("INVALID_IP_ADDRESS_SPECIFIED", ["IPv6"]));
            }
            let addresses = if address.is_empty() { vec![] } else { vec![address] };
            db.update(
                "PIF",
                this,
                [
                    ("ipv6_configuration_mode", p[1].clone()),
                    ("IPv6", Value::set_of(addresses)),
                    ("ipv6_gateway", p[3].clone()),
                ],
            );
            if !p[4].str().is_empty() {
                db.set("PIF", this, "DNS", p[4].clone());
            }
            void()
        }
    })
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6
        && parts
            .iter()
            .all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

pub fn device(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    let text = |text: String| Ok(Some(Value::from(text)));
    match (class, name) {
        ("PCI" | "PGPU", "get_dom0_access_status") => text(dom0_access(&call.pool.db(), this)),
        ("PCI" | "PGPU", _) => call.write(|db| {
            let pci = match class {
                "PGPU" => db.text("PGPU", this, "PCI"),
                _ => this.to_owned(),
            };
            // Takes effect at the next restart.
            let access = match (name, dom0_access(db, &pci).as_str()) {
                ("disable_dom0_access", "enabled" | "disable_on_reboot") => "disable_on_reboot",
                ("disable_dom0_access", _) => "disabled",
                (_, "disabled" | "enable_on_reboot") => "enable_on_reboot",
                _ => "enabled",
            };
            db.set_entry(
                "PCI",
                &pci,
                "other_config",
                "dom0_access",
                Some(Value::from(access)),
            );
            if class == "PGPU" {
                db.set("PGPU", this, "dom0_access", access);
            }
            Ok(Some(Value::from(access)))
        }),
        ("VTPM", "get_contents") => text(call.pool.db().text("VTPM", this, "contents")),
        ("VTPM", _) => call.write(|db| {
            db.set("VTPM", this, "contents", p[1].clone());
            void()
        }),
        ("VDI", "checksum") => {
            let db = call.pool.db();
            let seed = db
                .text("VDI", this, "location")
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            text(format!("{seed:016x}{:016x}", seed.rotate_left(17)))
        }
        ("VDI", _) => Err(Fault::new(
            "SR_OPERATION_NOT_SUPPORTED",
            [call.pool.db().text("VDI", p[1].str(), "SR")],
        )),
        ("VBD", what) => {
            let db = call.pool.db();
            let sr = db.text("VDI", &db.text("VBD", this, "VDI"), "SR");
            if !db.exists("SR", &sr) {
                return Err(Fault::new("VBD_IS_EMPTY", [this]));
            }
            match what {
                "pause" => text("paused".to_owned()),
                _ => void(),
            }
        }
        _ => Ok(None),
    }
}

fn dom0_access(db: &Db, pci: &str) -> String {
    match db.get("PCI", pci, "other_config").text("dom0_access") {
        "" => "enabled".to_owned(),
        access => access.to_owned(),
    }
}

pub fn rest(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("message", "destroy_all") => call.write(|db| {
            let priority = p[0].text("priority").to_owned();
            let before = p[0].entry("before").map(Value::str).and_then(crate::clock::parse);
            for message in db.refs("message") {
                let fits = priority.is_empty()
                    || db.get("message", &message, "priority").int().to_string() == priority;
                let old = before.is_none_or(|before| db.get("message", &message, "timestamp").int() < before);
                if fits && old {
                    db.destroy("message", &message);
                }
            }
            void()
        }),
        ("role", _) => {
            let db = call.pool.db();
            let label = match name {
                "get_by_permission" => db.text("role", this, "name_label"),
                _ => this.to_owned(),
            };
            let allows = |role: &crate::db::Ref| {
                crate::rpc::rbac::permissions(&db.text("role", role, "name_label")).contains(&label)
            };
            let roles = db.refs("role").into_iter().filter(allows);
            Ok(Some(Value::set_of(roles.map(|role| role.to_string()))))
        }
        ("Host_driver" | "Driver_variant", _) => call.write(|db| {
            let (driver, variant) = match class {
                "Driver_variant" => (db.text("Driver_variant", this, "driver"), this.to_owned()),
                _ => (
                    this.to_owned(),
                    p.get(1).map_or(crate::value::NULL_REF, Value::str).to_owned(),
                ),
            };
            db.set("Host_driver", &driver, "selected_variant", &*variant);
            void()
        }),
        ("Caller", "add_group" | "remove_group") => call.write(|db| {
            let groups = db.get("Caller", this, "groups").set().iter();
            let mut groups: Vec<Value> = groups.filter(|group| **group != p[1]).cloned().collect();
            if name == "add_group" {
                groups.push(p[1].clone());
            }
            db.set("Caller", this, "groups", Value::Set(groups));
            void()
        }),
        ("Caller", "query_call_count" | "query_group_call_count") => Ok(Some(Value::Int(0))),
        ("Caller", "query_all_usage") => Ok(Some(Value::Set(vec![]))),
        ("Caller", _) => Ok(Some(Value::Float(0.0))),
        ("Rate_limit", _) => call.write(|db| {
            let limit = match name {
                "add_caller" => p[0].clone(),
                _ => Value::null(),
            };
            db.set("Caller", p[1].str(), "rate_limit", limit);
            void()
        }),
        ("Diagnostics", "network_stats") => Ok(Some(Value::Set(vec![]))),
        _ => Ok(Some(Value::empty_map())),
    }
}
