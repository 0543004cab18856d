//! The seeded world: a pool as an administrator would find it after some years. Everything comes from the
//! database's own generator, so that the same seed gives the same world; dates are relative to today's midnight.

mod extras;
mod fresh;
pub mod guests;
mod hosts;
pub mod load;
mod networks;
mod storage;
mod tasks;
mod templates;
mod vms;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::db::{Db, Ref};
use crate::ops::lifecycle;
use crate::pool::PoolConfig;
use crate::value::Value;

/// What the later parts of the world stand on.
pub struct Ground {
    pub pool: Ref,
    pub hosts: Vec<Ref>,
    /// Networks that guests are put on.
    pub guest_networks: Vec<Ref>,
    pub shared_srs: Vec<Ref>,
    /// One per host, in the order of `hosts`.
    pub local_srs: Vec<Ref>,
    pub isos: Vec<Ref>,
    /// Midnight of today, the moment that the world's dates are relative to.
    pub today: i64,
}

/// Grows the world. Gives the hosts, the master first. `fingerprints` are of their certificates, or of one for all.
pub fn build(db: &mut Db, config: &PoolConfig, address: SocketAddr, fingerprints: &[&str]) -> Vec<Ref> {
    let now = db.now();
    let mut ground = Ground {
        pool: "".into(),
        hosts: vec![],
        guest_networks: vec![],
        shared_srs: vec![],
        local_srs: vec![],
        isos: vec![],
        today: now - now % 86_400,
    };
    extras::storage_managers(db);
    hosts::build(db, config, address, fingerprints, &mut ground);
    networks::build(db, config, &mut ground);
    storage::build(db, config, &mut ground);
    templates::build(db, &ground);
    vms::build(db, config, &ground);
    hosts::settle_memory(db, &ground);
    extras::build(db, &ground);
    tasks::build(db, config, &ground);
    for class in ["VM", "VBD", "VIF", "VDI", "SR", "host"] {
        for reference in db.refs(class) {
            lifecycle::refresh(db, class, &reference);
        }
    }
    if config.fresh {
        fresh::strip(db, &ground);
    }
    ground.hosts
}

/// The address of a host that is not the master: on the loopback network each has its own, beside the master's.
pub fn supporter_address(master: IpAddr, host: usize) -> Option<IpAddr> {
    match master {
        IpAddr::V4(ip) if ip.is_loopback() && host < 200 => {
            let [a, b, c, d] = ip.octets();
            Some(Ipv4Addr::new(a, b, c, d.checked_add(host as u8)?).into())
        }
        _ => None,
    }
}

/// A map of texts.
pub fn texts<const N: usize>(entries: [(&str, &str); N]) -> Value {
    Value::map_of(entries)
}
