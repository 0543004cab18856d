//! One record, and the hash that is its id.

use crate::persist::secrets::Secrets;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `$5$$` (SHA-256, as crypt writes it) and the hash of all the rest.
    pub id: String,
    /// Of the record before; none in the first.
    pub previous_id: Option<String>,
    /// ms since epoch.
    pub time: i64,
    pub event: String,
    pub subject: Value,
    pub data: Value,
    /// HMAC-SHA-256 of the id, in hexadecimal. Records of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What records are sealed with: it comes from the key file, so that who has the log alone cannot write it anew.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    pub fn of(secrets: &Secrets) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            &secrets.derive("audit log, version 1"),
        ))
    }

    pub(super) fn mac(&self, id: &str) -> String {
        hexadecimal(hmac::sign(&self.0, id.as_bytes()).as_ref())
    }

    /// Stands for a name that nobody has: it may be a password that was typed into the wrong field. The same
    /// name is the same again.
    pub fn pseudonym(&self, name: &str) -> String {
        let text = format!("name {}", name.trim().to_lowercase());
        hexadecimal(&hmac::sign(&self.0, text.as_bytes()).as_ref()[..8])
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    pub fn new(previous_id: Option<String>, time: i64, event: &str, subject: Value, data: Value) -> Self {
        let mut record = Self {
            id: String::new(),
            previous_id,
            time,
            event: event.to_owned(),
            subject,
            data,
            mac: None,
        };
        record.id = record.hash();
        record
    }

    /// What the id must be. Members are in the order of the alphabet, wherever the record was read from.
    pub fn hash(&self) -> String {
        let text = serde_json::json!({
            "data": self.data,
            "event": self.event,
            "previousId": self.previous_id,
            "subject": self.subject,
            "time": self.time,
        });
        let mut canonical = String::new();
        write_canonical(&text, &mut canonical);
        format!("$5$${}", hexadecimal(&Sha256::digest(canonical.as_bytes())))
    }
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(&members[name], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        simple => out.push_str(&simple.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_id_depends_on_everything_and_on_no_order() {
        let one = Record::new(None, 1, "apiCall", json!({ "a": 1, "b": [2] }), json!({}));
        let text = r#"{"b":[2],"a":1}"#;
        let same = Record::new(
            None,
            1,
            "apiCall",
            serde_json::from_str(text).expect("JSON"),
            json!({}),
        );
        assert_eq!(one.id, same.id);
        assert!(one.id.starts_with("$5$$") && one.id.len() == 68);
        let others = [
            Record::new(
                Some("x".into()),
                1,
                "apiCall",
                json!({ "a": 1, "b": [2] }),
                json!({}),
            ),
            Record::new(None, 2, "apiCall", json!({ "a": 1, "b": [2] }), json!({})),
            Record::new(None, 1, "signIn", json!({ "a": 1, "b": [2] }), json!({})),
            Record::new(None, 1, "apiCall", json!({ "a": 1, "b": [3] }), json!({})),
            Record::new(None, 1, "apiCall", json!({ "a": 1, "b": [2] }), json!(null)),
        ];
        for other in others {
            assert_ne!(other.id, one.id);
        }
    }
}
