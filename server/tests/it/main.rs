//! The server over real sockets, in front of simulated pools: what clients and operators meet.

mod failover;
mod filters;
mod inventory;
mod kill;
mod limits;
mod program;
mod protocol;
mod proxies;
mod redis;
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod retries;
mod servers;
mod session;
mod silence;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod tokens;
mod views;
mod vms;
