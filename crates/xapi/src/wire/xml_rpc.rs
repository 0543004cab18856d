//! XML-RPC as XAPI speaks it: integers are untyped text, failures are results, `<fault>` is never sent.
//!
//! An answer is rewritten as JSON text while it is read, without a tree in between.

use super::{Answer, fault_from_list};
use crate::error::CallError;
use quick_xml::{Reader, events::Event};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::fmt::Write as _;

/// Deepest nesting that is followed; XAPI's own records need six.
const MAX_DEPTH: usize = 64;

pub fn encode(method: &str, params: &[Value]) -> Vec<u8> {
    let mut xml = String::from("<?xml version=\"1.0\"?><methodCall><methodName>");
    escape(method, &mut xml);
    xml.push_str("</methodName><params>");
    for param in params {
        xml.push_str("<param>");
        encode_value(param, &mut xml);
        xml.push_str("</param>");
    }
    xml.push_str("</params></methodCall>");
    xml.into_bytes()
}

fn encode_value(value: &Value, xml: &mut String) {
    xml.push_str("<value>");
    match value {
        Value::Null => xml.push_str("<nil/>"),
        Value::Bool(value) => {
            xml.push_str(if *value {
                "<boolean>1</boolean>"
            } else {
                "<boolean>0</boolean>"
            });
        }
        // Decimal text is the classic form of XAPI's 64-bit integers, accepted by every release.
        Value::Number(number) if number.is_f64() => {
            // Writing to a String cannot fail.
            let _ = write!(xml, "<double>{number}</double>");
        }
        Value::Number(number) => {
            let _ = write!(xml, "{number}");
        }
        Value::String(text) => escape(text, xml),
        Value::Array(items) => {
            xml.push_str("<array><data>");
            items.iter().for_each(|item| encode_value(item, xml));
            xml.push_str("</data></array>");
        }
        Value::Object(members) => {
            xml.push_str("<struct>");
            for (name, member) in members {
                xml.push_str("<member><name>");
                escape(name, xml);
                xml.push_str("</name>");
                encode_value(member, xml);
                xml.push_str("</member>");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
}

/// Characters that XML forbids are dropped, as XAPI itself does.
fn escape(text: &str, xml: &mut String) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\t' | '\n' => xml.push(character),
            '\r' => xml.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => xml.push(character),
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Status")]
    status: String,
    #[serde(borrow, rename = "Value", default, deserialize_with = "super::present")]
    value: Option<&'a RawValue>,
    #[serde(rename = "ErrorDescription", default)]
    error: Option<Vec<String>>,
}

pub fn decode(body: &[u8]) -> Result<Answer, CallError> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    let json = to_json(text)?;
    let envelope: Envelope<'_> =
        serde_json::from_str(&json).map_err(|error| malformed(&format!("no XAPI status: {error}")))?;
    match (envelope.status.as_str(), envelope.value, envelope.error) {
        ("Success", value, _) => Ok(Answer(value.map_or("\"\"", RawValue::get).to_owned().into())),
        ("Failure", _, Some(error)) => Err(fault_from_list(error)),
        (status, ..) => Err(malformed(&format!("its status is {status:?}"))),
    }
}

fn malformed(reason: &str) -> CallError {
    CallError::Protocol(format!("the answer is not XAPI's XML-RPC: {reason}"))
}

/// JSON text of the value in a `methodResponse` (or of a bare `value`, as in task results).
pub fn to_json(xml: &str) -> Result<String, CallError> {
    let mut transcoder = Transcoder {
        reader: Reader::from_str(xml),
        json: String::with_capacity(xml.len() / 2),
    };
    loop {
        match transcoder.next()? {
            Event::Start(element) => match element.name().as_ref() {
                "value" => {
                    transcoder.value(0)?;
                    return Ok(transcoder.json);
                }
                "methodResponse" | "params" | "param" => {}
                "fault" => return Err(malformed("it is a fault")),
                other => return Err(malformed(&format!("unexpected element {other}"))),
            },
            Event::Empty(element) if element.name().as_ref() == "value" => return Ok("\"\"".to_owned()),
            Event::Eof => return Err(malformed("it ends early")),
            _ => {}
        }
    }
}

struct Transcoder<'a> {
    reader: Reader<&'a [u8]>,
    json: String,
}

impl<'a> Transcoder<'a> {
    fn next(&mut self) -> Result<Event<'a>, CallError> {
        self.reader
            .read_event()
            .map_err(|error| malformed(&error.to_string()))
    }

    /// Reads up to `</value>`; `<value>` was consumed.
    fn value(&mut self, depth: usize) -> Result<(), CallError> {
        if depth > MAX_DEPTH {
            return Err(malformed("it is nested too deeply"));
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                Event::Start(element) => {
                    let name = element.name().as_ref().to_owned();
                    self.typed(&name, depth)?;
                    return self.close("value");
                }
                Event::Empty(element) => {
                    let empty = match element.name().as_ref() {
                        "struct" => "{}",
                        "array" => "[]",
                        "nil" => "null",
                        _ => "\"\"",
                    };
                    self.json.push_str(empty);
                    return self.close("value");
                }
                Event::End(_) => {
                    self.string(&text);
                    return Ok(());
                }
                Event::Eof => return Err(malformed("it ends early")),
                other => append_text(&other, &mut text)?,
            }
        }
    }

    /// A value whose type element `name` was opened.
    fn typed(&mut self, name: &str, depth: usize) -> Result<(), CallError> {
        match name {
            "struct" => self.members(depth),
            "array" => self.items(depth),
            _ => {
                let text = self.text()?;
                match name {
                    "boolean" => self
                        .json
                        .push_str(if text.trim() == "1" { "true" } else { "false" }),
                    "i4" | "int" | "i8" => match text.trim().parse::<i64>() {
                        Ok(number) => {
                            let _ = write!(self.json, "{number}");
                        }
                        Err(_) => return Err(malformed("an integer that is none")),
                    },
                    "double" => match text.trim().parse::<f64>() {
                        // JSON has no NaN or infinity.
                        Ok(number) if number.is_finite() => {
                            let _ = write!(self.json, "{number:?}");
                        }
                        _ => self.json.push_str("null"),
                    },
                    "nil" => self.json.push_str("null"),
                    _ => self.string(&text),
                }
                Ok(())
            }
        }
    }

    fn members(&mut self, depth: usize) -> Result<(), CallError> {
        self.json.push('{');
        let mut first = true;
        loop {
            match self.next()? {
                Event::Start(element) if element.name().as_ref() == "member" => {
                    if !std::mem::take(&mut first) {
                        self.json.push(',');
                    }
                    self.open("name")?;
                    let name = self.text()?;
                    self.string(&name);
                    self.json.push(':');
                    if self.open_value()? {
                        self.value(depth + 1)?;
                    }
                    self.close("member")?;
                }
                Event::End(_) => break,
                Event::Text(_) | Event::Comment(_) => {}
                _ => return Err(malformed("a struct holds something else than members")),
            }
        }
        self.json.push('}');
        Ok(())
    }

    fn items(&mut self, depth: usize) -> Result<(), CallError> {
        self.json.push('[');
        let mut first = true;
        loop {
            match self.next()? {
                Event::Start(element) => match element.name().as_ref() {
                    "data" => {}
                    "value" => {
                        if !std::mem::take(&mut first) {
                            self.json.push(',');
                        }
                        self.value(depth + 1)?;
                    }
                    _ => return Err(malformed("an array holds something else than values")),
                },
                Event::Empty(element) if element.name().as_ref() == "value" => {
                    if !std::mem::take(&mut first) {
                        self.json.push(',');
                    }
                    self.json.push_str("\"\"");
                }
                Event::End(element) if element.name().as_ref() == "array" => break,
                Event::Eof => return Err(malformed("it ends early")),
                _ => {}
            }
        }
        self.json.push(']');
        Ok(())
    }

    /// Opens a member's `<value>`; `false` when it was `<value/>`, which is an empty string.
    fn open_value(&mut self) -> Result<bool, CallError> {
        loop {
            match self.next()? {
                Event::Start(element) if element.name().as_ref() == "value" => return Ok(true),
                Event::Empty(element) if element.name().as_ref() == "value" => {
                    self.json.push_str("\"\"");
                    return Ok(false);
                }
                Event::Text(_) | Event::Comment(_) => {}
                _ => return Err(malformed("a member without a value")),
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<(), CallError> {
        loop {
            match self.next()? {
                Event::Start(element) if element.name().as_ref() == name => return Ok(()),
                Event::Text(_) | Event::Comment(_) => {}
                _ => return Err(malformed(&format!("{name} is missing"))),
            }
        }
    }

    fn close(&mut self, name: &str) -> Result<(), CallError> {
        loop {
            match self.next()? {
                Event::End(element) if element.name().as_ref() == name => return Ok(()),
                Event::Text(_) | Event::Comment(_) => {}
                _ => return Err(malformed(&format!("{name} is not closed"))),
            }
        }
    }

    /// Text up to the next end element.
    fn text(&mut self) -> Result<String, CallError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Event::End(_) => return Ok(text),
                Event::Eof | Event::Start(_) => return Err(malformed("text is expected")),
                event => append_text(&event, &mut text)?,
            }
        }
    }

    fn string(&mut self, text: &str) {
        // A string always serialises.
        self.json
            .push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

fn append_text(event: &Event<'_>, text: &mut String) -> Result<(), CallError> {
    match event {
        Event::Text(content) => text.push_str(content.as_ref()),
        Event::CData(content) => text.push_str(content.as_ref()),
        Event::GeneralRef(reference) => match reference.as_ref() {
            "amp" => text.push('&'),
            "lt" => text.push('<'),
            "gt" => text.push('>'),
            "quot" => text.push('"'),
            "apos" => text.push('\''),
            name => {
                let code = match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
                    Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
                    None => name.strip_prefix('#').and_then(|decimal| decimal.parse().ok()),
                };
                match code.and_then(char::from_u32) {
                    Some(character) => text.push(character),
                    None => return Err(malformed(&format!("unknown entity {name}"))),
                }
            }
        },
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;
    use serde_json::json;

    fn decoded(value: &str) -> Value {
        let body = format!(
            "<methodResponse><params><param><value><struct><member><name>Status</name><value>Success</value></member>\
             <member><name>Value</name>{value}</member></struct></value></param></params></methodResponse>"
        );
        decode(body.as_bytes()).expect("readable").parse().expect("JSON")
    }

    #[test]
    fn every_value_form_of_xapi() {
        assert_eq!(decoded("<value>42</value>"), json!("42"));
        assert_eq!(decoded("<value/>"), json!(""));
        assert_eq!(decoded("<value></value>"), json!(""));
        assert_eq!(
            decoded("<value><string>a &lt; b &amp; &#233;</string></value>"),
            json!("a < b & é")
        );
        assert_eq!(decoded("<value><i4>3</i4></value>"), json!(3));
        assert_eq!(decoded("<value><boolean>1</boolean></value>"), json!(true));
        assert_eq!(decoded("<value><double>0.5</double></value>"), json!(0.5));
        assert_eq!(decoded("<value><double>nan</double></value>"), json!(null));
        assert_eq!(
            decoded("<value><dateTime.iso8601>20240131T12:34:56Z</dateTime.iso8601></value>"),
            json!("20240131T12:34:56Z")
        );
        assert_eq!(decoded("<value><array><data/></array></value>"), json!([]));
        assert_eq!(
            decoded("<value><array><data><value>a</value><value/></data></array></value>"),
            json!(["a", ""])
        );
        assert_eq!(decoded("<value><struct/></value>"), json!({}));
        assert_eq!(
            decoded(
                "<value>\n<struct>\n<member><name>k\"</name><value>v</value></member>\n</struct>\n</value>"
            ),
            json!({"k\"": "v"})
        );
    }

    #[test]
    fn failures_are_faults_with_their_parameters() {
        let body = "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct>\
            <member><name>Status</name><value>Failure</value></member><member><name>ErrorDescription</name>\
            <value><array><data><value>HOST_IS_SLAVE</value><value>10.0.0.1</value></data></array></value></member>\
            </struct></value></param></params></methodResponse>";
        match decode(body.as_bytes()) {
            Err(CallError::Fault(fault)) => assert_eq!(fault, Fault::new("HOST_IS_SLAVE", ["10.0.0.1"])),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn broken_documents_are_errors_not_panics() {
        let deep = "<value><array><data>".repeat(200);
        for xml in [
            "",
            "<a>",
            "<value>",
            "<value><struct>",
            "<methodResponse><fault/></methodResponse>",
            "<value>&zz;</value>",
            &deep,
        ] {
            assert!(to_json(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn requests_escape_what_xml_forbids() {
        let xml = String::from_utf8(encode(
            "VM.set_name_label",
            &[json!("a<b>&\u{1}"), json!(7), json!(true), json!(60.0)],
        ))
        .expect("UTF-8");
        assert!(xml.contains("<value>a&lt;b&gt;&amp;</value>"), "{xml}");
        assert!(
            xml.contains("<value>7</value>")
                && xml.contains("<boolean>1</boolean>")
                && xml.contains("<double>60.0</double>")
        );
    }
}
