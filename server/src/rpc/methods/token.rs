//! token.*: authentication tokens (contract/methods.md). A token's secret is told once, when it is made.

use crate::{
    auth::tokens::{MAX_VALIDITY_MS, MIN_VALIDITY_MS, NewToken},
    persist::records::TokenRecord,
    rpc::{
        error::{Failure, invalid_param, no_such_token},
        registry::{Call, Method, Outcome, Permission},
        schema::{any_of, array, members, object, string},
    },
};
use app::query::pattern;
use serde_json::{Value, json};

pub fn methods() -> Vec<Method> {
    let which = || {
        [
            ("tokens", array(string()).secret().optional()),
            ("pattern", object().optional()),
        ]
    };
    vec![
        Method::new(
            "token.create",
            Permission::SignedIn,
            "create a new authentication token",
            create,
        )
        .params([
            ("description", string().longest(1000).optional()),
            ("expiresIn", any_of(&["number", "string"]).optional()),
            ("client", members([("id", string().longest(1000))]).optional()),
        ]),
        Method::new(
            "token.delete",
            Permission::Admin,
            "delete existing authentication tokens",
            delete,
        )
        .params(which()),
        Method::new(
            "token.deleteOwn",
            Permission::SignedIn,
            "delete own authentication tokens",
            delete_own,
        )
        .params(which()),
        Method::new(
            "token.set",
            Permission::SignedIn,
            "change the description of a token",
            set,
        )
        .params([
            // Its secret, or the id that it is listed with.
            ("id", string().secret()),
            (
                "description",
                any_of(&["null", "string"]).or_empty().longest(1000).optional(),
            ),
        ]),
    ]
}

async fn create(call: Call) -> Result<Outcome, Failure> {
    let validity_ms = call.params.get("expiresIn").map(duration_ms).transpose()?;
    let client_id = call.params.get("client").and_then(|client| client["id"].as_str());
    let new = NewToken {
        user_id: call.caller()?.id.clone(),
        validity_ms,
        description: call.text("description").map(str::to_owned),
        client_id: client_id.map(str::to_owned),
        of_browser: false,
    };
    Outcome::of(call.app.accounts.create_token(new).await?)
}

/// A number of ms, or a text such as `5 minutes`, `30d`, `1h`.
fn duration_ms(value: &Value) -> Result<i64, Failure> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => read_duration(text),
        _ => None,
    };
    let invalid = |message: &str| Failure::from(invalid_param("/expiresIn", message));
    let ms = read
        .filter(|ms| ms.is_finite())
        .ok_or_else(|| invalid("must be a duration"))? as i64;
    if ms < MIN_VALIDITY_MS {
        return Err(invalid("invalid expiresIn duration: must be at least 60 s"));
    }
    if ms > MAX_VALIDITY_MS {
        return Err(invalid("too high expiresIn duration"));
    }
    Ok(ms)
}

fn read_duration(text: &str) -> Option<f64> {
    let text = text.trim();
    let split = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().trim_end_matches('s') {
        "" if unit.trim().is_empty() => 1.0,
        "m" if unit.trim().eq_ignore_ascii_case("ms") => 1.0,
        "millisecond" | "msec" => 1.0,
        "" | "sec" | "second" => 1e3,
        "m" | "min" | "minute" => 6e4,
        "h" | "hr" | "hour" => 3.6e6,
        "d" | "day" => 8.64e7,
        "w" | "week" => 6.048e8,
        "y" | "yr" | "year" => 3.155_76e10,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// Tokens that are named in one call: a user has fewer.
const MOST_NAMES: usize = 2_000;

async fn delete(call: Call) -> Result<Outcome, Failure> {
    remove(&call, None).await
}

async fn delete_own(call: Call) -> Result<Outcome, Failure> {
    let user = call.caller()?.id.clone();
    remove(&call, Some(&user)).await
}

async fn remove(call: &Call, user: Option<&str>) -> Result<Outcome, Failure> {
    let tokens = &call.app.accounts.tokens;
    let mut names: Vec<String> = call
        .params
        .get("tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    if let Some(wanted) = call.params.get("pattern") {
        let known = tokens.list(user).await?;
        names.extend(
            known
                .into_iter()
                .filter(|(id, token)| pattern::matches(wanted, &public(id, token)))
                .map(|(id, _)| id),
        );
    }
    if names.len() > MOST_NAMES {
        return Err(invalid_param("/tokens", &format!("at most {MOST_NAMES} at a time")).into());
    }
    let removed = tokens.remove(&names, user).await?;
    call.app.connections.end_sessions(&removed);
    Outcome::done()
}

/// A token as it is listed; the id is not its secret.
pub(super) fn public(id: &str, token: &TokenRecord) -> Value {
    let mut shown = json!({
        "id": id,
        "user_id": token.user_id,
        "created_at": token.created_at,
        "expiration": token.expiration,
    });
    if let Some(description) = &token.description {
        shown["description"] = description.as_str().into();
    }
    if let Some(client) = &token.client_id {
        shown["client"] = json!({ "id": client });
    }
    shown
}

async fn set(call: Call) -> Result<Outcome, Failure> {
    let id = call.text("id").unwrap_or_default();
    let user = call.caller()?.id.clone();
    if let Some(description) = call.params.get("description") {
        let text = description.as_str().map(str::to_owned);
        if !call.app.accounts.tokens.describe(id, &user, text).await? {
            return Err(no_such_token().into());
        }
    }
    Outcome::done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, ms) in [
            ("60000", 6e4),
            ("500ms", 5e2),
            ("90 s", 9e4),
            ("5 minutes", 3e5),
            ("1h", 3.6e6),
            ("30 days", 2.592e9),
        ] {
            assert_eq!(read_duration(text), Some(ms), "{text}");
        }
        assert_eq!(read_duration("soon"), None);
    }
}
