//! The two RPC notations. Both render the same [`Value`]s; a record is rendered as a piece that is kept and joined
//! into answers, so that a large answer costs a copy of bytes.

pub mod json;
pub mod xml;

use crate::model::Class;
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Json = 0,
    Xml = 1,
}

impl Wire {
    /// A record in the notation: what `get_record` answers. Internal fields never leave.
    pub fn record(self, class: &Class, fields: &[Value]) -> String {
        let visible = class
            .fields
            .iter()
            .zip(fields)
            .filter(|(field, _)| !field.internal);
        let visible = visible.map(|(field, value)| (field.name.as_str(), value));
        match self {
            Wire::Json => json::object(visible),
            Wire::Xml => xml::structure(visible),
        }
    }

    pub fn value(self, value: &Value) -> String {
        let mut out = String::new();
        match self {
            Wire::Json => json::write(&mut out, value),
            Wire::Xml => xml::write(&mut out, value),
        }
        out
    }
}
