//! The one value type of the simulated database and of both wire formats. It carries its own kind, so that
//! rendering needs no schema; parsing a parameter into the kind that the data model asks for is `rpc::params`.

use std::fmt;

pub const NULL_REF: &str = "OpaqueRef:NULL";

/// A database or wire value. References and enum members are `Str`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Str(Box<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Seconds since 1970, UTC.
    Date(i64),
    Set(Vec<Value>),
    Map(Vec<(Box<str>, Value)>),
    /// The only Int32 of the API (`valid_ref_counts`): written `<i4>` in XML.
    Int32(i32),
    /// `<nil/>` or JSON's null, as a client may send it; nothing in the database is it.
    Nil,
}

impl Value {
    pub fn null() -> Value {
        Value::from(NULL_REF)
    }

    pub fn void() -> Value {
        Value::from("")
    }

    pub fn str(&self) -> &str {
        match self {
            Value::Str(text) => text,
            _ => "",
        }
    }

    pub fn int(&self) -> i64 {
        match self {
            Value::Int(number) | Value::Date(number) => *number,
            Value::Int32(number) => i64::from(*number),
            Value::Float(number) => *number as i64,
            _ => 0,
        }
    }

    pub fn float(&self) -> f64 {
        match self {
            Value::Float(number) => *number,
            other => other.int() as f64,
        }
    }

    pub fn bool(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    pub fn set(&self) -> &[Value] {
        match self {
            Value::Set(items) => items,
            _ => &[],
        }
    }

    pub fn map(&self) -> &[(Box<str>, Value)] {
        match self {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a map.
    pub fn entry(&self, key: &str) -> Option<&Value> {
        self.map()
            .iter()
            .find(|(k, _)| &**k == key)
            .map(|(_, value)| value)
    }

    /// The text of a map's entry, empty when there is none.
    pub fn text(&self, key: &str) -> &str {
        self.entry(key).map_or("", Value::str)
    }

    /// The first text in it, keys too, that a condition holds for.
    pub fn find_text(&self, wanted: &impl Fn(&str) -> bool) -> Option<&str> {
        match self {
            Value::Str(text) => Some(&**text).filter(|text| wanted(text)),
            Value::Set(items) => items.iter().find_map(|item| item.find_text(wanted)),
            Value::Map(entries) => entries.iter().find_map(|(key, value)| {
                let key = Some(&**key).filter(|key| wanted(key));
                key.or_else(|| value.find_text(wanted))
            }),
            _ => None,
        }
    }

    pub fn strings(&self) -> Vec<String> {
        self.set().iter().map(|item| item.str().to_owned()).collect()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.set().iter().any(|item| item.str() == text)
    }

    /// A copy of a map with one entry written (or removed).
    pub fn with(&self, key: &str, value: Option<Value>) -> Value {
        let mut entries = self.map().to_vec();
        let at = entries.iter().position(|(k, _)| &**k == key);
        match (at, value) {
            (Some(at), Some(value)) => entries[at].1 = value,
            (Some(at), None) => drop(entries.remove(at)),
            (None, Some(value)) => entries.push((key.into(), value)),
            (None, None) => {}
        }
        Value::Map(entries)
    }

    pub fn map_of<K: Into<Box<str>>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
        Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    pub fn set_of<V: Into<Value>>(items: impl IntoIterator<Item = V>) -> Value {
        Value::Set(items.into_iter().map(Into::into).collect())
    }

    pub fn empty_map() -> Value {
        Value::Map(Vec::new())
    }

    /// The value as the database stores it: what `get_all_records_where` compares and map keys become.
    pub fn marshalled(&self) -> String {
        match self {
            Value::Str(text) => text.to_string(),
            Value::Nil => String::new(),
            Value::Int(number) => number.to_string(),
            Value::Int32(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Date(at) => crate::clock::basic(*at),
            Value::Set(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| format!("'{}'", item.marshalled()))
                    .collect();
                format!("({})", items.join(" "))
            }
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(k, v)| format!("('{k}' '{}')", v.marshalled()))
                    .collect();
                format!("({})", entries.join(" "))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.marshalled())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Str(text.into())
    }
}

impl From<&&str> for Value {
    fn from(text: &&str) -> Value {
        Value::Str((*text).into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(text.into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Str(text.as_str().into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Bool(flag)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(items: Vec<V>) -> Value {
        Value::set_of(items)
    }
}
