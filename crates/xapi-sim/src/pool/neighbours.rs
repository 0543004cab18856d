//! The simulated pools of this process, by address: how one of them finds the other for `migrate_send` and `join`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Shared;

static POOLS: Mutex<Vec<(SocketAddr, Weak<Shared>)>> = Mutex::new(Vec::new());

pub fn register(address: SocketAddr, pool: &Arc<Shared>) {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|(_, pool)| pool.strong_count() > 0);
    pools.push((address, Arc::downgrade(pool)));
}

/// The pool behind `http://address:port/...`, `address:port` or an address that only one pool has. A bare address
/// that several have is taken to be at `port`, where the asking pool listens itself.
pub fn find(text: &str, port: u16) -> Option<Arc<Shared>> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split('/').next()?;
    let running = |wanted: &dyn Fn(&SocketAddr) -> bool| {
        let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pools.iter().filter(|(address, _)| wanted(address));
        let mut found: Vec<_> = found.filter_map(|(_, pool)| pool.upgrade()).collect();
        found.retain(|pool| !pool.is_stopped());
        found
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return running(&|known| *known == address).pop();
    }
    let ip: IpAddr = text.parse().ok()?;
    let mut all = running(&|known| known.ip() == ip);
    match all.len() {
        1 => all.pop(),
        _ => running(&|known| *known == SocketAddr::new(ip, port)).pop(),
    }
}
