//! What the audit log shows of a call's params: what its method knows and does not mark as secret, as far as
//! it is short, and nothing that looks like a secret.

use crate::rpc::{error::shortened, schema::Params};
use serde_json::{Map, Value, json};

const HIDDEN: &str = "********";
/// Bytes of a text that is shown as it is; of a longer one only the length.
const LONGEST_TEXT: usize = 1_000;
/// Characters of the name of a member.
const LONGEST_NAME: usize = 100;
/// Bytes of all that is shown.
const MOST: usize = 4 << 10;
/// Characters of a token, and of a token's id.
const TOKEN: usize = 43;

/// Members that hold secrets, wherever they are; part of the name, in lower case.
const SECRET: &[&str] = &[
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "otp",
    "httpproxy",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "apikey",
    "cloudconfig",
    "userdata",
    "xenstore",
];

pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|secret| name.contains(secret)) || name.ends_with("pw")
}

/// A call's params as they are written down.
pub fn shown(known: Option<&Params>, given: &Map<String, Value>) -> Map<String, Value> {
    let mut copy = Copy { left: MOST };
    let mut shown = Map::new();
    for name in known.into_iter().flat_map(Params::names) {
        let Some(value) = given.get(name) else { continue };
        let secret = known.is_some_and(|known| known.is_secret(name));
        shown.insert(name.to_owned(), copy.member(name, secret, value));
    }
    let others = given.len() - shown.len();
    if others > 0 {
        shown.insert("$unknown".to_owned(), others.into());
    }
    shown
}

/// Copies until there is enough.
struct Copy {
    left: usize,
}

impl Copy {
    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn member(&mut self, name: &str, secret: bool, value: &Value) -> Value {
        self.spend(name.len().min(LONGEST_NAME) + 4);
        if (secret || is_secret_name(name)) && !value.is_null() {
            return HIDDEN.into();
        }
        self.value(value)
    }

    fn value(&mut self, value: &Value) -> Value {
        self.spend(4);
        match value {
            Value::String(text) if text.len() > LONGEST_TEXT.min(self.left) => {
                json!({ "omitted": format!("{} bytes", text.len()) })
            }
            Value::String(text) => {
                self.spend(text.len());
                without_secrets(text).into()
            }
            Value::Array(items) => {
                let mut shown = Vec::new();
                for item in items {
                    if self.left == 0 {
                        let more = items.len() - shown.len();
                        shown.push(json!({ "omitted": format!("{more} more") }));
                        break;
                    }
                    shown.push(self.value(item));
                }
                shown.into()
            }
            Value::Object(members) => {
                let mut shown = Map::new();
                for (index, (name, member)) in members.iter().enumerate() {
                    if self.left == 0 {
                        let more = members.len() - index;
                        shown.insert("omitted".to_owned(), format!("{more} more").into());
                        break;
                    }
                    let member = self.member(name, false, member);
                    shown.insert(shortened(name, LONGEST_NAME), member);
                }
                shown.into()
            }
            simple => simple.clone(),
        }
    }
}

/// A text without the credentials of a URL, or of what is nearly one, and without tokens.
pub fn without_secrets(text: &str) -> String {
    without_tokens(&without_credentials(text))
}

fn without_tokens(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        shown.push_str(if end == TOKEN { HIDDEN } else { &rest[..end] });
        rest = &rest[end..];
    }
    shown + rest
}

/// `user:password@host`, with a scheme before it or not, also when the password has spaces in it.
fn without_credentials(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // From where on `shown` may be the beginning of credentials.
    let mut open: Option<usize> = None;
    for word in text.split_inclusive(char::is_whitespace) {
        let begun = shown.len();
        let (before, at, after) = match word.rfind('@') {
            Some(at) => (&word[..at], true, &word[at..]),
            None => (word, false, ""),
        };
        let scheme = before.find("://").map(|at| at + 3);
        let user_info = &before[scheme.unwrap_or_default()..];
        // Not `note: somebody@example.net`.
        let named = user_info
            .find(':')
            .is_some_and(|colon| !user_info[colon + 1..].trim_end().is_empty() || (at && colon > 0));
        if !at {
            shown.push_str(before);
            if named && open.is_none() {
                open = Some(begun + scheme.unwrap_or_default());
            }
            continue;
        }
        match open.take() {
            Some(start) => {
                shown.truncate(start);
                shown.push_str(HIDDEN);
            }
            None if named || (scheme.is_some() && !user_info.is_empty()) => {
                shown.push_str(&before[..scheme.unwrap_or_default()]);
                shown.push_str(HIDDEN);
            }
            None => shown.push_str(before),
        }
        shown.push_str(after);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::{
        methods,
        schema::{any, object, string},
    };

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_the_method_knows_is_shown_but_for_secrets() {
        let known = Params::new([
            ("id", string()),
            ("password", string()),
            ("name", string()),
            ("key", string().secret()),
            ("preferences", object()),
            ("list", any()),
            ("url", string()),
            ("httpProxy", string()),
        ]);
        let given = json!({
            "id": "vm", "password": "p", "oldPassword": "p", "name": "n", "key": ["p"],
            "preferences": { "otp": "p", "lang": "fr", "admin_pw": "p" }, "list": [{ "authToken": "p" }],
            "url": "smb://u:p@host/share?x=y", "httpProxy": null, "0": "p", "xenStoreData": { "vm-data/x": "p" },
        });
        assert_eq!(
            Value::Object(shown(Some(&known), &map(given))),
            json!({
                "id": "vm", "password": HIDDEN, "name": "n", "key": HIDDEN,
                "preferences": { "otp": HIDDEN, "lang": "fr", "admin_pw": HIDDEN },
                "list": [{ "authToken": HIDDEN }],
                "url": format!("smb://{HIDDEN}@host/share?x=y"), "httpProxy": null, "$unknown": 3,
            })
        );
        let anything = shown(None, &map(json!({ "a": "p" })));
        assert_eq!(Value::Object(anything), json!({ "$unknown": 1 }));
    }

    #[test]
    fn credentials_and_tokens_are_hidden_in_any_text() {
        let token = "8UdNN_abcdefghijklmnopqrstuvwxyz0123456789-";
        assert_eq!(token.len(), TOKEN);
        for (text, expected) in [
            ("root:S3cret@10.1.2.3", "********@10.1.2.3".to_owned()),
            ("root:S3/cr@et@host:443", "********@host:443".to_owned()),
            ("root:my secret@host", "********@host".to_owned()),
            ("the host root:S3cret@x: no", "the host ********@x: no".to_owned()),
            ("https://root:S3cret@h/p", "https://********@h/p".to_owned()),
            ("https://root:S3 cret@h/p", "https://********@h/p".to_owned()),
            ("ssh://key@h", "ssh://********@h".to_owned()),
            (
                "note: ask ann@example.net",
                "note: ask ann@example.net".to_owned(),
            ),
            ("https://host:8080/path", "https://host:8080/path".to_owned()),
            ("ann@example.net", "ann@example.net".to_owned()),
            ("", String::new()),
        ] {
            assert_eq!(without_secrets(text), expected, "{text}");
        }
        assert_eq!(
            without_secrets(&format!("no such x {token}.")),
            format!("no such x {HIDDEN}.")
        );
        assert_eq!(
            without_secrets(&format!("{token}x and täxt")),
            format!("{token}x and täxt")
        );
    }

    #[test]
    fn of_what_is_large_only_the_size_is_shown() {
        let known = Params::new([("a", any()), ("b", any()), ("c", any())]);
        let given = json!({
            "a": "x".repeat(1 << 20), "b": vec![0; 100_000],
            "c": (0..1000).map(|n| (n.to_string().repeat(1000), json!("y"))).collect::<Map<_, _>>(),
        });
        let shown = Value::Object(shown(Some(&known), &map(given)));
        assert_eq!(shown["a"], json!({ "omitted": "1048576 bytes" }));
        assert!(shown["b"].to_string().contains("more"), "{shown}");
        assert!(shown.to_string().len() < 3 * MOST, "{}", shown.to_string().len());
    }

    #[test]
    fn params_with_the_name_of_a_secret_are_marked_as_such() {
        let all = methods::all();
        let secrets = all.iter().flat_map(|method| {
            let params = method.params.as_ref();
            let params = params.into_iter().flat_map(|params| {
                params
                    .names()
                    .filter(|name| is_secret_name(name) && !params.is_secret(name))
            });
            params.map(|name| format!("{}.{name}", method.name))
        });
        assert_eq!(secrets.collect::<Vec<_>>(), [""; 0]);
        assert!(all.iter().any(|method| {
            method
                .params
                .as_ref()
                .is_some_and(|params| params.is_secret("password"))
        }));
    }
}
