//! The XAPI data model: classes, fields, messages, enums and relations, read once from `data/datamodel.json`
//! (made by `data/trim.py`). Everything generic in the simulator - storage, accessors, dispatch - is driven by it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use serde_json::Value as Json;

use crate::clock;
use crate::value::{NULL_REF, Value};

/// Index of a class in [`Model::classes`].
pub type ClassId = usize;

pub struct Model {
    pub classes: Vec<Class>,
    pub enums: BTreeMap<String, Vec<String>>,
    by_name: FxHashMap<String, ClassId>,
    by_lower_name: FxHashMap<String, ClassId>,
}

pub struct Class {
    pub id: ClassId,
    pub name: String,
    /// As `event.from` and `valid_ref_counts` spell it.
    pub lower_name: String,
    pub in_database: bool,
    pub has_events: bool,
    pub fields: Vec<Field>,
    pub generated: Vec<String>,
    pub messages: Vec<Message>,
    field_by_name: FxHashMap<String, usize>,
    message_by_name: FxHashMap<String, usize>,
}

pub struct Field {
    pub name: String,
    pub ty: Type,
    pub qualifier: Qualifier,
    /// Kept in the database, never in client records.
    pub internal: bool,
    pub default: Option<Value>,
    /// The other end that follows this field, if the field is a forward end.
    pub forward: Option<End>,
    /// The forward end that this field follows.
    pub reverse: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub class: ClassId,
    pub field: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    ReadOnly,
    Static,
    ReadWrite,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Str,
    Int,
    Float,
    Bool,
    Date,
    Enum(String),
    Ref(String),
    Record(String),
    Set(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Option(Box<Type>),
    Void,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Custom,
    Create,
    Destroy,
    Getter(usize),
    Setter(usize),
    Adder(usize),
    Remover(usize),
    GetRecord,
    GetByUuid,
    GetByNameLabel,
    GetAll,
    GetAllWhere,
    GetAllRecords,
    GetAllRecordsWhere,
}

pub struct Message {
    pub name: String,
    pub kind: Kind,
    pub params: Vec<Param>,
    pub needs_session: bool,
    pub is_async: bool,
    pub min_role: String,
    /// Keys of a map (the last may end with `*`) that need another role than the rest.
    pub key_roles: Vec<(String, String)>,
    pub state: State,
}

/// Whether a message can be called at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Only by the hosts of a pool among themselves.
    Internal,
    Removed,
}

pub struct Param {
    pub name: String,
    pub ty: Type,
    pub default: Option<Value>,
}

/// The model of this build; parsed at first use.
pub fn model() -> &'static Model {
    static MODEL: LazyLock<Model> = LazyLock::new(|| Model::parse(include_str!("../data/datamodel.json")));
    &MODEL
}

impl Model {
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.by_name.get(name).map(|id| &self.classes[*id])
    }

    /// Any case, as event subscriptions take it.
    pub fn class_of_any_case(&self, name: &str) -> Option<&Class> {
        self.by_lower_name
            .get(&name.to_lowercase())
            .map(|id| &self.classes[*id])
    }

    fn parse(text: &str) -> Model {
        let root: Json =
            serde_json::from_str(text).expect("data/datamodel.json is part of this build and valid");
        let classes: Vec<Class> = list(&root["classes"])
            .iter()
            .enumerate()
            .map(|(id, class)| Class::parse(id, class))
            .collect();
        let index = |key: fn(&Class) -> &String| classes.iter().map(|c| (key(c).clone(), c.id)).collect();
        let mut model = Model {
            by_name: index(|class| &class.name),
            by_lower_name: index(|class| &class.lower_name),
            enums: root["enums"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), texts(v)))
                .collect(),
            classes,
        };
        for relation in list(&root["relations"]) {
            model.relate(&texts(relation));
        }
        model
    }

    fn relate(&mut self, names: &[String]) {
        let end = |class: &str, field: &str| {
            let class = self.class(class)?;
            Some(End {
                class: class.id,
                field: *class.field_by_name.get(field)?,
            })
        };
        let [class_a, field_a, class_b, field_b] = names else {
            return;
        };
        let (Some(a), Some(b)) = (end(class_a, field_a), end(class_b, field_b)) else {
            return;
        };
        // `role.subroles` and `subject.roles` are declared as their own other end: nothing to keep.
        if a != b {
            self.classes[a.class].fields[a.field].forward = Some(b);
            self.classes[b.class].fields[b.field].reverse = Some(a);
        }
    }
}

impl Class {
    pub fn field(&self, name: &str) -> Option<usize> {
        self.field_by_name.get(name).copied()
    }

    pub fn message(&self, name: &str) -> Option<&Message> {
        self.message_by_name.get(name).map(|at| &self.messages[*at])
    }

    fn parse(id: ClassId, json: &Json) -> Class {
        let name = text(&json["name"]);
        let fields: Vec<Field> = list(&json["fields"]).iter().map(Field::parse).collect();
        let field_by_name: FxHashMap<_, _> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| (field.name.clone(), at))
            .collect();
        let mut class = Class {
            id,
            lower_name: name.to_lowercase(),
            in_database: json["in_database"] == true,
            has_events: json["events"] == true,
            generated: texts(&json["generated"]),
            messages: list(&json["messages"]).iter().map(Message::parse).collect(),
            message_by_name: FxHashMap::default(),
            fields,
            field_by_name,
            name,
        };
        class.add_generated(json);
        for message in &mut class.messages {
            if let Some(role) = json["roles"][&message.name].as_str() {
                message.min_role = role.to_owned();
            }
            let roles = json["key_roles"][&message.name].as_object();
            let roles = roles
                .into_iter()
                .flatten()
                .map(|(key, role)| (key.clone(), text(role)));
            message.key_roles = roles.collect();
        }
        class.message_by_name = class
            .messages
            .iter()
            .enumerate()
            .map(|(at, message)| (message.name.clone(), at))
            .collect();
        class
    }

    fn add_generated(&mut self, json: &Json) {
        let this = Type::Ref(self.name.clone());
        let mut messages = Vec::new();
        for name in &self.generated {
            let (kind, params) = match name.as_str() {
                "get_record" => (Kind::GetRecord, vec![("self", this.clone())]),
                "get_by_uuid" => (Kind::GetByUuid, vec![("uuid", Type::Str)]),
                "get_by_name_label" => (Kind::GetByNameLabel, vec![("label", Type::Str)]),
                "get_all" => (Kind::GetAll, vec![]),
                "get_all_where" => (Kind::GetAllWhere, vec![("expr", Type::Str)]),
                "get_all_records" => (Kind::GetAllRecords, vec![]),
                _ => (Kind::GetAllRecordsWhere, vec![("expr", Type::Str)]),
            };
            messages.push(Message::generated(name.clone(), kind, params));
        }
        if self.in_database || self.name == "message" {
            for (at, field) in self
                .fields
                .iter()
                .enumerate()
                .filter(|(_, field)| !field.internal)
            {
                let params = vec![("self", this.clone())];
                messages.push(Message::generated(
                    format!("get_{}", field.name),
                    Kind::Getter(at),
                    params,
                ));
            }
        }
        for name in texts(&json["setters"]) {
            if let Some(at) = self.field(&name) {
                let params = vec![("self", this.clone()), ("value", self.fields[at].ty.clone())];
                messages.push(Message::generated(
                    format!("set_{name}"),
                    Kind::Setter(at),
                    params,
                ));
            }
        }
        for (list, to, plain) in [
            ("adders", "add_to_", "add_"),
            ("removers", "remove_from_", "remove_"),
        ] {
            for name in texts(&json[list]) {
                let field = name.strip_prefix(to).or_else(|| name.strip_prefix(plain));
                let Some(at) = field.and_then(|field| self.field(field)) else {
                    continue;
                };
                let (kind, params) = match (&self.fields[at].ty, list) {
                    (Type::Map(key, value), "adders") => (
                        Kind::Adder(at),
                        vec![
                            ("self", this.clone()),
                            ("key", *key.clone()),
                            ("value", *value.clone()),
                        ],
                    ),
                    (Type::Map(key, _), _) => (
                        Kind::Remover(at),
                        vec![("self", this.clone()), ("key", *key.clone())],
                    ),
                    (Type::Set(item), "adders") => (
                        Kind::Adder(at),
                        vec![("self", this.clone()), ("value", *item.clone())],
                    ),
                    (Type::Set(item), _) => (
                        Kind::Remover(at),
                        vec![("self", this.clone()), ("value", *item.clone())],
                    ),
                    _ => continue,
                };
                messages.push(Message::generated(name, kind, params));
            }
        }
        // Handwritten messages win over generated ones of the same name.
        messages.retain(|message| !self.messages.iter().any(|own| own.name == message.name));
        self.messages.append(&mut messages);
    }
}

impl Field {
    fn parse(json: &Json) -> Field {
        let ty = Type::parse(json[1].as_str().unwrap_or_default());
        Field {
            name: text(&json[0]),
            default: json.get(4).and_then(|default| ty.read(default)),
            qualifier: match json[2].as_str() {
                Some("RW") => Qualifier::ReadWrite,
                Some("StaticRO") => Qualifier::Static,
                _ => Qualifier::ReadOnly,
            },
            internal: json[3] == 1,
            ty,
            forward: None,
            reverse: None,
        }
    }

    /// What a new row holds when nobody says otherwise.
    pub fn initial(&self) -> Value {
        let first = |name: &String| {
            model()
                .enums
                .get(name)?
                .first()
                .map(|member| Value::from(&**member))
        };
        let member = match &self.ty {
            Type::Enum(name) => first(name),
            _ => None,
        };
        self.default.clone().or(member).unwrap_or_else(|| self.ty.zero())
    }
}

impl Message {
    fn parse(json: &Json) -> Message {
        let mut params: Vec<Param> = list(&json[2])
            .iter()
            .map(|param| {
                let ty = Type::parse(param[1].as_str().unwrap_or_default());
                let default = param
                    .get(2)
                    .map(|default| ty.read(default).unwrap_or_else(|| ty.zero()));
                Param {
                    name: text(&param[0]),
                    ty,
                    default,
                }
            })
            .collect();
        let needs_session = params.first().is_some_and(|param| param.name == "session_id");
        if needs_session {
            params.remove(0);
        }
        Message {
            name: text(&json[0]),
            kind: match json[1].as_str() {
                Some("create") => Kind::Create,
                Some("destroy") => Kind::Destroy,
                _ => Kind::Custom,
            },
            params,
            needs_session,
            is_async: json[4] == 1,
            min_role: text(&json[5]),
            key_roles: Vec::new(),
            state: match json[6].as_str() {
                Some("internal") => State::Internal,
                Some("removed") => State::Removed,
                _ => State::Open,
            },
        }
    }

    fn generated(name: String, kind: Kind, params: Vec<(&str, Type)>) -> Message {
        Message {
            name,
            kind,
            params: params
                .into_iter()
                .map(|(name, ty)| Param {
                    name: name.to_owned(),
                    ty,
                    default: None,
                })
                .collect(),
            needs_session: true,
            is_async: false,
            min_role: "read-only".to_owned(),
            key_roles: Vec::new(),
            state: State::Open,
        }
    }

    /// Parameters that a caller cannot leave out, without the session.
    pub fn required(&self) -> usize {
        self.params.iter().filter(|param| param.default.is_none()).count()
    }
}

impl Type {
    /// Prefix notation: `set ref VM`, `map string enum vm_operations`.
    pub fn parse(text: &str) -> Type {
        Type::from_tokens(&mut text.split(' '))
    }

    fn from_tokens<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Type {
        let mut name = || tokens.next().unwrap_or_default().to_owned();
        match name().as_str() {
            "string" => Type::Str,
            "int" => Type::Int,
            "float" => Type::Float,
            "bool" => Type::Bool,
            "datetime" => Type::Date,
            "enum" => Type::Enum(name()),
            "ref" => Type::Ref(name()),
            "record" => Type::Record(name()),
            "set" => Type::Set(Box::new(Type::from_tokens(tokens))),
            "map" => {
                let key = Type::from_tokens(tokens);
                Type::Map(Box::new(key), Box::new(Type::from_tokens(tokens)))
            }
            "option" => Type::Option(Box::new(Type::from_tokens(tokens))),
            _ => Type::Void,
        }
    }

    pub fn zero(&self) -> Value {
        match self {
            Type::Str | Type::Enum(_) | Type::Void => Value::void(),
            Type::Int => Value::Int(0),
            Type::Float => Value::Float(0.0),
            Type::Bool => Value::Bool(false),
            Type::Date => Value::Date(0),
            Type::Ref(_) => Value::null(),
            Type::Set(_) | Type::Option(_) => Value::Set(Vec::new()),
            Type::Map(..) | Type::Record(_) => Value::empty_map(),
        }
    }

    /// A default of the data file.
    fn read(&self, json: &Json) -> Option<Value> {
        Some(match (self, json) {
            (Type::Int, json) => Value::Int(json.as_i64()?),
            (Type::Float, json) => Value::Float(json.as_f64()?),
            (Type::Bool, json) => Value::Bool(json.as_bool()?),
            (Type::Date, json) => Value::Date(clock::parse(json.as_str()?)?),
            (Type::Ref(_), json) if json.as_str().is_none_or(str::is_empty) => Value::from(NULL_REF),
            (Type::Str | Type::Enum(_) | Type::Ref(_), json) => Value::from(json.as_str()?),
            (Type::Set(item), Json::Array(items)) => {
                Value::Set(items.iter().filter_map(|json| item.read(json)).collect())
            }
            (Type::Map(_, value), Json::Object(entries)) => Value::Map(
                entries
                    .iter()
                    .filter_map(|(k, v)| Some((k.as_str().into(), value.read(v)?)))
                    .collect(),
            ),
            _ => return None,
        })
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn texts(json: &Json) -> Vec<String> {
    list(json).iter().map(text).collect()
}

#[cfg(test)]
mod tests;
