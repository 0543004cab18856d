//! The server over real sockets, in front of simulated pools: what clients and operators meet.

mod filters;
mod inventory;
mod protocol;
mod servers;
mod session;
mod support;
mod views;
mod vms;
