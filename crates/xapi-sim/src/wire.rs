//! The two RPC notations. Both render the same [`Value`]s; a record is rendered as a piece that is kept and joined
//! into answers, so that a large answer costs a copy of bytes.

pub mod json;
pub mod xml;

use crate::model::{Class, Field, Type};
use crate::value::{NULL_REF, Value};

/// What records carry that come from a release of the future.
pub const UNKNOWN_FIELD: &str = "field_of_the_future";
pub const UNKNOWN_MEMBER: &str = "member_of_the_future";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Json = 0,
    Xml = 1,
}

/// The first text where bytes that are not UTF-8 were replaced.
fn replaced(params: &[Value]) -> Option<String> {
    let is_replaced = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    let mut found = params.iter().filter_map(|param| param.find_text(&is_replaced));
    found.next().map(str::to_owned)
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

    /// The record as a later release would send it: a field more, and a new member in every enum.
    pub fn strange_record(self, class: &Class, fields: &[Value]) -> String {
        let new = || Value::from(UNKNOWN_MEMBER);
        let strange = |field: &Field, value: &Value| match (&field.ty, value) {
            (Type::Enum(_), _) => new(),
            (Type::Set(item), Value::Set(items)) if matches!(**item, Type::Enum(_)) => {
                Value::Set(items.iter().cloned().chain([new()]).collect())
            }
            (Type::Map(_, item), Value::Map(_)) if matches!(**item, Type::Enum(_)) => {
                value.with(NULL_REF, Some(new()))
            }
            _ => value.clone(),
        };
        let visible = class.fields.iter().zip(fields);
        let visible = visible.filter(|(field, _)| !field.internal);
        let mut values: Vec<(&str, Value)> = visible
            .map(|(field, value)| (field.name.as_str(), strange(field, value)))
            .collect();
        let nested = Value::map_of([("nested", Value::Set(vec![Value::Float(0.5), Value::Bool(true)]))]);
        values.push((UNKNOWN_FIELD, nested));
        let values = values.iter().map(|(name, value)| (*name, value));
        match self {
            Wire::Json => json::object(values),
            Wire::Xml => xml::structure(values),
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
