//! XML-RPC as a client writes and reads it, into JSON that says what each value was: an untyped value is text.

use quick_xml::{Reader, events::Event};
use serde_json::{Map, Value as Json, json};

use crate::client::Client;

impl Client {
    /// A call over XML-RPC; `Err` is the list of code and parameters.
    pub async fn xml(&mut self, method: &str, params: &[Json]) -> Result<Json, Vec<String>> {
        let params: String = params
            .iter()
            .map(|param| format!("<param>{}</param>", written(param)))
            .collect();
        let body =
            format!("<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>");
        let answer = self.request("POST", "/", &body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{method}: {}", answer.body);
        assert!(answer.head.contains("Content-Type: text/xml"), "{}", answer.head);
        let answer = read(&answer.body);
        match answer["Status"].as_str() {
            Some("Success") => Ok(answer["Value"].clone()),
            _ => Err(answer["ErrorDescription"]
                .as_array()
                .unwrap_or_else(|| panic!("{method}: {answer}"))
                .iter()
                .map(|text| text.as_str().expect("text").to_owned())
                .collect()),
        }
    }
}

fn written(value: &Json) -> String {
    let inner = match value {
        Json::Null => "<nil/>".to_owned(),
        Json::Bool(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
        Json::Number(number) if number.is_f64() => format!("<double>{number}</double>"),
        Json::Number(number) => number.to_string(),
        Json::String(text) => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;"),
        Json::Array(items) => {
            let items: String = items.iter().map(written).collect();
            format!("<array><data>{items}</data></array>")
        }
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("<member><name>{name}</name>{}</member>", written(value)));
            format!("<struct>{}</struct>", members.collect::<String>())
        }
    };
    format!("<value>{inner}</value>")
}

/// The first value of a document.
fn read(xml: &str) -> Json {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(element) if element.name().as_ref() == "value" => return value(&mut reader),
            Event::Eof => panic!("no value in {xml}"),
            _ => {}
        }
    }
}

/// Up to `</value>`. Dates keep their element's name, as that is how a client knows them.
fn value(reader: &mut Reader<&[u8]>) -> Json {
    let mut text = String::new();
    let mut typed = None;
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(element) => {
                let name = element.name().as_ref().to_owned();
                typed = Some(match name.as_str() {
                    "struct" => members(reader),
                    "array" => items(reader),
                    name => scalar(name, &plain(reader)),
                });
            }
            Event::End(_) => return typed.unwrap_or(Json::String(text)),
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(part) => text.push(entity(&part)),
            other => panic!("in a value: {other:?}"),
        }
    }
}

fn scalar(name: &str, text: &str) -> Json {
    match name {
        "boolean" => json!(text == "1"),
        "double" => json!(text.parse::<f64>().expect("a number")),
        "i4" => json!(text.parse::<i64>().expect("a number")),
        "dateTime.iso8601" => json!({ "date": text }),
        other => panic!("XAPI sends no {other}"),
    }
}

fn entity(name: &str) -> char {
    match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        other => panic!("entity {other}"),
    }
}

fn plain(reader: &mut Reader<&[u8]>) -> String {
    let mut text = String::new();
    loop {
        match reader.read_event().expect("XML") {
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(part) => text.push(entity(&part)),
            Event::End(_) => return text,
            other => panic!("in text: {other:?}"),
        }
    }
}

fn members(reader: &mut Reader<&[u8]>) -> Json {
    let mut members = Map::new();
    let mut name = String::new();
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(element) => match element.name().as_ref() {
                "member" => {}
                "name" => name = plain(reader),
                "value" => drop(members.insert(std::mem::take(&mut name), value(reader))),
                other => panic!("in a struct: {other}"),
            },
            Event::End(element) if element.name().as_ref() == "struct" => return Json::Object(members),
            Event::End(_) => {}
            other => panic!("in a struct: {other:?}"),
        }
    }
}

fn items(reader: &mut Reader<&[u8]>) -> Json {
    let mut items = Vec::new();
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(element) if element.name().as_ref() == "value" => items.push(value(reader)),
            Event::End(element) if element.name().as_ref() == "array" => return Json::Array(items),
            Event::Start(_) | Event::End(_) | Event::Empty(_) => {}
            other => panic!("in an array: {other:?}"),
        }
    }
}
