//! Objects that are made from the parameters of a call as they stand: networks' controllers, provisioning sites,
//! repositories, blobs, USB groups, clusters, network functions; and what must be empty before it goes.

use super::{Outcome, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::model::{Class, Message};
use crate::rpc::Call;
use crate::value::Value;

/// Made from parameters that are called as their fields are.
const MADE: &[&str] = &[
    "USB_group.create",
    "blob.create",
    "SDN_controller.introduce",
    "PVS_site.introduce",
    "PVS_server.introduce",
    "PVS_proxy.create",
    "Repository.introduce",
    "Repository.introduce_bundle",
    "Repository.introduce_remote_pool",
    "PIF.db_introduce",
    "PIF.pool_introduce",
    "VDI.db_introduce",
    "VDI.pool_introduce",
    "VLAN.pool_introduce",
    "network.pool_introduce",
];

/// What goes, and the fields that must be empty, with the code and the parameters for those that are not.
const GONE: &[(&str, &[(&str, &str)])] = &[
    (
        "USB_group.destroy",
        &[
            ("PUSBs", "USB_GROUP_CONTAINS_PUSB"),
            ("VUSBs", "USB_GROUP_CONTAINS_VUSB"),
        ],
    ),
    ("blob.destroy", &[]),
    ("SDN_controller.forget", &[]),
    (
        "PVS_site.forget",
        &[
            ("proxies", "PVS_SITE_CONTAINS_RUNNING_PROXIES"),
            ("servers", "PVS_SITE_CONTAINS_SERVERS"),
        ],
    ),
    ("PVS_server.forget", &[]),
    ("PVS_proxy.destroy", &[]),
    ("PIF.db_forget", &[]),
    ("VDI.db_forget", &[]),
    ("Cluster_host.forget", &[]),
];

const OTHERS: &[&str] = &[
    "Repository.forget",
    "Cluster.create",
    "Cluster.pool_create",
    "Cluster.destroy",
    "Cluster.pool_destroy",
    "Cluster.pool_force_destroy",
    "Cluster.pool_resync",
    "Cluster.get_network",
    "Cluster_host.create",
    "Cluster_host.destroy",
    "Cluster_host.force_destroy",
    "Cluster_host.enable",
    "Cluster_host.disable",
    "network_sriov.create",
    "network_sriov.destroy",
    "network_sriov.get_remaining_capacity",
    "VM.create_new_blob",
    "SR.create_new_blob",
    "host.create_new_blob",
    "pool.create_new_blob",
    "network.create_new_blob",
];

/// Virtual functions of a network card.
const FUNCTIONS: i64 = 8;

pub fn does(name: &str) -> bool {
    MADE.contains(&name) || GONE.iter().any(|(gone, _)| *gone == name) || OTHERS.contains(&name)
}

pub fn run(call: &Call, class: &'static Class, message: &Message, p: &[Value]) -> Outcome {
    let name = format!("{}.{}", class.name, message.name);
    if let Some((_, guards)) = GONE.iter().find(|(gone, _)| *gone == name) {
        let this = p[0].str();
        return call.write(|db| {
            db.check(&class.name, this)?;
            for (field, code) in *guards {
                let members = db.members(&class.name, this, field);
                if !members.is_empty() {
                    return Err(Fault::new(code, members));
                }
            }
            db.destroy(&class.name, this);
            void()
        });
    }
    if MADE.contains(&&*name) {
        return call.write(|db| made(db, class, message, p));
    }
    let this = p.first().map_or("", Value::str);
    match (class.name.as_str(), message.name.as_str()) {
        ("Repository", "forget") => call.write(|db| {
            db.check("Repository", this)?;
            if db.get("pool", &db.pool(), "repositories").contains(this) {
                return Err(Fault::bare("REPOSITORY_IS_IN_USE"));
            }
            db.destroy("Repository", this);
            void()
        }),
        (_, "create_new_blob") => call.write(|db| {
            db.check(&class.name, this)?;
            let blob = db.create(
                "blob",
                [
                    ("name_label", p[1].clone()),
                    ("mime_type", p[2].clone()),
                    ("public", p[3].clone()),
                ],
            );
            db.set_entry(&class.name, this, "blobs", p[1].str(), Some(Value::from(&*blob)));
            Ok(Some(Value::from(&*blob)))
        }),
        ("Cluster" | "Cluster_host", what) => call.write(|db| cluster(db, &class.name, what, p)),
        ("network_sriov", what) => call.write(|db| sriov(db, what, p)),
        _ => Ok(None),
    }
}

fn made(db: &mut Db, class: &'static Class, message: &Message, p: &[Value]) -> Outcome {
    for (param, value) in message.params.iter().zip(p) {
        if let crate::model::Type::Ref(other) = &param.ty
            && value.str() != crate::value::NULL_REF
        {
            db.check(other, value.str())?;
        }
    }
    match class.name.as_str() {
        "PVS_proxy" => {
            let vif = p[1].str();
            if db.text("VIF", vif, "device") != "0" {
                return Err(Fault::bare("PVS_VIF_MUST_BE_FIRST_DEVICE"));
            }
            if let Some(proxy) = db.find("PVS_proxy", "VIF", vif) {
                return Err(Fault::new("PVS_PROXY_ALREADY_PRESENT", [&*proxy]));
            }
        }
        "PVS_server" => {
            for address in p[0].set() {
                let taken = |server: &crate::db::Ref| {
                    db.get("PVS_server", server, "addresses").contains(address.str())
                };
                if db.refs("PVS_server").iter().any(taken) {
                    return Err(Fault::new("PVS_SERVER_ADDRESS_IN_USE", [address.str()]));
                }
            }
        }
        "Repository" => {
            let url = message.params.iter().position(|param| param.name == "binary_url");
            let known = url.and_then(|at| db.find("Repository", "binary_url", p[at].str()));
            if let Some(known) = known {
                return Err(Fault::new("REPOSITORY_ALREADY_EXISTS", [&*known]));
            }
        }
        _ => {}
    }
    let fields = message.params.iter().zip(p);
    let fields = fields.filter(|(param, _)| class.field(&param.name).is_some());
    let mut fields: Vec<(&str, Value)> = fields
        .map(|(param, value)| (param.name.as_str(), value.clone()))
        .collect();
    if class.name == "Repository" {
        let origin = match message.name.as_str() {
            "introduce_bundle" => "bundle",
            "introduce_remote_pool" => "remote_pool",
            _ => "remote",
        };
        fields.push(("origin", Value::from(origin)));
    }
    let reference = db.create(&class.name, fields);
    Ok(Some(Value::from(&*reference)))
}

/// `pool_` calls do it for the hosts of the pool together.
fn cluster(db: &mut Db, class: &str, what: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    match (class, what) {
        ("Cluster", "create" | "pool_create") => {
            let of_class = if what == "create" { "PIF" } else { "network" };
            db.check(of_class, this)?;
            if db.count("Cluster") > 0 {
                return Err(Fault::bare("CLUSTER_ALREADY_EXISTS"));
            }
            if p[1].str() != "corosync" {
                return Err(Fault::new("INVALID_CLUSTER_STACK", [p[1].str()]));
            }
            let pifs = match what {
                "create" => vec![this.to_owned()],
                _ => db.members("network", this, "PIFs"),
            };
            for pif in &pifs {
                ready_for_cluster(db, pif)?;
            }
            let timeouts = &p[p.len() - 2..];
            let cluster = db.create(
                "Cluster",
                [
                    ("cluster_stack", p[1].clone()),
                    ("cluster_stack_version", Value::Int(3)),
                    ("pool_auto_join", Value::Bool(what != "create" || p[2].bool())),
                    ("token_timeout", timeouts[0].clone()),
                    ("token_timeout_coefficient", timeouts[1].clone()),
                    ("cluster_token", Value::from("generated")),
                ],
            );
            for pif in pifs {
                let host = db.text("PIF", &pif, "host");
                join(db, &cluster, &host, &pif);
            }
            Ok(Some(Value::from(&*cluster)))
        }
        ("Cluster_host", "create") => {
            db.check("Cluster", this)?;
            db.check("host", p[1].str())?;
            db.check("PIF", p[2].str())?;
            if db.text("PIF", p[2].str(), "host") != p[1].str() {
                return Err(Fault::new("PIF_NOT_ATTACHED_TO_HOST", [p[2].str(), p[1].str()]));
            }
            ready_for_cluster(db, p[2].str())?;
            Ok(Some(Value::from(join(db, this, p[1].str(), p[2].str()))))
        }
        ("Cluster", _) => {
            db.check("Cluster", this)?;
            let hosts = db.members("Cluster", this, "cluster_hosts");
            match what {
                "get_network" => {
                    let pif = hosts.first().map(|host| db.text("Cluster_host", host, "PIF"));
                    let network = pif.map(|pif| db.text("PIF", &pif, "network"));
                    network
                        .map(|network| Some(Value::from(network)))
                        .ok_or_else(|| Fault::internal("no cluster host has a network"))
                }
                "pool_resync" => void(),
                "destroy" if hosts.len() > 1 => Err(Fault::new(
                    "CLUSTER_DOES_NOT_HAVE_ONE_NODE",
                    [hosts.len().to_string()],
                )),
                _ => {
                    refuse_used(db, this)?;
                    for host in hosts {
                        db.destroy("Cluster_host", &host);
                    }
                    db.destroy("Cluster", this);
                    void()
                }
            }
        }
        _ => {
            db.check("Cluster_host", this)?;
            let cluster = db.text("Cluster_host", this, "cluster");
            match what {
                "enable" => {
                    ready_for_cluster(db, &db.text("Cluster_host", this, "PIF"))?;
                    db.set("Cluster_host", this, "enabled", true);
                }
                "disable" => {
                    refuse_used(db, &cluster)?;
                    db.set("Cluster_host", this, "enabled", false);
                }
                _ => {
                    refuse_used(db, &cluster)?;
                    let last = db.members("Cluster", &cluster, "cluster_hosts").len() == 1;
                    if last && what == "destroy" {
                        return Err(Fault::new("CLUSTER_HOST_IS_LAST", [this]));
                    }
                    db.destroy("Cluster_host", this);
                }
            }
            count_members(db, &cluster);
            void()
        }
    }
}

fn ready_for_cluster(db: &Db, pif: &str) -> Result<(), Fault> {
    if !db.get("PIF", pif, "currently_attached").bool() {
        return Err(Fault::new("REQUIRED_PIF_IS_UNPLUGGED", [pif]));
    }
    match db.get("PIF", pif, "disallow_unplug").bool() {
        true => Ok(()),
        false => Err(Fault::new("PIF_ALLOWS_UNPLUG", [pif])),
    }
}

fn join(db: &mut Db, cluster: &str, host: &str, pif: &str) -> String {
    let now = Value::Date(db.now());
    let member = db.create(
        "Cluster_host",
        [
            ("cluster", Value::from(cluster)),
            ("host", Value::from(host)),
            ("PIF", Value::from(pif)),
            ("enabled", Value::Bool(true)),
            ("joined", Value::Bool(true)),
            ("live", Value::Bool(true)),
            ("last_update_live", now),
        ],
    );
    count_members(db, cluster);
    member.to_string()
}

fn count_members(db: &mut Db, cluster: &str) {
    if !db.exists("Cluster", cluster) {
        return;
    }
    let members = db.members("Cluster", cluster, "cluster_hosts");
    let live = members
        .iter()
        .filter(|member| db.get("Cluster_host", member, "enabled").bool());
    let (all, live) = (members.len() as i64, live.count() as i64);
    let quorum = all / 2 + 1;
    db.update(
        "Cluster",
        cluster,
        [
            ("expected_hosts", Value::Int(all)),
            ("live_hosts", Value::Int(live)),
            ("quorum", Value::Int(quorum)),
            ("is_quorate", Value::Bool(live >= quorum)),
        ],
    );
}

/// Storage that needs the cluster keeps it.
fn refuse_used(db: &Db, cluster: &str) -> Result<(), Fault> {
    let uses = |pbd: &crate::db::Ref| {
        let sr = db.text("PBD", pbd, "SR");
        db.get("PBD", pbd, "currently_attached").bool() && db.text("SR", &sr, "type") == "gfs2"
    };
    match db.refs("PBD").iter().any(uses) {
        true => Err(Fault::new(
            "CLUSTER_STACK_IN_USE",
            [db.text("Cluster", cluster, "cluster_stack")],
        )),
        false => Ok(()),
    }
}

fn sriov(db: &mut Db, what: &str, p: &[Value]) -> Outcome {
    let this = p[0].str();
    if what != "create" {
        db.check("network_sriov", this)?;
        if what == "get_remaining_capacity" {
            return Ok(Some(Value::Int(FUNCTIONS)));
        }
        let logical = db.text("network_sriov", this, "logical_PIF");
        db.destroy("network_sriov", this);
        db.destroy("PIF", &logical);
        return void();
    }
    let network = p[1].str();
    db.check("PIF", this)?;
    db.check("network", network)?;
    if !db.get("PIF", this, "physical").bool() || !db.get("PIF", this, "capabilities").contains("sriov") {
        return Err(Fault::new("PIF_IS_NOT_SRIOV_CAPABLE", [this]));
    }
    if db.find("network_sriov", "physical_PIF", this).is_some() {
        return Err(Fault::new("NETWORK_SRIOV_ALREADY_ENABLED", [this]));
    }
    let copied = ["device", "host", "MAC", "MTU", "metrics"];
    let copied = copied.map(|field| (field, db.get("PIF", this, field).clone()));
    let own = [
        ("network", Value::from(network)),
        ("VLAN", Value::Int(-1)),
        ("managed", Value::Bool(true)),
        ("currently_attached", Value::Bool(true)),
    ];
    let logical = db.create("PIF", copied.into_iter().chain(own));
    let made = db.create(
        "network_sriov",
        [
            ("physical_PIF", Value::from(this)),
            ("logical_PIF", Value::from(&*logical)),
            ("configuration_mode", Value::from("sysfs")),
        ],
    );
    Ok(Some(Value::from(&*made)))
}
