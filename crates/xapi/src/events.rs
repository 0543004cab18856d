//! Reads the answer of `event.from`, also while it arrives.
//!
//! A pool's first listing is a document of a hundred megabytes. Each event is read as soon as it is
//! complete and its text is let go; what is left of the document, a few hundred bytes, is then read like
//! any other answer.

use crate::{
    client::BodyReader,
    error::CallError,
    records::{Class, Record},
    reference::OpaqueRef,
    wire::Answer,
};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// An event that is not complete is tried again after this much more of it.
const MORE: usize = if cfg!(any(test, fuzzing)) { 16 } else { 256 << 10 };

#[derive(Debug)]
pub struct Event {
    pub class: Class,
    pub reference: OpaqueRef,
    pub operation: Operation,
}

#[derive(Debug)]
pub enum Operation {
    Put(Record),
    /// It exists, but its record cannot be read.
    Unreadable,
    Delete,
}

/// What an answer says beside its events.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub token: String,
    /// Rows by class, as XAPI counts them.
    pub counts: FxHashMap<Class, i64>,
}

impl Tail {
    /// From an answer without its events.
    pub fn read(answer: &Answer) -> Result<Self, CallError> {
        Self::of_result(answer.json())
    }

    fn of_result(result: &[u8]) -> Result<Self, CallError> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            valid_ref_counts: FxHashMap<String, serde_json::Value>,
            token: String,
            /// What was not taken out, because it is spelled otherwise or is there twice.
            #[serde(default)]
            events: Vec<IgnoredAny>,
        }
        let raw: Raw = serde_json::from_slice(result)
            .map_err(|error| CallError::Protocol(format!("unexpected result: {error}")))?;
        if !raw.events.is_empty() {
            return Err(CallError::Protocol("events were left unread".to_owned()));
        }
        let counts = raw
            .valid_ref_counts
            .iter()
            .filter_map(|(name, count)| {
                let class = Class::from_event(name)?;
                // Messages are files beside the database: their count says nothing.
                let counted = count.as_i64().or_else(|| count.as_str()?.parse().ok())?;
                (class != Class::Message).then_some((class, counted))
            })
            .collect();
        Ok(Self {
            token: raw.token,
            counts,
        })
    }
}

/// Takes the events out of a document.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    pub events: Vec<Event>,
    place: Place,
    outline: Outline,
    /// What was not read yet of the list of events.
    waiting: Vec<u8>,
    /// Size of `waiting` at which it is worth a try.
    enough: usize,
    /// The document without its events.
    rest: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
enum Place {
    #[default]
    Before,
    Inside,
    After,
}

impl EventReader {
    /// Reads a result that is there as a whole.
    pub fn of_result(result: &[u8]) -> Result<(Vec<Event>, Tail), CallError> {
        let mut reader = Self {
            outline: Outline::inside("result"),
            ..Self::default()
        };
        reader.push(result)?;
        let rest = reader.finish()?;
        Ok((reader.events, Tail::of_result(&rest)?))
    }

    /// Reads the events that are complete.
    fn read(&mut self) -> Result<(), CallError> {
        let mut at = 0;
        // No event ends behind the last brace. What is cut in the middle of a number, as `0.`, would be called
        // wrong instead of incomplete.
        let end = self
            .waiting
            .iter()
            .rposition(|&byte| byte == b'}')
            .map_or(0, |brace| brace + 1);
        loop {
            let text = &self.waiting[at..];
            let Some(skip) = text
                .iter()
                .position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b','))
            else {
                at = self.waiting.len();
                break;
            };
            at += skip;
            if self.waiting[at] == b']' {
                self.rest.extend_from_slice(&self.waiting[at..]);
                self.place = Place::After;
                self.waiting = Vec::new();
                return Ok(());
            }
            if at >= end {
                break;
            }
            match next_event(&self.waiting[at..end]) {
                Ok((event, length)) => {
                    self.events.extend(event);
                    at += length;
                }
                Err(error) if error.is_eof() => break,
                Err(error) => {
                    return Err(CallError::Protocol(format!(
                        "the events could not be read: {error}"
                    )));
                }
            }
        }
        self.waiting.drain(..at);
        self.enough = self.waiting.len() + MORE.max(self.waiting.len());
        Ok(())
    }
}

impl BodyReader for EventReader {
    fn push(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        match self.place {
            Place::Before => {
                let seen = self.outline.find_events(bytes);
                let (before, inside) = bytes.split_at(seen.unwrap_or(bytes.len()));
                self.rest.extend_from_slice(before);
                if seen.is_some() {
                    self.place = Place::Inside;
                    self.enough = MORE;
                    self.push(inside)?;
                }
            }
            Place::Inside => {
                self.waiting.extend_from_slice(bytes);
                if self.waiting.len() >= self.enough {
                    self.read()?;
                }
            }
            Place::After => self.rest.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Bytes, CallError> {
        if self.place == Place::Inside {
            self.read()?;
        }
        if self.place == Place::Inside {
            return Err(CallError::Protocol("the list of events breaks off".to_owned()));
        }
        Ok(std::mem::take(&mut self.rest).into())
    }
}

/// Follows a JSON document just closely enough to find `result.events`.
#[derive(Debug, Default)]
struct Outline {
    /// The member we are in, for each level that is open.
    path: Vec<Vec<u8>>,
    text: Vec<u8>,
    in_text: bool,
    escaped: bool,
}

impl Outline {
    /// For a document that is the value of `member` already.
    fn inside(member: &str) -> Self {
        Self {
            path: vec![member.into()],
            ..Self::default()
        }
    }

    /// Position behind the bracket that opens the events.
    fn find_events(&mut self, bytes: &[u8]) -> Option<usize> {
        for (position, &byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => self.text.push(byte),
                }
                continue;
            }
            match byte {
                b'"' => {
                    self.in_text = true;
                    self.text.clear();
                }
                b':' => {
                    if let Some(member) = self.path.last_mut() {
                        member.clone_from(&self.text);
                    }
                }
                b'[' if self.path.len() == 2 && self.path[0] == b"result" && self.path[1] == b"events" => {
                    return Some(position + 1);
                }
                b'{' | b'[' => self.path.push(Vec::new()),
                b'}' | b']' => drop(self.path.pop()),
                _ => {}
            }
        }
        None
    }
}

/// The first event of `text`, if it is of a class that we keep, and its length.
fn next_event(text: &[u8]) -> serde_json::Result<(Option<Event>, usize)> {
    match first::<Fast>(text) {
        Ok((event, length)) => Ok((event.0, length)),
        Err(error) if error.is_eof() => Err(error),
        // Something in it is not as it should be: its extent is found, and only the record is lost.
        Err(_) => first::<Careful<'_>>(text).map(|(event, length)| (event.read(), length)),
    }
}

fn first<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<(T, usize)> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    match values.next() {
        Some(value) => Ok((value?, values.byte_offset())),
        None => Err(serde::de::Error::custom("an event was expected")),
    }
}

/// An event whose record is read on the way, if its class came before it as it does.
struct Fast(Option<Event>);

impl<'de> Deserialize<'de> for Fast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FastVisitor)
    }
}

struct FastVisitor;

impl<'de> Visitor<'de> for FastVisitor {
    type Value = Fast;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fast, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Member {
            Class,
            Operation,
            Ref,
            Snapshot,
            #[serde(other)]
            Other,
        }
        let (mut class, mut deleted, mut reference, mut record) = (None, None, None, None);
        let mut unkept = false;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Class => {
                    class = Class::from_event(&map.next_value::<Cow<'_, str>>()?);
                    unkept = class.is_none();
                }
                Member::Operation => deleted = Some(map.next_value::<Cow<'_, str>>()? == "del"),
                Member::Ref => reference = Some(OpaqueRef::parse(&map.next_value::<Cow<'_, str>>()?)),
                Member::Snapshot => match class {
                    Some(class) => record = Some(map.next_value_seed(class)?),
                    None if unkept => drop(map.next_value::<IgnoredAny>()?),
                    None => return Err(serde::de::Error::custom("the record came before its class")),
                },
                Member::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let missing = serde::de::Error::missing_field;
        let event = |class| -> Result<Option<Event>, A::Error> {
            let operation = match (deleted.ok_or_else(|| missing("operation"))?, record) {
                (true, _) => Operation::Delete,
                (false, Some(record)) => Operation::Put(record),
                (false, None) => return Ok(None),
            };
            Ok(Some(Event {
                class,
                reference: reference.ok_or_else(|| missing("ref"))?,
                operation,
            }))
        };
        match class {
            Some(class) => event(class).map(Fast),
            None if unkept => Ok(Fast(None)),
            None => Err(missing("class")),
        }
    }
}

/// An event whose record is read afterwards.
#[derive(Deserialize)]
struct Careful<'a> {
    #[serde(borrow)]
    class: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow, rename = "ref")]
    reference: Cow<'a, str>,
    #[serde(borrow, default)]
    snapshot: Option<&'a RawValue>,
}

impl Careful<'_> {
    fn read(self) -> Option<Event> {
        let class = Class::from_event(&self.class)?;
        let reference = OpaqueRef::parse(&self.reference);
        let operation = match (&*self.operation, self.snapshot) {
            ("del", _) => Operation::Delete,
            (_, Some(snapshot)) => match Record::parse(class, snapshot.get()) {
                Ok(record) => Operation::Put(record),
                Err(error) => {
                    tracing::warn!(class = class.name(), %reference, %error, "a record cannot be read");
                    Operation::Unreadable
                }
            },
            (_, None) => return None,
        };
        Some(Event {
            class,
            reference,
            operation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"jsonrpc":"2.0","id":1,"events":["not these"],"result":{"token":"1,\"[2","valid_ref_counts":{"vm":"3","message":9},
        "events":[ {"id":"1","ts":"2","class":"vm","operation":"add","ref":"OpaqueRef:a","snapshot":{"uuid":"a","name_label":"}]\"{["}} ,
        {"class":"later","operation":"add","ref":"x","snapshot":{}}, {"snapshot":{"uuid":"b"},"ref":"OpaqueRef:b","class":"vbd","operation":"mod"},
        {"class":"vm","operation":"mod","ref":"OpaqueRef:c","snapshot":["no record"]},{"class":"vm","operation":"mod","ref":"OpaqueRef:e","snapshot":{"uuid":"1","uuid":"2"}},
        {"class":"sr","operation":"del","ref":"OpaqueRef:d"},{"class":"sr","operation":"mod","ref":"OpaqueRef:f"}]}}"#;

    fn shown(events: &[Event]) -> Vec<String> {
        let show = |event: &Event| {
            let operation = match &event.operation {
                Operation::Put(record) => record.uuid().unwrap_or("?"),
                Operation::Unreadable => "unreadable",
                Operation::Delete => "delete",
            };
            format!("{} {} {operation}", event.class.name(), event.reference)
        };
        events.iter().map(show).collect()
    }

    const EXPECTED: [&str; 5] = [
        "VM OpaqueRef:a a",
        "VBD OpaqueRef:b b",
        "VM OpaqueRef:c unreadable",
        "VM OpaqueRef:e unreadable",
        "SR OpaqueRef:d delete",
    ];

    #[test]
    fn events_are_found_however_the_document_is_cut() {
        for size in [1, 7, 64, DOCUMENT.len()] {
            let mut reader = EventReader::default();
            for chunk in DOCUMENT.as_bytes().chunks(size) {
                reader.push(chunk).expect("readable");
                reader.enough = 0;
            }
            let rest = reader.finish().expect("complete");
            assert_eq!(shown(&reader.events), EXPECTED, "in pieces of {size}");
            let answer = crate::wire::json_rpc::decode(rest).expect("an answer");
            let tail = Tail::read(&answer).expect("a tail");
            assert_eq!(tail.token, "1,\"[2");
            assert_eq!(tail.counts, FxHashMap::from_iter([(Class::Vm, 3)]));
        }
    }

    #[test]
    fn a_cut_in_a_number_is_no_error() {
        let document = br#"{"result":{"events":[{"class":"vbd_metrics","operation":"mod","ref":"OpaqueRef:a","snapshot":{"io":0.5e-1}}],"token":"1"}}"#;
        for cut in 0..document.len() {
            let mut reader = EventReader::default();
            for piece in [&document[..cut], &document[cut..]] {
                reader.push(piece).expect("readable");
                reader.enough = 0;
            }
            reader.finish().expect("complete");
        }
    }

    #[test]
    fn a_result_alone_is_read_the_same_way() {
        let whole: serde_json::Value =
            serde_json::from_str(&DOCUMENT.replace(r#","uuid":"2""#, "")).expect("JSON");
        let (events, tail) =
            EventReader::of_result(whole["result"].to_string().as_bytes()).expect("readable");
        let mut expected = EXPECTED;
        expected[3] = "VM OpaqueRef:e 1";
        assert_eq!(
            (shown(&events), tail.token.as_str()),
            (expected.map(str::to_owned).into(), "1,\"[2")
        );
    }

    #[test]
    fn events_that_nobody_found_are_an_error() {
        for rest in [
            r#"{"token":"1","events":[{}]}"#,
            r#"{"\u0065vents":[1],"token":"1"}"#,
        ] {
            assert!(Tail::of_result(rest.as_bytes()).is_err(), "{rest}");
        }
        assert!(EventReader::of_result(br#"{"\u0065vents":[1],"token":"1"}"#).is_err());
    }

    #[test]
    fn what_breaks_off_is_an_error_and_what_holds_no_events_is_left_alone() {
        let mut reader = EventReader::default();
        reader
            .push(&DOCUMENT.as_bytes()[..DOCUMENT.len() - 100])
            .expect("so far");
        assert!(reader.finish().is_err());
        let mut reader = EventReader::default();
        reader
            .push(br#"{"result":{"events":[{"class":}]}}"#)
            .expect("not tried yet");
        assert!(reader.finish().is_err());
        let mut reader = EventReader::default();
        let fault = br#"{"error":{"message":"SESSION_INVALID","data":[]},"result":null}"#;
        reader.push(fault).expect("readable");
        assert_eq!(reader.finish().expect("complete"), &fault[..]);
    }
}
