//! The server over real sockets, in front of simulated pools: what clients and operators meet.

mod account;
mod admin;
mod audit;
mod browser;
mod calls;
mod config;
mod consoles;
mod failover;
mod filters;
mod inventory;
mod kill;
mod limits;
mod memory;
mod people;
mod program;
mod protocol;
mod proxies;
mod races;
mod redis;
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod renewal;
mod retries;
mod rights;
mod servers;
mod session;
mod silence;
mod stage;
mod strays;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod tls;
mod tokens;
mod views;
mod vms;
