//! The JSON-RPC edge: methods, checks, and what is pushed to clients. Transports are below `transport`.

pub mod connection;
pub mod conversation;
pub mod dispatch;
pub mod error;
pub mod feed;
pub mod filter_turns;
pub mod frame;
pub mod lines;
pub mod listings;
pub mod methods;
pub mod registry;
pub mod room;
pub mod schema;
pub mod views;
pub mod websocket;
