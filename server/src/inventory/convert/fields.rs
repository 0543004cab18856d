//! Field forms that most conversions use: how a XAPI value becomes a property.

use app::model::values::{Entries, Nullable, Number, Seconds, Text, TextMap};
use std::borrow::Cow;
use xapi::records::{Map, Texts, Timestamp};

pub(super) fn text(field: &Option<Box<str>>) -> Option<Text<'_>> {
    field.as_deref().map(Cow::Borrowed)
}

pub(super) fn texts(field: &Option<Texts>) -> Option<Vec<Text<'_>>> {
    Some(field.as_ref()?.iter().map(Cow::Borrowed).collect())
}

pub(super) fn map(field: &Option<Map>) -> Option<TextMap<'_>> {
    Some(Entries(
        field
            .as_ref()?
            .iter()
            .map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value)))
            .collect(),
    ))
}

/// A number is there even if XAPI has none.
pub(super) fn number(field: Option<i64>) -> Option<Nullable<i64>> {
    Some(Nullable(field))
}

/// A boolean is there even if XAPI has none.
pub(super) fn flag(field: Option<bool>) -> Option<bool> {
    Some(field.unwrap_or(false))
}

pub(super) fn seconds(field: Option<Timestamp>) -> Option<Seconds> {
    Some(Nullable(field.and_then(Timestamp::meaningful)))
}

/// Seconds since epoch from a map's text: a number or a date.
pub(super) fn seconds_of(text: Option<&str>) -> Seconds {
    let read = |text: &str| {
        let number = text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite())
            .map(|value| value as i64);
        number.or_else(|| xapi::records::parse_date(text))
    };
    Nullable(text.and_then(read).filter(|&seconds| seconds != 0))
}

pub(super) fn entry<'a>(field: &'a Option<Map>, key: &str) -> Option<&'a str> {
    field.as_ref()?.get(key)
}

pub(super) fn is_true(field: &Option<Map>, key: &str) -> bool {
    entry(field, key) == Some("true")
}

/// A number in a map's text, `null` when it cannot be read.
pub(super) fn integer_of(text: &str) -> Nullable<i64> {
    Nullable(text.trim().parse().ok())
}

/// As [`integer_of`], for what may have a fraction.
pub(super) fn number_of(text: &str) -> Nullable<Number> {
    Nullable(text.trim().parse().ok().map(Number))
}
