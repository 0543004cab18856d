//! XML-RPC as XAPI speaks it: integers as untyped text, the `Status`/`Value` envelope, never a `<fault>`.

use std::borrow::Cow;
use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::clock;
use crate::fault::Fault;
use crate::value::Value;

const PROLOGUE: &str = r#"<?xml version="1.0"?><methodResponse><params><param>"#;
const EPILOGUE: &str = "</param></params></methodResponse>";
/// Deeper nesting than any XAPI call has; guards the stack.
const MAX_DEPTH: usize = 32;

#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub params: Vec<Value>,
    /// A text among them that was not UTF-8, as well as it can be shown.
    pub invalid: Option<String>,
}

/// The answer around an already rendered `<value>`.
pub fn success(value: &str) -> String {
    let status = "<value><struct><member><name>Status</name><value>Success</value></member>";
    format!("{PROLOGUE}{status}<member><name>Value</name>{value}</member></struct></value>{EPILOGUE}")
}

pub fn failure(fault: &Fault) -> String {
    let mut description = String::new();
    write(&mut description, &Value::set_of(fault.description()));
    let status = "<value><struct><member><name>Status</name><value>Failure</value></member>";
    format!(
        "{PROLOGUE}{status}<member><name>ErrorDescription</name>{description}</member></struct></value>{EPILOGUE}"
    )
}

/// `system.listMethods` answers without an envelope.
pub fn bare(value: &str) -> String {
    format!("{PROLOGUE}{value}{EPILOGUE}")
}

pub fn structure<'a>(members: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let mut out = String::with_capacity(1024);
    out.push_str("<value><struct>");
    for (name, value) in members {
        member(&mut out, name, value);
    }
    out.push_str("</struct></value>");
    out
}

fn member(out: &mut String, name: &str, value: &Value) {
    out.push_str("<member><name>");
    escape(out, name);
    out.push_str("</name>");
    write(out, value);
    out.push_str("</member>");
}

pub fn write(out: &mut String, value: &Value) {
    out.push_str("<value>");
    // Writing to a String cannot fail.
    match value {
        Value::Str(text) => escape(out, text),
        Value::Nil => out.push_str("<nil/>"),
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Int32(number) => drop(write!(out, "<i4>{number}</i4>")),
        Value::Float(number) => drop(write!(out, "<double>{}</double>", double(*number))),
        Value::Bool(flag) => drop(write!(out, "<boolean>{}</boolean>", u8::from(*flag))),
        Value::Date(at) => drop(write!(
            out,
            "<dateTime.iso8601>{}</dateTime.iso8601>",
            clock::basic(*at)
        )),
        Value::Set(items) if items.is_empty() => out.push_str("<array><data/></array>"),
        Value::Set(items) => {
            out.push_str("<array><data>");
            for item in items {
                write(out, item);
            }
            out.push_str("</data></array>");
        }
        Value::Map(entries) => {
            out.push_str("<struct>");
            for (key, value) in entries {
                member(out, key, value);
            }
            out.push_str("</struct>");
        }
    }
    out.push_str("</value>");
}

fn double(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else {
        number.to_string()
    }
}

/// Control characters that XML forbids are dropped, as XAPI does.
pub fn escape(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            b'\n' | b'\r' | b'\t' => continue,
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(escape);
        from = at + 1;
    }
    out.push_str(&text[from..]);
}

/// A small document tree: requests are short, and a tree keeps the rules of XML-RPC readable.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

pub fn parse(body: &[u8]) -> Result<Request, String> {
    let text = String::from_utf8_lossy(body);
    let root = tree(&text)?;
    let call = root.child("methodCall").ok_or("no methodCall")?;
    let method = call
        .child("methodName")
        .ok_or("no methodName")?
        .text
        .trim()
        .to_owned();
    let mut params = Vec::new();
    for param in call.child("params").map_or(&[][..], |params| &params.children) {
        params.push(value(param.child("value").ok_or("a param without a value")?)?);
    }
    let invalid = match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(_) => super::replaced(&params),
    };
    Ok(Request {
        method,
        params,
        invalid,
    })
}

fn tree(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let Some(open) = stack.last_mut() else {
            return Err("unbalanced".to_owned());
        };
        match event {
            Event::Start(start) => {
                if stack.len() > MAX_DEPTH * 4 {
                    return Err("nested too deeply".to_owned());
                }
                stack.push(Element {
                    name: start.name().0.to_owned(),
                    ..Element::default()
                });
            }
            Event::Empty(empty) => {
                open.children.push(Element {
                    name: empty.name().0.to_owned(),
                    ..Element::default()
                });
            }
            Event::End(_) => {
                let Some(closed) = stack.pop() else {
                    return Err("unbalanced".to_owned());
                };
                stack.last_mut().ok_or("unbalanced")?.children.push(closed);
            }
            Event::Text(text) => open.text.push_str(&text.xml10_content()),
            Event::CData(text) => open.text.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => match entity.resolve_char_ref() {
                Ok(Some(character)) => open.text.push(character),
                Ok(None) => open.text.push_str(match &*entity.xml10_content() {
                    "lt" => "<",
                    "gt" => ">",
                    "amp" => "&",
                    "quot" => "\"",
                    "apos" => "'",
                    other => return Err(format!("unknown entity {other}")),
                }),
                Err(error) => return Err(error.to_string()),
            },
            Event::Eof => break,
            _ => {}
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(root), true) => Ok(root),
        _ => Err("unexpected end".to_owned()),
    }
}

/// A document that is one value, as in `ova.xml`.
pub fn read_value(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "not UTF-8")?;
    let root = tree(text)?;
    let root = root.child("value").ok_or("no value")?;
    value(root)
}

fn value(element: &Element) -> Result<Value, String> {
    let Some(typed) = element.children.first() else {
        return Ok(Value::from(&element.text));
    };
    let text = typed.text.as_str();
    let bad = || format!("bad {}: {text}", typed.name);
    Ok(match typed.name.as_str() {
        "string" => Value::from(text),
        "int" | "i4" | "i8" => Value::Int(text.trim().parse().map_err(|_| bad())?),
        "boolean" => Value::Bool(match text.trim() {
            "1" => true,
            "0" => false,
            _ => return Err(bad()),
        }),
        "double" => Value::Float(text.trim().parse().map_err(|_| bad())?),
        "dateTime.iso8601" => Value::Date(clock::parse(text).ok_or_else(bad)?),
        "nil" => Value::Nil,
        "array" => {
            let data = typed.child("data").map_or(&[][..], |data| &data.children);
            Value::Set(data.iter().map(value).collect::<Result<_, _>>()?)
        }
        "struct" => {
            let mut entries = Vec::with_capacity(typed.children.len());
            for member in &typed.children {
                let name = member.child("name").ok_or("a member without a name")?;
                let inner = member.child("value").ok_or("a member without a value")?;
                entries.push((name.text.as_str().into(), value(inner)?));
            }
            Value::Map(entries)
        }
        other => return Err(format!("unknown type {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_integers_as_untyped_text() {
        let mut out = String::new();
        let value = Value::map_of([("memory", Value::Int(5)), ("live", Value::Bool(true))]);
        write(&mut out, &value);
        assert_eq!(
            out,
            "<value><struct><member><name>memory</name><value>5</value></member>\
             <member><name>live</name><value><boolean>1</boolean></value></member></struct></value>"
        );
        out.clear();
        write(&mut out, &Value::Set(vec![]));
        assert_eq!(out, "<value><array><data/></array></value>");
    }

    #[test]
    fn reads_every_type_and_escapes() {
        let body = "<?xml version='1.0'?><methodCall><methodName>a.b</methodName><params>\
            <param><value>plain &lt;&amp;&#65;</value></param><param><value><string>s</string></value></param>\
            <param><value><int>7</int></value></param><param><value><boolean>0</boolean></value></param>\
            <param><value><double>0.5</double></value></param>\
            <param><value><array><data><value>x</value></data></array></value></param>\
            <param><value><struct><member><name>k</name><value>v</value></member></struct></value></param>\
            </params></methodCall>";
        let request = parse(body.as_bytes()).expect("valid");
        assert_eq!(request.method, "a.b");
        assert_eq!(
            request.params,
            [
                Value::from("plain <&A"),
                Value::from("s"),
                Value::Int(7),
                Value::Bool(false),
                Value::Float(0.5),
                Value::set_of(["x"]),
                Value::map_of([("k", "v")]),
            ]
        );
    }

    #[test]
    fn refuses_what_is_no_call() {
        assert!(parse(b"{}").is_err());
        assert!(parse(b"<methodCall><methodName>x</methodName>").is_err());
        assert!(parse(b"<a/>").is_err());
    }
}
