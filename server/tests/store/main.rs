//! The store: one contract for every backend, and what is particular to Redis, over a real redis-server.

mod contract;
mod dump;
mod redis;
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod tls;
mod todays;
mod transfer;
