//! Storage: local repositories, shared ones, ISO libraries, drives.

use super::{Ground, texts};
use crate::db::{Db, Ref};
use crate::pool::PoolConfig;
use crate::value::Value;

const TIB: i64 = 1 << 40;
/// Guests per shared repository: an administrator splits them somewhere.
const VMS_PER_SHARED_SR: usize = 1000;
const ISOS: [(&str, i64); 9] = [
    ("debian-12.7.0-amd64-netinst.iso", 631),
    ("ubuntu-24.04.1-live-server-amd64.iso", 2_654),
    ("Rocky-9.4-x86_64-minimal.iso", 1_730),
    ("AlmaLinux-9.4-x86_64-dvd.iso", 10_400),
    ("SERVER_EVAL_x64FRE_en-us-2022.iso", 4_800),
    ("Win11_23H2_English_x64.iso", 6_300),
    ("FreeBSD-14.1-RELEASE-amd64-disc1.iso", 1_030),
    ("pfSense-CE-2.7.2-RELEASE-amd64.iso", 850),
    ("alpine-virt-3.20.3-x86_64.iso", 61),
];

struct Repository<'a> {
    name: String,
    text: &'a str,
    kind: &'a str,
    content: &'a str,
    size: i64,
    shared: bool,
}

pub fn build(db: &mut Db, config: &PoolConfig, ground: &mut Ground) {
    let hosts = ground.hosts.clone();
    for (at, host) in hosts.iter().enumerate() {
        let kind = if at % 2 == 0 { "ext" } else { "lvm" };
        let local = Repository {
            name: "Local storage".into(),
            text: "",
            kind,
            content: "user",
            size: 2 * TIB,
            shared: false,
        };
        let sr = repository(db, local);
        let id = format!("/dev/disk/by-id/scsi-3{:016x}-part3", db.seed.next());
        plug(db, &sr, host, texts([("device", &id)]));
        ground.local_srs.push(sr);
        for (name, text, content, location) in [
            ("DVD drives", "Physical DVD drives", "iso", "/dev/xapi/cd"),
            ("Removable storage", "", "disk", "/dev/xapi/block"),
        ] {
            let drive = Repository {
                name: name.into(),
                text,
                kind: "udev",
                content,
                size: 0,
                shared: false,
            };
            let sr = repository(db, drive);
            plug(db, &sr, host, texts([("location", location)]));
        }
    }
    for at in 0..1 + config.vms / VMS_PER_SHARED_SR {
        let nfs = at % 2 == 0;
        let (name, kind, text) = match nfs {
            true => (format!("nas-{:02} vm-store", at + 1), "nfs", "NFS on the filer"),
            false => (
                format!("san-{:02} lun", at + 1),
                "lvmoiscsi",
                "iSCSI LUN, multipath",
            ),
        };
        let sr = repository(
            db,
            Repository {
                name,
                text,
                kind,
                content: "user",
                size: 40 * TIB,
                shared: true,
            },
        );
        let config = match nfs {
            true => texts([
                ("server", "10.0.9.5"),
                ("serverpath", "/volume1/vm-store"),
                ("nfsversion", "4"),
            ]),
            false => texts([
                ("target", "10.0.9.6"),
                ("targetIQN", "iqn.2010-06.com.purestorage:flasharray.1"),
                ("SCSIid", "3624a9370"),
                ("port", "3260"),
            ]),
        };
        for host in &hosts {
            plug(db, &sr, host, config.clone());
        }
        ground.shared_srs.push(sr);
    }
    libraries(db, ground, &hosts);
    let default = ground.shared_srs[0].to_string();
    let pool = ground.pool.clone();
    for field in ["default_SR", "suspend_image_SR", "crash_dump_SR"] {
        db.set("pool", &pool, field, &default);
    }
}

fn libraries(db: &mut Db, ground: &mut Ground, hosts: &[Ref]) {
    let iso = |name: &str, text| Repository {
        name: name.into(),
        text,
        kind: "iso",
        content: "iso",
        size: -1,
        shared: true,
    };
    let library = repository(db, iso("ISO library", "NFS share of installation media"));
    let tools = repository(db, iso("XCP-ng Tools", "XCP-ng Tools ISOs"));
    for host in hosts {
        plug(
            db,
            &library,
            host,
            texts([("location", "10.0.9.5:/volume1/iso"), ("type", "nfs_iso")]),
        );
        plug(
            db,
            &tools,
            host,
            texts([
                ("location", "/opt/xensource/packages/iso"),
                ("legacy_mode", "true"),
            ]),
        );
    }
    db.set("SR", &tools, "is_tools_sr", true);
    db.set(
        "SR",
        &tools,
        "other_config",
        texts([("xenserver_tools_sr", "true"), ("xensource_internal", "true")]),
    );
    for (name, megabytes) in ISOS {
        let vdi = image(db, &library, name, megabytes << 20);
        ground.isos.push(vdi);
    }
    let guest_tools = image(db, &tools, "guest-tools.iso", 70 << 20);
    db.set("VDI", &guest_tools, "is_tools_iso", true);
    ground.isos.push(guest_tools);
}

fn image(db: &mut Db, sr: &str, name: &str, size: i64) -> Ref {
    db.create(
        "VDI",
        [
            ("name_label", Value::from(name)),
            ("location", Value::from(name)),
            ("SR", Value::from(sr)),
            ("type", Value::from("user")),
            ("managed", Value::Bool(true)),
            ("read_only", Value::Bool(true)),
            ("virtual_size", Value::Int(size)),
            ("physical_utilisation", Value::Int(size)),
        ],
    )
}

fn repository(db: &mut Db, of: Repository<'_>) -> Ref {
    let clustered = if of.kind == "nfs" || of.kind == "ext" {
        texts([("auto-scan", "false")])
    } else {
        texts([])
    };
    db.create(
        "SR",
        [
            ("name_label", Value::from(of.name)),
            ("name_description", Value::from(of.text)),
            ("type", Value::from(of.kind)),
            ("content_type", Value::from(of.content)),
            ("shared", Value::Bool(of.shared)),
            ("physical_size", Value::Int(of.size)),
            ("physical_utilisation", Value::Int(of.size.min(0))),
            ("other_config", clustered),
        ],
    )
}

fn plug(db: &mut Db, sr: &str, host: &str, config: Value) {
    db.create(
        "PBD",
        [
            ("host", Value::from(host)),
            ("SR", Value::from(sr)),
            ("device_config", config),
            ("currently_attached", Value::Bool(true)),
        ],
    );
}
