//! Every generated call of every class, over both protocols, and the errors of the data model.

use serde_json::{Value as Json, json};
use xapi_sim::SimPool;
use xapi_sim::model::{Class, Kind, Message, Type, model};

use crate::client::{Client, pool};

const NOWHERE: &str = "OpaqueRef:00000000-0000-4000-8000-000000000000";

/// A row of each class that is in the database: the world's, or one made for this.
fn row(pool: &SimPool, class: &Class) -> String {
    pool.write(|db| match db.refs(&class.name).first() {
        Some(first) => first.to_string(),
        None => db.create(&class.name, []).to_string(),
    })
}

/// What JSON-RPC must send for a type.
fn fits(ty: &Type, value: &Json) -> bool {
    match ty {
        Type::Int => value.is_i64(),
        Type::Float => value.is_number(),
        Type::Bool => value.is_boolean(),
        Type::Date => value.as_str().is_some_and(is_date),
        Type::Enum(name) => model().enums[name].iter().any(|member| value == member),
        Type::Ref(_) => value.as_str().is_some_and(|text| text.starts_with("OpaqueRef:")),
        Type::Str | Type::Void => value.is_string(),
        Type::Set(item) => value
            .as_array()
            .is_some_and(|items| items.iter().all(|value| fits(item, value))),
        Type::Map(_, item) => value
            .as_object()
            .is_some_and(|map| map.values().all(|value| fits(item, value))),
        Type::Option(item) => value
            .as_array()
            .is_some_and(|items| items.len() < 2 && items.iter().all(|value| fits(item, value))),
        Type::Record(_) => value.is_object(),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 18 && text.ends_with('Z') && text.as_bytes()[8] == b'T'
}

/// What XML-RPC must send where JSON-RPC sends this.
fn as_xml(ty: &Type, value: &Json) -> Json {
    match (ty, value) {
        (Type::Int, Json::Number(number)) => json!(number.to_string()),
        (Type::Float, Json::Number(number)) => json!(number.as_f64()),
        (Type::Date, date) => json!({ "date": date }),
        (Type::Set(item) | Type::Option(item), Json::Array(items)) => {
            items.iter().map(|value| as_xml(item, value)).collect()
        }
        (Type::Map(_, item), Json::Object(map)) => Json::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), as_xml(item, value)))
                .collect(),
        ),
        _ => value.clone(),
    }
}

fn record_as_xml(class: &Class, record: &Json) -> Json {
    let members = record.as_object().expect("a record").iter();
    let members = members.map(|(name, value)| {
        let at = class
            .field(name)
            .unwrap_or_else(|| panic!("{}.{name}", class.name));
        (name.clone(), as_xml(&class.fields[at].ty, value))
    });
    Json::Object(members.collect())
}

/// Another value of that type than the field has.
fn other(ty: &Type, now: &Json) -> Json {
    match ty {
        Type::Int => json!(now.as_i64().unwrap_or_default() + 1),
        Type::Float => json!(now.as_f64().unwrap_or_default() + 0.5),
        Type::Bool => json!(now != &json!(true)),
        Type::Date => json!("20240131T12:34:56Z"),
        Type::Enum(name) => {
            let members = &model().enums[name];
            json!(
                members
                    .iter()
                    .find(|member| now != *member)
                    .unwrap_or(&members[0])
            )
        }
        Type::Set(item) => json!([other(item, &Json::Null)]),
        Type::Map(key, item) => {
            let key = match **key {
                Type::Int => "12".to_owned(),
                Type::Ref(_) => NOWHERE.to_owned(),
                _ => "a key".to_owned(),
            };
            json!({ key: other(item, &Json::Null) })
        }
        Type::Ref(_) => json!(NOWHERE),
        _ => json!("some <text> & é"),
    }
}

/// A value that no call takes for that type.
fn wrong(ty: &Type) -> Json {
    match ty {
        Type::Str | Type::Ref(_) | Type::Enum(_) => json!({ "not": "text" }),
        _ => json!("neither number nor list"),
    }
}

struct Both {
    json: Client,
    xml: Client,
}

impl Both {
    /// The same call over both; what both say must be the same.
    async fn fault(&mut self, method: &str, params: &[Json]) -> Vec<String> {
        let json = self.json.fault(method, json!(params)).await;
        let xml = self.over_xml(method, params).await.expect_err(method);
        assert_eq!(json, xml, "{method}");
        json
    }

    async fn over_xml(&mut self, method: &str, params: &[Json]) -> Result<Json, Vec<String>> {
        let all: Vec<Json> = std::iter::once(json!(self.xml.session))
            .chain(params.iter().cloned())
            .collect();
        self.xml.xml(method, &all).await
    }

    async fn ok(&mut self, ty: &Type, method: &str, params: &[Json]) -> Json {
        let json = self.json.ok(method, json!(params)).await;
        let xml = self.over_xml(method, params).await;
        let xml = xml.unwrap_or_else(|fault| panic!("{method} over XML: {fault:?}"));
        assert_eq!(xml, as_xml(ty, &json), "{method}");
        json
    }
}

#[tokio::test]
async fn every_generated_call_of_every_class() {
    let pool = pool().await;
    let mut both = Both {
        json: Client::login(&pool).await,
        xml: Client::login(&pool).await,
    };
    assert_eq!(model().classes.len(), 73);
    let (mut classes, mut calls) = (0, 0);
    for class in &model().classes {
        if !class.in_database {
            continue;
        }
        classes += 1;
        let this = row(&pool, class);
        let record = record(&mut both, class, &this).await;
        for message in &class.messages {
            let name = format!("{}.{}", class.name, message.name);
            match message.kind {
                Kind::Custom | Kind::Create | Kind::Destroy => continue,
                Kind::GetRecord => {}
                Kind::Getter(at) => {
                    let field = &class.fields[at];
                    let value = both.ok(&field.ty, &name, &[json!(this)]).await;
                    // `last_active` and the like may move on.
                    if field.ty != Type::Date {
                        assert_eq!(value, record[&field.name], "{name}");
                    }
                    bad_reference(&mut both, class, &name, &[]).await;
                }
                Kind::Setter(at) => setter(&mut both, class, &name, at, &this, &record).await,
                Kind::Adder(at) | Kind::Remover(at) => {
                    adder(&mut both, class, message, at, &this).await;
                }
                Kind::GetByUuid => {
                    let found = both.ok(&Type::Str, &name, &[record["uuid"].clone()]).await;
                    assert_eq!(found, json!(this), "{name}");
                    let fault = both.fault(&name, &[json!("nobody")]).await;
                    assert_eq!(fault, ["UUID_INVALID", &class.name, "nobody"]);
                }
                Kind::GetByNameLabel => {
                    let list = Type::Set(Box::new(Type::Str));
                    let found = both.ok(&list, &name, &[record["name_label"].clone()]).await;
                    assert!(found.as_array().expect("a list").contains(&json!(this)), "{name}");
                    let none = both.ok(&list, &name, &[json!("nobody has this name")]).await;
                    assert_eq!(none, json!([]), "{name}");
                }
                Kind::GetAll => {
                    let all = both.ok(&Type::Set(Box::new(Type::Str)), &name, &[]).await;
                    assert!(all.as_array().expect("a list").contains(&json!(this)), "{name}");
                }
                Kind::GetAllWhere => {
                    let expression = format!(
                        "field \"uuid\"=\"{}\"",
                        record["uuid"].as_str().unwrap_or_default()
                    );
                    let found = both
                        .ok(&Type::Set(Box::new(Type::Str)), &name, &[json!(expression)])
                        .await;
                    if record["uuid"].is_string() {
                        assert_eq!(found, json!([this]), "{name}");
                    }
                    assert_eq!(
                        both.fault(&name, &[json!("field")]).await[0],
                        "INVALID_VALUE",
                        "{name}"
                    );
                }
                Kind::GetAllRecords | Kind::GetAllRecordsWhere => {
                    let expression = (message.kind == Kind::GetAllRecordsWhere).then(|| json!("true"));
                    let params: Vec<Json> = expression.into_iter().collect();
                    let json = both.json.ok(&name, json!(params)).await;
                    let xml = both.over_xml(&name, &params).await.expect("records");
                    let (json, xml) = (json.as_object().expect("a map"), xml.as_object().expect("a map"));
                    assert_eq!(json.len(), xml.len(), "{name}");
                    assert_eq!(json.len(), pool.read(|db| db.count(&class.name)), "{name}");
                    for (reference, record) in json.iter().take(20) {
                        assert_eq!(
                            xml[reference].as_object().map(|record| record.len()),
                            record.as_object().map(|record| record.len())
                        );
                    }
                }
            }
            count_mismatch(&mut both, message, &name).await;
            calls += 1;
        }
    }
    assert!(classes > 60 && calls > 1_400, "{classes} classes, {calls} calls");
}

/// The record has every field of the data model in its type, and no other.
async fn record(both: &mut Both, class: &Class, this: &str) -> Json {
    let method = format!("{}.get_record", class.name);
    if class.message("get_record").is_none() {
        return Json::Null;
    }
    let record = both.json.ok(&method, json!([this])).await;
    let visible: Vec<_> = class.fields.iter().filter(|field| !field.internal).collect();
    for field in &visible {
        let value = &record[&field.name];
        assert!(fits(&field.ty, value), "{}.{} is {value}", class.name, field.name);
    }
    assert_eq!(
        record.as_object().map(|record| record.len()),
        Some(visible.len()),
        "{}",
        class.name
    );
    let xml = both.over_xml(&method, &[json!(this)]).await.expect("a record");
    let json = both.json.ok(&method, json!([this])).await;
    assert_eq!(xml, record_as_xml(class, &json), "{method}");
    bad_reference(both, class, &method, &[]).await;
    json
}

async fn bad_reference(both: &mut Both, class: &Class, method: &str, more: &[Json]) {
    let params: Vec<Json> = std::iter::once(json!(NOWHERE))
        .chain(more.iter().cloned())
        .collect();
    let fault = both.fault(method, &params).await;
    assert_eq!(fault, ["HANDLE_INVALID", &class.name, NOWHERE], "{method}");
}

async fn setter(both: &mut Both, class: &Class, method: &str, at: usize, this: &str, record: &Json) {
    let field = &class.fields[at];
    let (old, new) = (
        record[&field.name].clone(),
        other(&field.ty, &record[&field.name]),
    );
    bad_reference(both, class, method, std::slice::from_ref(&new)).await;
    let fault = both.fault(method, &[json!(this), wrong(&field.ty)]).await;
    assert!(
        matches!(fault[0].as_str(), "INTERNAL_ERROR" | "INVALID_VALUE"),
        "{method}: {fault:?}"
    );
    let getter = format!("{}.get_{}", class.name, field.name);
    for value in [new, old] {
        assert_eq!(
            both.ok(&Type::Void, method, &[json!(this), value.clone()]).await,
            json!(""),
            "{method}"
        );
        assert_eq!(
            both.ok(&field.ty, &getter, &[json!(this)]).await,
            value,
            "{method}"
        );
    }
}

/// `add_to_` or `remove_from_`, of a map or a set; with its opposite where there is one.
async fn adder(both: &mut Both, class: &Class, message: &Message, at: usize, this: &str) {
    let field = &class.fields[at];
    let of_class = |name: &str| format!("{}.{name}", class.name);
    let (method, getter) = (of_class(&message.name), of_class(&format!("get_{}", field.name)));
    let added = match &field.ty {
        Type::Map(..) => {
            let entry = other(&field.ty, &Json::Null);
            let (key, value) = entry.as_object().expect("a map").iter().next().expect("an entry");
            vec![json!(key), value.clone()]
        }
        Type::Set(item) => vec![other(item, &Json::Null)],
        _ => panic!("{method} of {:?}", field.ty),
    };
    let removing = matches!(message.kind, Kind::Remover(_));
    let own: Vec<Json> = if removing {
        added[..1].to_vec()
    } else {
        added.clone()
    };
    bad_reference(both, class, &method, &own).await;
    let with_this = |params: &[Json]| -> Vec<Json> {
        std::iter::once(json!(this))
            .chain(params.iter().cloned())
            .collect()
    };
    if removing {
        // What is not there is removed without a word.
        assert_eq!(
            both.ok(&Type::Void, &method, &with_this(&own)).await,
            json!(""),
            "{method}"
        );
        return;
    }
    let holds = |value: &Json| match value {
        Json::Object(map) => map.contains_key(added[0].as_str().unwrap_or_default()),
        other => other.as_array().is_some_and(|items| items.contains(&added[0])),
    };
    both.json.ok(&method, json!(with_this(&own))).await;
    assert!(
        holds(&both.ok(&field.ty, &getter, &[json!(this)]).await),
        "{method}"
    );
    if let Type::Map(..) = field.ty {
        let fault = both.fault(&method, &with_this(&own)).await;
        let key = added[0].as_str().unwrap_or_default();
        assert_eq!(
            fault,
            ["MAP_DUPLICATE_KEY", &class.name, &field.name, this, key],
            "{method}"
        );
    } else {
        both.ok(&Type::Void, &method, &with_this(&own)).await;
    }
    let remover = class
        .messages
        .iter()
        .find(|message| message.kind == Kind::Remover(at));
    let remover = remover.unwrap_or_else(|| panic!("{method} has no opposite"));
    both.json
        .ok(&of_class(&remover.name), json!(with_this(&added[..1])))
        .await;
    assert!(
        !holds(&both.ok(&field.ty, &getter, &[json!(this)]).await),
        "{method}"
    );
}

async fn count_mismatch(both: &mut Both, message: &Message, method: &str) {
    let many = vec![json!("x"); message.params.len() + 1];
    let fault = both.fault(method, &many).await;
    let (expected, received) = (message.required().to_string(), many.len().to_string());
    assert_eq!(
        fault,
        ["MESSAGE_PARAMETER_COUNT_MISMATCH", method, &expected, &received]
    );
}

/// Every other call, with parameters of the right types that name nothing: it refuses, and nothing fails inside.
#[tokio::test]
async fn every_other_call_answers() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let missing = xapi_sim::unimplemented_messages();
    let mut calls = 0;
    for class in &model().classes {
        let messages = class.messages.iter();
        for message in
            messages.filter(|message| matches!(message.kind, Kind::Custom | Kind::Create | Kind::Destroy))
        {
            let name = format!("{}.{}", class.name, message.name);
            // These end the session, wait for ever, or turn the pool over.
            let ends = [
                "session.",
                "event.next",
                "event.from",
                "pool.emergency",
                "host.shutdown_agent",
                "host.management_disable",
            ];
            if ends.iter().any(|end| name.starts_with(end)) {
                continue;
            }
            let params = message.params.iter().map(|param| match &param.ty {
                Type::Ref(_) => json!(NOWHERE),
                Type::Record(_) => json!({}),
                Type::Int => json!(1),
                Type::Enum(member) => json!(model().enums[member][0]),
                ty => other(ty, &Json::Null),
            });
            let answer = client.call(&name, json!(params.collect::<Vec<_>>())).await;
            if let Err(error) = &answer {
                let code = error["message"].as_str().unwrap_or_default();
                assert!(
                    !error.to_string().contains("the simulator failed"),
                    "{name}: {error}"
                );
                assert!(
                    !code.is_empty() && code != "MESSAGE_METHOD_UNKNOWN",
                    "{name}: {error}"
                );
                if code == "NOT_IMPLEMENTED" {
                    assert!(missing.contains(&name), "{name} is not in the list");
                }
            }
            calls += 1;
        }
    }
    assert!(calls > 600, "{calls} calls");
    client.ok("VM.get_all", json!([])).await;
}
