//! What is known of all pools: raw records become XO objects (`convert`), are recomputed when anything that
//! they were computed from changes (`graph`), and are kept with their JSON and a revision (`store`).

pub mod convert;
pub mod graph;
pub mod store;

pub use graph::Graph;
pub use store::{Delta, Object, Store};
