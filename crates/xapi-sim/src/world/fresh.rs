//! A host as the installer leaves it: what years of use have added is taken away again.

use super::Ground;
use crate::db::Db;
use crate::ops::membership;

pub fn strip(db: &mut Db, ground: &Ground) {
    for host in ground.hosts.iter().skip(1) {
        membership::remove_host(db, host);
    }
    for class in [
        "Bond",
        "VLAN",
        "message",
        "host_patch",
        "pool_patch",
        "pool_update",
    ] {
        for object in db.refs(class) {
            if matches!(class, "Bond" | "VLAN") {
                let field = if class == "Bond" { "master" } else { "untagged_PIF" };
                let pif = db.text(class, &object, field);
                db.destroy("PIF", &pif);
            }
            db.destroy(class, &object);
        }
    }
    for sr in db.refs("SR") {
        if db.get("SR", &sr, "shared").bool() && !db.get("SR", &sr, "is_tools_sr").bool() {
            for (field, class) in [("PBDs", "PBD"), ("VDIs", "VDI")] {
                for object in db.members("SR", &sr, field) {
                    db.destroy(class, &object);
                }
            }
            db.destroy("SR", &sr);
        }
    }
    let (pool, local) = (db.pool(), &ground.local_srs[0]);
    for field in ["default_SR", "suspend_image_SR", "crash_dump_SR"] {
        db.set("pool", &pool, field, &**local);
    }
    for network in db.refs("network") {
        let internal = db.get("network", &network, "bridge").str() == "xenapi";
        if db.members("network", &network, "PIFs").is_empty()
            && db.members("network", &network, "VIFs").is_empty()
            && !internal
        {
            db.destroy("network", &network);
        }
    }
}
