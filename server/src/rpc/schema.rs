//! Params: how a method describes them, and how what came is checked (contract/methods.md, "Schema").
//!
//! Descriptions are the public dialect of JSON schema, which `system.getMethodsInfo` hands out as it is.
//! Failures are told in the shape of today's validator, because clients read it.

use serde_json::{Map, Value, json};

/// Failures that are told one by one: each is larger than what a client spends on it.
const MOST_FAILURES: usize = 20;
/// Characters of a name of the client's choice, where a failure repeats it.
const LONGEST_NAME: usize = 100;

/// Description of one param.
#[derive(Clone, Debug)]
pub struct Schema {
    form: Value,
    secret: bool,
}

impl Schema {
    fn new(form: Value) -> Self {
        Self { form, secret: false }
    }

    fn of(kind: &str) -> Self {
        Self::new(json!({ "type": kind }))
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.form[key] = value.into();
        self
    }

    /// Never written down, whatever it holds.
    pub fn secret(mut self) -> Self {
        self.secret = true;
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
    Schema::new(json!({ "type": "object", "additionalProperties": true }))
}

/// An object of these members and no others.
pub fn members<const N: usize>(members: [(&str, Schema); N]) -> Schema {
    Schema::new(json!({ "type": "object", "properties": Params::new(members).members }))
}

/// An object whose members have any name, and all this form.
pub fn map_of(values: Schema) -> Schema {
    Schema::new(json!({ "type": "object", "additionalProperties": values.form }))
}

pub fn array(items: Schema) -> Schema {
    Schema::new(json!({ "type": "array", "items": items.form }))
}

/// Anything at all.
pub fn any() -> Schema {
    Schema::new(json!({}))
}

/// One of several types, such as `["integer", "null"]`.
pub fn any_of(kinds: &[&str]) -> Schema {
    Schema::new(json!({ "type": kinds }))
}

/// The params of a method.
#[derive(Clone, Debug)]
pub struct Params {
    members: Map<String, Value>,
    secret: Vec<String>,
}

impl Params {
    pub fn new<const N: usize>(params: [(&str, Schema); N]) -> Self {
        let secret = params.iter().filter(|(_, schema)| schema.secret);
        let secret = secret.map(|(name, _)| (*name).to_owned()).collect();
        let members = params.into_iter();
        Self {
            members: members
                .map(|(name, schema)| (name.to_owned(), schema.form))
                .collect(),
            secret,
        }
    }

    /// As `system.getMethodsInfo` shows them.
    pub fn describe(&self) -> Value {
        Value::Object(self.members.clone())
    }

    pub fn knows(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    pub fn is_secret(&self, name: &str) -> bool {
        self.secret.iter().any(|secret| secret == name)
    }

    /// Fills defaults in and checks.
    pub fn check(&self, params: &mut Map<String, Value>) -> Result<(), Failures> {
        for (name, schema) in &self.members {
            if let Some(default) = schema.get("default")
                && !params.contains_key(name)
            {
                params.insert(name.clone(), default.clone());
            }
        }
        let mut failures = Failures::default();
        check_members(params, &self.members, Path::ROOT, &mut failures);
        if failures.told.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }
}

/// What is wrong with params.
#[derive(Debug, Default)]
pub struct Failures {
    /// The first ones, as `data.errors` of error 10 holds them.
    pub told: Vec<Value>,
    /// How many there are besides.
    pub more: usize,
}

impl Failures {
    fn add(&mut self, path: Path, keyword: &str, params: impl FnOnce() -> (Value, String)) {
        if self.told.len() >= MOST_FAILURES {
            self.more += 1;
            return;
        }
        let (params, message) = params();
        let (mut instance, mut schema) = (String::new(), "#".to_owned());
        path.write(&mut instance, &mut schema);
        self.told.push(json!({
            "instancePath": instance,
            "schemaPath": format!("{schema}/{keyword}"),
            "keyword": keyword,
            "params": params,
            "message": message,
        }));
    }
}

/// Where a value is: written out only for what fails.
#[derive(Clone, Copy)]
struct Path<'a>(Option<(&'a Path<'a>, Step<'a>)>);

#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Any(&'a str),
    Item(usize),
}

impl<'a> Path<'a> {
    const ROOT: Path<'static> = Path(None);

    fn step(&'a self, step: Step<'a>) -> Path<'a> {
        Path(Some((self, step)))
    }

    fn write(&self, instance: &mut String, schema: &mut String) {
        let Some((parent, step)) = &self.0 else {
            return;
        };
        parent.write(instance, schema);
        match step {
            Step::Member(name) => {
                instance.push_str(&format!("/{}", pointer(name)));
                schema.push_str(&format!("/properties/{name}"));
            }
            Step::Any(name) => {
                instance.push_str(&format!("/{}", pointer(&short(name))));
                schema.push_str("/additionalProperties");
            }
            Step::Item(index) => {
                instance.push_str(&format!("/{index}"));
                schema.push_str("/items");
            }
        }
    }
}

/// A name as a step of a JSON pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn short(name: &str) -> String {
    super::error::shortened(name, LONGEST_NAME)
}

/// The members of an object against the descriptions of all that it may have.
fn check_members(
    members: &Map<String, Value>,
    known: &Map<String, Value>,
    path: Path,
    failures: &mut Failures,
) {
    for (name, schema) in known {
        if !members.contains_key(name) && schema.get("optional") != Some(&Value::Bool(true)) {
            failures.add(path, "required", || {
                let message = format!("must have required property '{name}'");
                (json!({ "missingProperty": name }), message)
            });
        }
    }
    for name in members.keys().filter(|name| !known.contains_key(*name)) {
        failures.add(path, "additionalProperties", || {
            let message = "must NOT have additional properties".to_owned();
            (json!({ "additionalProperty": short(name) }), message)
        });
    }
    for (name, schema) in known {
        if let Some(value) = members.get(name) {
            check_value(value, schema, path.step(Step::Member(name)), failures);
        }
    }
}

fn check_value(value: &Value, schema: &Value, path: Path, failures: &mut Failures) {
    let kinds = &schema["type"];
    let fits = match kinds {
        Value::String(kind) => is_of_kind(value, kind),
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .any(|kind| is_of_kind(value, kind)),
        _ => true,
    };
    if !fits {
        failures.add(path, "type", || {
            let names = match kinds {
                Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                kind => vec![kind.as_str().unwrap_or_default()],
            };
            (json!({ "type": kinds }), format!("must be {}", names.join(",")))
        });
        return;
    }
    if let Some(allowed) = schema["enum"].as_array() {
        if !allowed.contains(value) {
            failures.add(path, "enum", || {
                let message = "must be equal to one of the allowed values".to_owned();
                (json!({ "allowedValues": allowed }), message)
            });
        }
    } else if let Value::String(text) = value {
        let length = text.chars().count() as u64;
        let shortest = schema["minLength"].as_u64().unwrap_or(1);
        if length < shortest {
            failures.add(path, "minLength", || {
                let message = format!("must NOT have fewer than {shortest} characters");
                (json!({ "limit": shortest }), message)
            });
        }
        if let Some(longest) = schema["maxLength"].as_u64().filter(|&longest| length > longest) {
            failures.add(path, "maxLength", || {
                let message = format!("must NOT have more than {longest} characters");
                (json!({ "limit": longest }), message)
            });
        }
    }
    if let (Some(minimum), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < minimum
    {
        failures.add(path, "minimum", || {
            let params = json!({ "comparison": ">=", "limit": schema["minimum"] });
            (params, format!("must be >= {minimum}"))
        });
    }
    if let Value::Object(members) = value {
        if let Some(known) = schema["properties"].as_object() {
            check_members(members, known, path, failures);
        } else if let Some(form) = schema.get("additionalProperties").filter(|form| form.is_object()) {
            for (name, member) in members {
                check_value(member, form, path.step(Step::Any(name)), failures);
            }
        }
    }
    if let (Value::Array(items), Some(form)) = (value, schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            check_value(item, form, path.step(Step::Item(index)), failures);
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
                .told
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

    #[test]
    fn of_many_failures_the_first_are_told_and_the_others_counted() {
        let params = Params::new([("list", array(integer())), ("map", map_of(integer()).optional())]);
        let name = "n".repeat(10_000);
        let mut given: Map<String, Value> = (0..50_000)
            .map(|number| (format!("{name}{number}").split_off(9_000), Value::Null))
            .collect();
        given.insert("list".to_owned(), json!(vec!["x"; 10_000]));
        given.insert("map".to_owned(), json!({ name: "x" }));
        let failures = params.check(&mut given).expect_err("refused");
        assert_eq!((failures.told.len(), failures.more), (20, 50_000 + 10_001 - 20));
        assert!(json!(failures.told).to_string().len() < 10_000);
        let mut given = Map::from_iter([
            ("list".to_owned(), json!([])),
            ("map".to_owned(), json!({ "n".repeat(10_000): "x" })),
        ]);
        let failures = params.check(&mut given).expect_err("refused");
        assert!(json!(failures.told).to_string().len() < 1_000);
    }

    #[test]
    fn what_is_secret_is_known_and_not_shown() {
        let params = Params::new([("name", string()), ("key", string().secret().optional())]);
        assert!(params.is_secret("key") && !params.is_secret("name") && !params.is_secret("other"));
        assert_eq!(
            params.describe()["key"],
            json!({ "type": "string", "optional": true })
        );
    }
}
