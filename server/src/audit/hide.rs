//! What must not be in the log, nor anywhere else in clear.

use serde_json::Value;

const HIDDEN: &str = "********";

/// Members that hold secrets, wherever they are; part of the name, in lower case.
const SECRET: &[&str] = &[
    "password",
    "passphrase",
    "passwd",
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
];

/// A call's params without its secrets.
pub fn hide_secrets(method: &str, params: &Value) -> Value {
    let mut shown = params.clone();
    hide(&mut shown);
    // A token may be named by its secret.
    if method.starts_with("token.") && shown.get("id").is_some() {
        shown["id"] = HIDDEN.into();
    }
    shown
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.to_lowercase();
                if SECRET.iter().any(|secret| name.contains(secret)) && !member.is_null() {
                    *member = HIDDEN.into();
                } else {
                    hide(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => {
            if let Some(shown) = without_user_info(text) {
                *text = shown;
            }
        }
        _ => {}
    }
}

/// A URL without the name and password in it.
fn without_user_info(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{HIDDEN}@{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let params = json!({
            "id": "vm", "password": "p", "oldPassword": "p", "name": "n",
            "preferences": { "otp": "p", "lang": "fr" }, "list": [{ "authToken": "p" }],
            "url": "smb://u:p@host/share?x=p2", "httpProxy": null,
        });
        let shown = hide_secrets("x.y", &params);
        assert_eq!(
            shown,
            json!({
                "id": "vm", "password": HIDDEN, "oldPassword": HIDDEN, "name": "n",
                "preferences": { "otp": HIDDEN, "lang": "fr" }, "list": [{ "authToken": HIDDEN }],
                "url": format!("smb://{HIDDEN}@host/share?x=p2"), "httpProxy": null,
            })
        );
        assert_eq!(hide_secrets("token.set", &json!({ "id": "p" }))["id"], HIDDEN);
    }
}
