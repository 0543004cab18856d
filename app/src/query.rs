//! The filter languages: text for people (`text`), JSON patterns for programs (`pattern`).
//!
//! Pure: the server filters published objects with it, the client filters its light rows. Contract:
//! contract/ui-inventory.md section 4.

pub mod ast;
pub mod eval;
pub mod pattern;
pub mod row;
pub mod text;

pub use ast::Query;
pub use row::{Field, Lookup};
pub use text::{ParseError, parse};
