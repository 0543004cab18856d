//! The value types of record fields, and the JSON forms in which each is accepted.

use super::lenient::{Lenient, Seed};
use crate::reference::{OpaqueRef, Ref};
use jiff::civil::DateTime;
use serde::{
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
    ser::{Serialize, SerializeMap, Serializer},
};
use std::{cell::RefCell, fmt, ops::Deref};

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
        while let Some(item) = sequence.next_element_seed(Seed::<T>::new())? {
            items.extend(item);
        }
        // In an allocation of its size: one that is told to shrink stays as large as it is.
        let mut exact = Vec::with_capacity(items.len());
        exact.append(&mut items);
        Ok(Some(List(exact.into())))
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
    /// Packs what `fill` adds, in an allocation of its size: one that grew and is told to shrink stays as
    /// large as it is.
    fn filled<E>(fill: impl FnOnce(&mut Packer<'_>) -> Result<(), E>) -> Result<Self, E> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            fill(&mut Packer(scratch))?;
            Ok(Self(Box::from(scratch.as_slice())))
        })
    }

    fn iter(&self) -> Unpacked<'_> {
        Unpacked(&self.0)
    }
}

struct Packer<'a>(&'a mut Vec<u8>);

impl Packer<'_> {
    fn add(&mut self, text: &str) {
        let mut length = text.len();
        while length >= 0x80 {
            self.0.push(0x80 | length as u8);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// How much there is, to come back to it.
    fn mark(&self) -> usize {
        self.0.len()
    }

    fn back_to(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
}

/// Adds a text as it is read, in the forms in which [`Text`] is; tells whether it was one.
struct PackedText<'a, 'b>(&'a mut Packer<'b>);

impl PackedText<'_, '_> {
    fn add<E>(self, text: Option<impl Deref<Target = str>>) -> Result<bool, E> {
        if let Some(text) = &text {
            self.0.add(text);
        }
        Ok(text.is_some())
    }
}

impl<'de> DeserializeSeed<'de> for PackedText<'_, '_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PackedText<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        self.add(Some(text))
    }
    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.add(Text::from_integer(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.add(i64::try_from(value).ok().and_then(Text::from_integer))
    }
    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        self.add(Text::from_float(value))
    }
    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.add(Text::from_bool(value))
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<bool, A::Error> {
        Text::from_sequence(sequence).map(|text| text.is_some())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        Text::from_map(map).map(|text| text.is_some())
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
    fn from_sequence<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Option<Self>, A::Error> {
        let packed = Packed::filled(|packer| {
            while sequence.next_element_seed(PackedText(packer))?.is_some() {}
            Ok(())
        });
        packed.map(|packed| Some(Texts(packed)))
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
    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        let packed = Packed::filled(|packer| {
            loop {
                let start = packer.mark();
                if map.next_key_seed(PackedText(packer))?.is_none() {
                    return Ok(());
                }
                if !map.next_value_seed(PackedText(packer))? {
                    packer.back_to(start);
                }
            }
        });
        packed.map(|packed| Some(Map(packed)))
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
        if let Some(value) = map.next_value_seed(Seed::<V>::new())? {
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
        self.iter().any(|name| name == field)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
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
        let packed = Packed::filled::<()>(|packer| {
            texts.iter().for_each(|text| packer.add(text));
            Ok(())
        })
        .expect("never refused");
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
