//! The frame around every page.

pub mod frame;
mod shortcuts;
