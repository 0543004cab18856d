//! The value types of object properties. Text is borrowed where the server converts and owned where a
//! client reads; an absent property is `None`, a `null` one is `Nullable(None)`.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use std::{borrow::Cow, fmt, marker::PhantomData};

pub type Text<'a> = Cow<'a, str>;
/// Id of another object.
pub type Link<'a> = Cow<'a, str>;
/// Ids of other objects; `null` where a link leads nowhere.
pub type Links<'a> = Vec<Option<Link<'a>>>;
/// Seconds since epoch, `null` for "never" or unreadable.
pub type Seconds = Nullable<i64>;

/// A property that is present even without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nullable<T>(pub Option<T>);

/// A number that is written as JavaScript would: without a fraction when it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Beyond 2^53 a float is no exact integer any more.
        if self.0.fract() == 0.0 && self.0.abs() < 9_007_199_254_740_992.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// A JSON object with values of one kind, in the order in which it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries<'a, V = Text<'a>>(pub Vec<(Text<'a>, V)>);

/// A map of texts, forwarded as XAPI has it.
pub type TextMap<'a> = Entries<'a, Text<'a>>;

impl<V> Entries<'_, V> {
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

impl<V: Serialize> Serialize for Entries<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<'_, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a, V>(PhantomData<(&'a (), V)>);
        impl<'de, 'a, V: Deserialize<'de>> Visitor<'de> for Collect<'a, V> {
            type Value = Entries<'a, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    entries.push((Cow::Owned(key), value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect(PhantomData))
    }
}
