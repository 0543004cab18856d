//! Params: how a method describes them, and how what came is checked (contract/methods.md, "Schema").
//!
//! Descriptions are the public dialect of JSON schema, which `system.getMethodsInfo` hands out as it is.
//! Failures are told in the shape of today's validator, because clients read it.

use serde_json::{Map, Value, json};

/// Description of one param.
#[derive(Clone, Debug)]
pub struct Schema(Value);

impl Schema {
    fn of(kind: &str) -> Self {
        Self(json!({ "type": kind }))
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0[key] = value.into();
        self
    }

    pub fn optional(self) -> Self {
        self.with("optional", true)
    }

    /// Used when the param is missing; makes it optional.
    pub fn default_to(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// A text that may be empty.
    pub fn or_empty(self) -> Self {
        self.with("minLength", 0)
    }

    pub fn longest(self, characters: usize) -> Self {
        self.with("maxLength", characters)
    }

    pub fn one_of(self, values: &[&str]) -> Self {
        self.with("enum", json!(values))
    }

    pub fn at_least(self, minimum: i64) -> Self {
        self.with("minimum", minimum)
    }
}

/// A text; not empty unless [`Schema::or_empty`] or an enum says so.
pub fn string() -> Schema {
    Schema::of("string")
}

pub fn boolean() -> Schema {
    Schema::of("boolean")
}

pub fn integer() -> Schema {
    Schema::of("integer")
}

pub fn number() -> Schema {
    Schema::of("number")
}

/// An object whose members are not looked at here.
pub fn object() -> Schema {
    Schema(json!({ "type": "object", "additionalProperties": true }))
}

/// An object of these members and no others.
pub fn members<const N: usize>(members: [(&str, Schema); N]) -> Schema {
    Schema(json!({ "type": "object", "properties": Params::new(members).0 }))
}

/// An object whose members have any name, and all this form.
pub fn map_of(values: Schema) -> Schema {
    Schema(json!({ "type": "object", "additionalProperties": values.0 }))
}

pub fn array(items: Schema) -> Schema {
    Schema(json!({ "type": "array", "items": items.0 }))
}

/// One of several types, such as `["integer", "null"]`.
/// Anything at all.
pub fn any() -> Schema {
    Schema(json!({}))
}

pub fn any_of(kinds: &[&str]) -> Schema {
    Schema(json!({ "type": kinds }))
}

/// The params of a method.
#[derive(Clone, Debug)]
pub struct Params(Map<String, Value>);

impl Params {
    pub fn new<const N: usize>(params: [(&str, Schema); N]) -> Self {
        Self(
            params
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema.0))
                .collect(),
        )
    }

    /// As `system.getMethodsInfo` shows them.
    pub fn describe(&self) -> Value {
        Value::Object(self.0.clone())
    }

    pub fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Fills defaults in and checks; the failures are what `data.errors` of error 10 holds.
    pub fn check(&self, params: &mut Map<String, Value>) -> Result<(), Vec<Value>> {
        for (name, schema) in &self.0 {
            if let Some(default) = schema.get("default")
                && !params.contains_key(name)
            {
                params.insert(name.clone(), default.clone());
            }
        }
        let mut failures = Vec::new();
        check_members(params, &self.0, "", "#", &mut failures);
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }
}

/// The members of an object against the descriptions of all that it may have.
fn check_members(
    members: &Map<String, Value>,
    known: &Map<String, Value>,
    path: &str,
    schema_path: &str,
    failures: &mut Vec<Value>,
) {
    for (name, schema) in known {
        if !members.contains_key(name) && schema.get("optional") != Some(&Value::Bool(true)) {
            failures.push(failure(
                path,
                schema_path,
                "required",
                json!({ "missingProperty": name }),
                &format!("must have required property '{name}'"),
            ));
        }
    }
    for name in members.keys().filter(|name| !known.contains_key(*name)) {
        failures.push(failure(
            path,
            schema_path,
            "additionalProperties",
            json!({ "additionalProperty": name }),
            "must NOT have additional properties",
        ));
    }
    for (name, schema) in known {
        if let Some(value) = members.get(name) {
            let path = format!("{path}/{}", pointer(name));
            let schema_path = format!("{schema_path}/properties/{name}");
            check_value(value, schema, &path, &schema_path, failures);
        }
    }
}

/// A name as a step of a JSON pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn failure(path: &str, schema_path: &str, keyword: &str, params: Value, message: &str) -> Value {
    json!({
        "instancePath": path,
        "schemaPath": format!("{schema_path}/{keyword}"),
        "keyword": keyword,
        "params": params,
        "message": message,
    })
}

fn check_value(value: &Value, schema: &Value, path: &str, schema_path: &str, failures: &mut Vec<Value>) {
    let mut fail = |keyword: &str, params: Value, message: String| {
        failures.push(failure(path, schema_path, keyword, params, &message));
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of_kind(value, kind)) {
        fail(
            "type",
            json!({ "type": schema["type"] }),
            format!("must be {}", kinds.join(",")),
        );
        return;
    }
    if let Some(allowed) = schema["enum"].as_array() {
        if !allowed.contains(value) {
            let message = "must be equal to one of the allowed values".to_owned();
            fail("enum", json!({ "allowedValues": allowed }), message);
        }
    } else if let Value::String(text) = value {
        let length = text.chars().count() as u64;
        let shortest = schema["minLength"].as_u64().unwrap_or(1);
        if length < shortest {
            fail(
                "minLength",
                json!({ "limit": shortest }),
                format!("must NOT have fewer than {shortest} characters"),
            );
        }
        if let Some(longest) = schema["maxLength"].as_u64().filter(|&longest| length > longest) {
            fail(
                "maxLength",
                json!({ "limit": longest }),
                format!("must NOT have more than {longest} characters"),
            );
        }
    }
    if let (Some(minimum), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < minimum
    {
        fail(
            "minimum",
            json!({ "comparison": ">=", "limit": schema["minimum"] }),
            format!("must be >= {minimum}"),
        );
    }
    if let Value::Object(members) = value {
        if let Some(known) = schema["properties"].as_object() {
            check_members(members, known, path, schema_path, failures);
        } else if let Some(form) = schema.get("additionalProperties").filter(|form| form.is_object()) {
            for (name, member) in members {
                let path = format!("{path}/{}", pointer(name));
                let schema_path = format!("{schema_path}/additionalProperties");
                check_value(member, form, &path, &schema_path, failures);
            }
        }
    }
    if let (Value::Array(items), Some(item_schema)) = (value, schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            check_value(
                item,
                item_schema,
                &format!("{path}/{index}"),
                &format!("{schema_path}/items"),
                failures,
            );
        }
    }
}

fn is_of_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(params: &Params, given: Value) -> Result<Value, Vec<(String, String)>> {
        let Value::Object(mut given) = given else {
            panic!("an object is expected")
        };
        match params.check(&mut given) {
            Ok(()) => Ok(Value::Object(given)),
            Err(failures) => Err(failures
                .iter()
                .map(|failure| {
                    let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
                    (text("instancePath"), text("message"))
                })
                .collect()),
        }
    }

    #[test]
    fn failures_read_as_today_and_all_are_told() {
        let params = Params::new([
            ("id", string()),
            ("force", boolean().optional()),
            ("delay", integer().default_to(0)),
            ("mode", string().one_of(&["", "restart"]).optional()),
            ("tags", array(string()).optional()),
            ("weight", any_of(&["integer", "null"]).optional()),
        ]);
        assert_eq!(
            check(&params, json!({"id": "x", "weight": null})),
            Ok(json!({"id": "x", "delay": 0, "weight": null}))
        );
        assert_eq!(
            check(&params, json!({"id": "x", "mode": ""})),
            Ok(json!({"id": "x", "delay": 0, "mode": ""}))
        );
        let failures = check(
            &params,
            json!({"force": 1, "other": 2, "mode": "no", "tags": ["", 3], "weight": 1.5}),
        );
        let expected: Vec<(String, String)> = [
            ("", "must have required property 'id'"),
            ("", "must NOT have additional properties"),
            ("/force", "must be boolean"),
            ("/mode", "must be equal to one of the allowed values"),
            ("/tags/0", "must NOT have fewer than 1 characters"),
            ("/tags/1", "must be string"),
            ("/weight", "must be integer,null"),
        ]
        .map(|(path, message)| (path.to_owned(), message.to_owned()))
        .into();
        assert_eq!(failures, Err(expected));
        assert_eq!(
            check(&params, json!({"id": ""})),
            Err(vec![(
                "/id".into(),
                "must NOT have fewer than 1 characters".into()
            )])
        );
    }

    #[test]
    fn members_of_members_are_checked() {
        let params = Params::new([
            ("client", members([("id", string())]).optional()),
            (
                "blocked",
                map_of(any_of(&["boolean", "null", "string"])).optional(),
            ),
        ]);
        let given = json!({"client": {"id": "x"}, "blocked": {"start": true, "stop": null, "pause": "why"}});
        assert_eq!(check(&params, given.clone()), Ok(given));
        let failures = check(
            &params,
            json!({"client": {"name": 1}, "blocked": {"a/b": {}, "stop": ""}}),
        );
        let expected: Vec<(String, String)> = [
            ("/blocked/a~1b", "must be boolean,null,string"),
            ("/blocked/stop", "must NOT have fewer than 1 characters"),
            ("/client", "must have required property 'id'"),
            ("/client", "must NOT have additional properties"),
        ]
        .map(|(path, message)| (path.to_owned(), message.to_owned()))
        .into();
        assert_eq!(failures, Err(expected));
    }
}
