//! The XO entities as clients see them: shapes, units and names are those of the public contract.

pub mod activity;
pub mod device;
pub mod host;
pub mod kind;
pub mod light;
pub mod network;
pub mod object;
pub mod storage;
pub mod values;
pub mod vm;

pub use kind::ObjectType;
