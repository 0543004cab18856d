//! The methods: name, params, who may call, which objects its params name, and what runs.

use super::{connection::Connection, error::Failure, schema::Params};
pub use crate::access::Right;
use crate::{app::App, inventory::Object, persist::records::UserRecord};
use app::{model::ObjectType, rpc::methods::User};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Anybody who can connect.
    Public,
    SignedIn,
    Admin,
}

/// A param that names an object, and what the caller must be allowed to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Resolve {
    pub param: &'static str,
    /// Empty: any type.
    pub types: &'static [ObjectType],
    pub right: Right,
}

/// A checked call.
pub struct Call {
    pub app: Arc<App>,
    pub connection: Arc<Connection>,
    /// The signed-in user; `None` only in public methods.
    pub user: Option<Caller>,
    pub params: Map<String, Value>,
    pub objects: FxHashMap<&'static str, Arc<Object>>,
}

#[derive(Clone)]
pub struct Caller {
    pub id: String,
    pub record: Arc<UserRecord>,
}

impl Caller {
    pub fn is_admin(&self) -> bool {
        self.record.permission == "admin"
    }
}

impl Call {
    /// The object that a `resolve` of the method found.
    pub fn object(&self, param: &'static str) -> Result<&Arc<Object>, Failure> {
        self.objects
            .get(param)
            .ok_or_else(|| Failure::internal(format!("{param} was not resolved")))
    }

    pub fn text(&self, param: &str) -> Option<&str> {
        self.params.get(param).and_then(Value::as_str)
    }

    pub fn flag(&self, param: &str) -> bool {
        self.params.get(param).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn caller(&self) -> Result<&Caller, Failure> {
        self.user
            .as_ref()
            .ok_or_else(|| super::error::unauthorized(None, None).into())
    }

    pub fn public_user(&self, id: &str) -> Result<User, Failure> {
        self.app
            .accounts
            .public(id)
            .ok_or_else(|| super::error::no_such_object(id, "user").into())
    }
}

/// A result: a value, or JSON text that already exists, in pieces.
pub enum Outcome {
    Value(Value),
    Json(Vec<Bytes>),
}

impl Outcome {
    /// Any serialisable result.
    pub fn of(result: impl serde::Serialize) -> Result<Outcome, Failure> {
        let value = serde_json::to_value(result).map_err(|error| Failure::internal(error.to_string()))?;
        Ok(Outcome::Value(value))
    }

    /// What `undefined` of today's product becomes.
    pub fn done() -> Result<Outcome, Failure> {
        Ok(Outcome::Value(Value::Bool(true)))
    }
}

pub type Answer = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// A method.
pub struct Method {
    pub name: &'static str,
    pub description: &'static str,
    pub permission: Permission,
    /// `None`: takes anything.
    pub params: Option<Params>,
    pub resolve: &'static [Resolve],
    /// Only answers, and changes nothing: such calls are not in the audit log.
    pub reads: bool,
    pub run: Box<dyn Fn(Call) -> Answer + Send + Sync>,
}

impl Method {
    pub fn new<F>(
        name: &'static str,
        permission: Permission,
        description: &'static str,
        run: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
    {
        let run = Box::new(move |call| Box::pin(run(call)) as Answer);
        Self {
            name,
            description,
            permission,
            params: None,
            resolve: &[],
            reads: false,
            run,
        }
    }

    pub fn params<const N: usize>(mut self, params: [(&str, super::schema::Schema); N]) -> Self {
        self.params = Some(Params::new(params));
        self
    }

    pub fn reads(mut self) -> Self {
        self.reads = true;
        self
    }

    pub fn resolve(mut self, resolve: &'static [Resolve]) -> Self {
        self.resolve = resolve;
        self
    }

    /// As `system.getMethodsInfo` shows it: no permission means "any signed-in user", null "anybody".
    pub fn describe(&self) -> Value {
        let mut info = json!({ "description": self.description });
        if let Some(params) = &self.params {
            info["params"] = params.describe();
        }
        match self.permission {
            Permission::Public => info["permission"] = Value::Null,
            Permission::SignedIn => {}
            Permission::Admin => info["permission"] = "admin".into(),
        }
        info
    }
}

/// All methods by name.
pub struct Registry {
    methods: BTreeMap<&'static str, Method>,
}

impl Registry {
    pub fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        Self {
            methods: methods.into_iter().map(|method| (method.name, method)).collect(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.methods.values()
    }
}
