//! The XO entities as clients see them: shapes, units and names are those of the public contract.

pub mod kind;
pub mod light;

pub use kind::ObjectType;
