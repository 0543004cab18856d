//! What holds for any input of the parsers, however mangled: the fuzz targets ask it of what libFuzzer finds
//! (`fuzz/`), the tests of changed answers of a pool.
//!
//! Each function panics when something does not hold; input that is refused is fine.

use crate::{
    client::BodyReader,
    error::CallError,
    events::{Event, EventReader, Operation, Tail},
    records::{Class, Record, Restrictions, parse_date},
    reference::{OpaqueRef, Uuid},
    wire::{Answer, json_rpc, xml_rpc},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};
use std::{collections::HashSet, fmt};

#[cfg(test)]
mod tests;

/// Deepest JSON that an XML-RPC document may become: [`xml_rpc`]'s own limit, and a scalar inside.
const MAX_JSON_DEPTH: usize = 66;

/// A body of `/xmlrpc`.
pub fn xml_rpc(body: &[u8]) {
    let answer = xml_rpc::decode(body);
    let Ok(text) = std::str::from_utf8(body) else {
        assert!(answer.is_err(), "what is no text is refused");
        return;
    };
    let Ok(json) = xml_rpc::to_json(text) else {
        assert!(answer.is_err(), "what cannot be read has no result");
        return;
    };
    // A control character of one byte becomes \u0001; a number is written with at most 25 characters.
    assert!(json.len() <= 6 * text.len() + 32, "grew without measure");
    assert!(depth_of(&json) <= MAX_JSON_DEPTH, "too deep");
    let value: Value = serde_json::from_str(&json).expect("what was written is JSON");
    let sent = sendable(&value);
    let again = through_xml(&value);
    assert_eq!(again, sent, "written and read again");
    assert_eq!(through_xml(&again), again, "and once more");
    if let Ok(answer) = answer {
        assert_eq!(value["Status"], "Success");
        let result = value.get("Value").cloned().unwrap_or_else(|| json!(""));
        // Which of two equal members counts is of no interest.
        if json.matches("\"Value\"").count() == 1 {
            assert_eq!(answer.parse::<Value>().expect("JSON"), result);
        }
    }
}

/// A body of `/jsonrpc`.
pub fn json_rpc(body: &[u8]) {
    let answer = json_rpc::decode(Bytes::copy_from_slice(body));
    if let Ok(answer) = &answer {
        assert!(answer.len() <= body.len());
    }
    let Ok(whole) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    // Written again, members are there once, so that there is one meaning.
    let again = json_rpc::decode(whole.to_string().into());
    if let Ok(answer) = &answer {
        let result = answer.parse::<Value>().expect("JSON within JSON");
        assert_eq!(
            again
                .as_ref()
                .expect("readable again")
                .parse::<Value>()
                .expect("JSON"),
            result
        );
    }
    let Some(members) = whole.as_object() else {
        // serde takes a list for the members one after another; XAPI sends none, and nothing is lost by it.
        return;
    };
    let failed = members.get("error").is_some_and(|error| !error.is_null());
    match (&again, failed, members.get("result")) {
        (Ok(answer), false, Some(result)) => {
            assert_eq!(&answer.parse::<Value>().expect("JSON"), result);
            assert_eq!(
                &same_over_xml(result),
                &sendable(result),
                "both protocols tell the same"
            );
        }
        (Err(CallError::Fault(fault)), true, _) => {
            let list: Vec<Value> = std::iter::once(&fault.code)
                .chain(&fault.params)
                .map(|part| json!(part))
                .collect();
            let other = xml_answer("Failure", "ErrorDescription", &Value::Array(list));
            match xml_rpc::decode(other.as_bytes()) {
                Err(CallError::Fault(other)) => {
                    assert_eq!(stripped(&fault.code), other.code);
                    let params: Vec<String> = fault.params.iter().map(|param| stripped(param)).collect();
                    assert_eq!(params, other.params);
                }
                other => panic!("a fault over one protocol, {other:?} over the other"),
            }
        }
        (Err(CallError::Protocol(_)), true, _) | (Err(CallError::Protocol(_)), false, None) => {}
        (other, ..) => panic!("{other:?}"),
    }
}

/// A body of `event.from` as it arrives: `cuts` tells where its pieces end.
pub fn events(cuts: &[u8], body: &[u8]) {
    let whole = read_in_pieces(std::iter::once(body));
    let mut rest = body;
    let pieces = cuts.iter().cycle().map_while(|&cut| {
        let (piece, after) = rest.split_at(usize::from(cut).max(1).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    let cut = if cuts.is_empty() {
        None
    } else {
        Some(read_in_pieces(pieces))
    };
    if let Some(cut) = cut {
        assert_eq!(cut.is_ok(), whole.is_ok(), "cuts change nothing");
        if let (Ok(cut), Ok(whole)) = (&cut, &whole) {
            assert_eq!(shown(&cut.0), shown(&whole.0));
            assert_eq!(cut.1, whole.1);
        }
    }
    let (Ok((read, rest)), Ok(document)) = (&whole, serde_json::from_slice::<Value>(body)) else {
        return;
    };
    assert!(rest.len() <= body.len());
    assert!(
        serde_json::from_slice::<Value>(rest).is_ok(),
        "what is left is JSON"
    );
    // Written again, members are there once and spelled plainly.
    let document = document.to_string();
    let Some(expected) = expected_events(&document) else {
        return;
    };
    let (again, left) = read_in_pieces(std::iter::once(document.as_bytes())).expect("readable again");
    assert_eq!(shown(&again), expected);
    let answer = json_rpc::decode(left).expect("a result");
    let result = serde_json::from_str::<Value>(&document).expect("JSON")["result"].to_string();
    let of_result = EventReader::of_result(result.as_bytes());
    assert_eq!(of_result.is_ok(), Tail::read(&answer).is_ok());
    if let Ok((of_result, _)) = of_result {
        assert_eq!(shown(&of_result), expected, "the result alone says the same");
    }
    // Events that nobody found are not left behind in silence.
    if let Ok(tail) = Tail::read(&answer) {
        assert!(tail.counts.len() <= Class::ALL.len());
        let first = json_rpc::decode(rest.clone()).and_then(|answer| Tail::read(&answer));
        // Names are in another order now, and the first of two equal ones made a record unreadable.
        let objects = |events: &[Event]| -> Vec<String> {
            events
                .iter()
                .map(|event| format!("{} {}", event.class.name(), event.reference))
                .collect()
        };
        assert!(
            first.is_err() || objects(read) == objects(&again),
            "events were lost"
        );
    }
}

/// As [`events`]: the sizes of the pieces in the first line, then the document.
pub fn events_input(input: &[u8]) {
    let line = input.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (cuts, body) = input.split_at(line);
    events(cuts, body);
}

/// As [`record`]: a byte for the class, then the record.
pub fn record_input(input: &[u8]) {
    if let Some((&class, json)) = input.split_first()
        && let Ok(json) = std::str::from_utf8(json)
    {
        record(class, json);
    }
}

/// JSON text of a record of a class.
pub fn record(class: u8, json: &str) {
    let class = Class::ALL[usize::from(class) % Class::ALL.len()];
    let record = Record::parse(class, json);
    let Ok(value) = serde_json::from_str::<Value>(json) else {
        return;
    };
    if !value.is_object() {
        assert!(record.is_err(), "a record has named fields");
        return;
    }
    let members: Members<'_> = serde_json::from_str(json).expect("an object");
    let record = match record {
        Ok(record) => record,
        Err(error) => {
            let names: HashSet<&str> = members.0.iter().map(|(name, _)| &**name).collect();
            assert!(
                names.len() < members.0.len(),
                "no field may lose its record: {error}"
            );
            return;
        }
    };
    assert_eq!(record.class(), class);
    // Each field is read as if it were alone.
    for (name, read) in record.fields() {
        let alone = members.0.iter().find(|(other, _)| *other == name);
        let alone = alone.map_or_else(|| "{}".to_owned(), |(_, value)| format!("{{{name:?}:{value}}}"));
        let alone = Record::parse(class, &alone).expect("readable");
        assert!(
            alone.fields().contains(&(name, read)),
            "{name} depends on its neighbours"
        );
        if name == "uuid" {
            assert_eq!(alone.uuid(), record.uuid());
        }
    }
    let Value::Object(over_xml) = same_over_xml(&value) else {
        panic!("a record became something else");
    };
    if without_numbers(&value) {
        let plain = stripped_of_forbidden(&value);
        let plain = plain.as_object().expect("a record still");
        let other = Record::parse(class, &Value::Object(over_xml).to_string()).expect("readable");
        let record = Record::parse(class, &Value::Object(plain.clone()).to_string()).expect("readable");
        assert_eq!(
            record.fields(),
            other.fields(),
            "both protocols give the same record"
        );
    }
}

/// The small texts inside records.
pub fn text(text: &str) {
    let reference = OpaqueRef::parse(text);
    let expected = if text.is_empty() { "OpaqueRef:NULL" } else { text };
    assert_eq!(reference.to_string(), expected, "it can be sent back as it came");
    assert_eq!(reference.is_null(), expected == "OpaqueRef:NULL");
    assert_eq!(OpaqueRef::parse(&reference.to_string()), reference);
    assert!(Uuid::parse(text) == Uuid::parse(text));
    if let Some(seconds) = parse_date(text) {
        let instant = jiff::Timestamp::from_second(seconds).expect("within the calendar");
        assert_eq!(parse_date(&instant.to_string()), Some(seconds));
        let basic = instant.strftime("%Y%m%dT%H:%M:%SZ").to_string();
        if (0..=253_402_207_200).contains(&seconds) {
            assert_eq!(parse_date(&basic), Some(seconds), "{basic}");
        }
    }
    let restrictions = Restrictions::parse(text);
    let forbidden: Vec<&str> = restrictions.iter().collect();
    assert!(forbidden.iter().map(|field| field.len()).sum::<usize>() <= text.len());
    if forbidden.iter().all(|field| !field.contains(['"', '<'])) {
        let again: String = forbidden
            .iter()
            .map(|field| format!("<restriction field=\"{field}\" value=\"no\"/>"))
            .collect();
        let again = Restrictions::parse(&format!("<restrictions>{again}</restrictions>"));
        assert_eq!(again, restrictions);
    }
    assert!(forbidden.iter().all(|field| restrictions.forbids(field)));
}

fn read_in_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<Event>, Bytes), CallError> {
    let mut reader = EventReader::default();
    for piece in pieces {
        reader.push(piece)?;
    }
    let rest = reader.finish()?;
    Ok((reader.events, rest))
}

fn shown(events: &[Event]) -> Vec<String> {
    let show = |event: &Event| {
        let operation = match &event.operation {
            Operation::Put(record) => format!("{:?}", record.fields()),
            Operation::Unreadable => "unreadable".to_owned(),
            Operation::Delete => "delete".to_owned(),
        };
        format!("{} {} {operation}", event.class.name(), event.reference)
    };
    events.iter().map(show).collect()
}

/// The events of a document, read the slow way; `None` if it is not an answer of `event.from`.
fn expected_events(document: &str) -> Option<Vec<String>> {
    let document: Value = serde_json::from_str(document).ok()?;
    if document.get("error").is_some_and(|error| !error.is_null()) {
        return None;
    }
    let mut expected = Vec::new();
    for event in document.get("result")?.as_object()?.get("events")?.as_array()? {
        let text = |name: &str| event.as_object()?.get(name)?.as_str();
        let (class, operation, reference) = (text("class")?, text("operation"), text("ref"));
        let Some(class) = Class::from_event(class) else {
            // Of a class that is not kept nothing else matters, as long as it can be skipped.
            if event.get("operation").is_some_and(|value| !value.is_string())
                || event.get("ref").is_some_and(|value| !value.is_string())
                || operation.is_none()
                || reference.is_none()
            {
                return None;
            }
            continue;
        };
        let (operation, reference) = (operation?, OpaqueRef::parse(reference?));
        let operation = match (operation, event.get("snapshot")) {
            ("del", _) => Operation::Delete,
            (_, None) => continue,
            // `null` is no record either; whether it is called missing or unreadable is not told here.
            (_, Some(Value::Null)) => return None,
            (_, Some(snapshot)) => {
                Record::parse(class, &snapshot.to_string()).map_or(Operation::Unreadable, Operation::Put)
            }
        };
        expected.extend(shown(&[Event {
            class,
            reference,
            operation,
        }]));
    }
    Some(expected)
}

/// An object's members as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// What comes out at the other end of a call over XML-RPC.
fn through_xml(value: &Value) -> Value {
    let request = String::from_utf8(xml_rpc::encode("x", std::slice::from_ref(value))).expect("text");
    let start = request.find("<value>").expect("a parameter");
    let json = xml_rpc::to_json(&request[start..]).expect("what we write, we read");
    serde_json::from_str(&json).expect("JSON")
}

fn xml_answer(status: &str, member: &str, value: &Value) -> String {
    let request = String::from_utf8(xml_rpc::encode(
        "x",
        &[json!({ "Status": status, member: value })],
    ))
    .expect("text");
    request
        .replace("<methodCall><methodName>x</methodName>", "<methodResponse>")
        .replace("</methodCall>", "</methodResponse>")
}

/// The result that an XML-RPC answer of this value gives.
fn same_over_xml(value: &Value) -> Value {
    // Deeper than XML-RPC is followed: nothing to compare.
    if depth_of(&value.to_string()) > MAX_JSON_DEPTH - 4 {
        return sendable(value);
    }
    let body = xml_answer("Success", "Value", value);
    let answer: Answer = xml_rpc::decode(body.as_bytes()).expect("an answer");
    answer.parse().expect("JSON")
}

/// A value as XML-RPC tells it: integers are text, and what XML forbids is not there.
fn sendable(value: &Value) -> Value {
    mapped(value, &|number| {
        if number.is_f64() {
            Value::Number(number.clone())
        } else {
            json!(number.to_string())
        }
    })
}

fn stripped_of_forbidden(value: &Value) -> Value {
    mapped(value, &|number| Value::Number(number.clone()))
}

fn mapped(value: &Value, number: &impl Fn(&serde_json::Number) -> Value) -> Value {
    match value {
        Value::Number(value) => number(value),
        Value::String(text) => json!(stripped(text)),
        Value::Array(items) => items.iter().map(|item| mapped(item, number)).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| (stripped(name), mapped(member, number)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn stripped(text: &str) -> String {
    let allowed = |character: char| {
        matches!(character, '\t' | '\n' | '\r')
            || (character >= ' ' && !matches!(character, '\u{fffe}' | '\u{ffff}'))
    };
    text.chars().filter(|&character| allowed(character)).collect()
}

/// Whether no integer is in it: as text it may mean something else (a date, a truth).
fn without_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().all(without_numbers),
        Value::Object(members) => {
            // Names that XML makes equal hide each other.
            let mut names: Vec<String> = members.keys().map(|name| stripped(name)).collect();
            names.sort_unstable();
            names.dedup();
            names.len() == members.len() && members.values().all(without_numbers)
        }
        _ => true,
    }
}

fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
