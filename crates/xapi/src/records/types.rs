//! The value types of record fields, and the JSON forms in which each is accepted.

use super::lenient::Lenient;
use crate::reference::{OpaqueRef, Ref};
use jiff::civil::DateTime;
use serde::de::{MapAccess, SeqAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::{fmt, ops::Deref};

pub type Text = Box<str>;

impl Lenient for Text {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.into())
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(value.to_string().into())
    }
    fn from_float(value: f64) -> Option<Self> {
        Some(value.to_string().into())
    }
    fn from_bool(value: bool) -> Option<Self> {
        Some(if value { "true" } else { "false" }.into())
    }
}

impl Lenient for i64 {
    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(value)
    }
    fn from_float(value: f64) -> Option<Self> {
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    }
}

impl Lenient for f64 {
    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(value as f64)
    }
    fn from_float(value: f64) -> Option<Self> {
        Some(value)
    }
}

impl Lenient for bool {
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(value != 0)
    }
}

impl Lenient for OpaqueRef {
    fn from_text(text: &str) -> Option<Self> {
        Some(OpaqueRef::parse(text))
    }
}

impl<T> Lenient for Ref<T> {
    fn from_text(text: &str) -> Option<Self> {
        Some(Ref::new(OpaqueRef::parse(text)))
    }
}

/// A date in seconds since epoch; `None` where the text cannot be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub Option<i64>);

impl Timestamp {
    /// The instant, if it means one: XAPI writes the epoch for "never".
    pub fn meaningful(self) -> Option<i64> {
        self.0.filter(|&seconds| seconds != 0)
    }
}

impl Lenient for Timestamp {
    fn from_text(text: &str) -> Option<Self> {
        Some(Timestamp(parse_date(text)))
    }
    fn from_integer(value: i64) -> Option<Self> {
        Some(Timestamp(Some(value)))
    }
    fn from_float(value: f64) -> Option<Self> {
        Some(Timestamp(Some(value as i64)))
    }
}

/// Seconds since epoch of `20240131T12:34:56Z` or of a dashed ISO 8601 date.
pub fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    let civil = |text: &str| -> Option<i64> {
        let date: DateTime = text.parse().ok()?;
        Some(
            date.to_zoned(jiff::tz::TimeZone::UTC)
                .ok()?
                .timestamp()
                .as_second(),
        )
    };
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Some(instant.as_second()),
        Err(_) => civil(text.strip_suffix('Z').unwrap_or(text)),
    }
}

/// A list of exact size.
#[derive(Clone, Debug, PartialEq)]
pub struct List<T>(Box<[T]>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Box::new([]))
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T: Lenient> Lenient for List<T> {
    fn from_sequence<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Option<Self>, A::Error> {
        let mut items = Vec::with_capacity(sequence.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = sequence.next_element_seed(super::lenient::Seed::<T>::new())? {
            items.extend(item);
        }
        Ok(Some(List(items.into())))
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Texts one after another in one allocation, each behind its length (seven bits a byte, the last without
/// the top bit): a pool has a million small ones, and an allocation for each would cost more than they do.
#[derive(Clone, Default, PartialEq, Eq)]
struct Packed(Box<[u8]>);

impl Packed {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = Vec::new();
        for text in texts {
            let mut length = text.len();
            while length >= 0x80 {
                bytes.push(0x80 | length as u8);
                length >>= 7;
            }
            bytes.push(length as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
        Self(bytes.into())
    }

    fn iter(&self) -> Unpacked<'_> {
        Unpacked(&self.0)
    }
}

struct Unpacked<'a>(&'a [u8]);

impl<'a> Iterator for Unpacked<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        // Packed from texts: it is one.
        std::str::from_utf8(text).ok()
    }
}

/// A list of texts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts(Packed);

impl Texts {
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Lenient for Texts {
    fn from_sequence<'de, A: SeqAccess<'de>>(sequence: A) -> Result<Option<Self>, A::Error> {
        let items: Option<List<Text>> = List::from_sequence(sequence)?;
        Ok(items.map(|items| Texts(Packed::of(items.iter().map(|item| &**item)))))
    }
}

/// A map of texts in the order of the wire; too small for a hash table to pay.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Map(Packed);

impl Map {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut texts = self.0.iter();
        std::iter::from_fn(move || texts.next().zip(texts.next()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Lenient for Map {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        let entries: Vec<(Text, Text)> = entries(map)?;
        Ok(Some(Map(Packed::of(
            entries.iter().flat_map(|(key, value)| [&**key, &**value]),
        ))))
    }
}

/// A map from text to integer (driver features).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntMap(Box<[(Text, i64)]>);

impl IntMap {
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }
}

impl Lenient for IntMap {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        Ok(Some(IntMap(entries(map)?.into())))
    }
}

impl Serialize for IntMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(&**key, value)?;
        }
        map.end()
    }
}

/// The readable entries of a map.
fn entries<'de, V: Lenient, A: MapAccess<'de>>(mut map: A) -> Result<Vec<(Text, V)>, A::Error> {
    let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0).min(1024));
    while let Some(key) = map.next_key::<Box<str>>()? {
        if let Some(value) = map.next_value_seed(super::lenient::Seed::<V>::new())? {
            entries.push((key, value));
        }
    }
    Ok(entries)
}

/// What a VM's `recommendations` XML forbids. Every VM carries the whole document of its template; only
/// its answers to "is this firmware supported" are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions(Box<[Text]>);

impl Restrictions {
    /// Whether the field (`supports-uefi`, for instance) is said to be `no`.
    pub fn forbids(&self, field: &str) -> bool {
        self.0.iter().any(|name| &**name == field)
    }

    pub fn parse(xml: &str) -> Self {
        use quick_xml::{Reader, events::Event};
        let mut reader = Reader::from_str(xml);
        let mut forbidden = Vec::new();
        while let Ok(event) = reader.read_event() {
            let element = match event {
                Event::Start(element) | Event::Empty(element) => element,
                Event::Eof => break,
                _ => continue,
            };
            if element.name().as_ref() != "restriction" {
                continue;
            }
            let attribute = |name: &str| {
                let attribute = element.try_get_attribute(name).ok().flatten()?;
                Some(attribute.value.into_owned())
            };
            if let (Some(field), Some(value)) = (attribute("field"), attribute("value"))
                && value == "no"
            {
                forbidden.push(field.into());
            }
        }
        Self(forbidden.into())
    }
}

impl Lenient for Restrictions {
    fn from_text(text: &str) -> Option<Self> {
        Some(Self::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_packed() {
        let texts: Vec<String> = [0, 1, 127, 128, 129, 16_383, 16_384, 100_000]
            .map(|length| "x".repeat(length))
            .into();
        let packed = Packed::of(texts.iter().map(String::as_str));
        assert!(packed.iter().eq(texts.iter().map(String::as_str)));
    }

    #[test]
    fn dates_of_every_release_are_read() {
        assert_eq!(parse_date("20240131T12:34:56Z"), Some(1_706_704_496));
        assert_eq!(parse_date("2024-01-31T12:34:56Z"), Some(1_706_704_496));
        assert_eq!(parse_date("2024-01-31T13:34:56+01:00"), Some(1_706_704_496));
        assert_eq!(parse_date("20240131T12:34:56"), Some(1_706_704_496));
        assert_eq!(parse_date("19700101T00:00:00Z"), Some(0));
        for text in ["never", "yesterday", "", "20241399T99:99:99Z"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn one_restriction_is_as_good_as_many() {
        let one = r#"<restrictions><restriction field="supports-uefi" value="no"/></restrictions>"#;
        assert!(Restrictions::parse(one).forbids("supports-uefi"));
        let yes = r#"<restrictions><restriction field="supports-uefi" value="yes"/><restriction field="supports-bios" value="no"/></restrictions>"#;
        assert!(!Restrictions::parse(yes).forbids("supports-uefi"));
        assert!(Restrictions::parse(yes).forbids("supports-bios"));
        assert_eq!(Restrictions::parse("not < xml"), Restrictions::default());
    }
}
