//! Operations that are only changes of records: constructors, destructors, and hand-declared setters and adders
//! that have no rule of their own here.

use super::{Outcome, void};
use crate::fault::Fault;
use crate::model::{Class, Message, Qualifier, Type};
use crate::rpc::Call;
use crate::rpc::params::convert;
use crate::value::Value;

/// Unknown members are ignored; a missing one without a default is an error; read-only fields are not read.
pub fn create(call: &Call, class: &'static Class, record: &Value) -> Result<Value, Fault> {
    let mut values = Vec::with_capacity(class.fields.len());
    for field in &class.fields {
        let given = record
            .entry(&field.name)
            .filter(|_| field.qualifier != Qualifier::ReadOnly);
        values.push(match given {
            Some(value) => convert(value.clone(), &field.ty)?,
            None if field.qualifier == Qualifier::ReadOnly || field.default.is_some() => field.initial(),
            None => {
                return Err(Fault::internal(format!(
                    "Missing field {} in the record",
                    field.name
                )));
            }
        });
    }
    let created = call.write(|db| {
        let reference = db.seed.reference();
        db.insert(class, &reference, values)
    });
    Ok(Value::from(&*created))
}

pub fn destroy(call: &Call, class: &'static Class, reference: &str) -> Result<Value, Fault> {
    call.write(|db| {
        db.row(class, reference)?;
        db.destroy(&class.name, reference);
        Ok(Value::void())
    })
}

/// `set_x(self, value)`, `add_to_x(self, key, value)`, `remove_from_x(self, key)` for a field x of the right type.
pub fn plain(call: &Call, class: &'static Class, message: &Message, p: &[Value]) -> Outcome {
    let Some((action, at)) = plain_field(class, message) else {
        return Ok(None);
    };
    let this = p[0].str();
    let field = &class.fields[at];
    call.write(|db| {
        let old = db.row(class, this)?.at(at);
        let new = match (action, old) {
            (Action::Set, _) => p[1].clone(),
            (Action::Add, Value::Map(_)) if old.entry(p[1].str()).is_some() => {
                return Err(Fault::new(
                    "MAP_DUPLICATE_KEY",
                    [&class.name, &field.name, this, p[1].str()],
                ));
            }
            (Action::Add, Value::Map(_)) => old.with(p[1].str(), p.get(2).cloned()),
            (Action::Remove, Value::Map(_)) => old.with(p[1].str(), None),
            (Action::Add, _) => {
                let mut items = old.set().to_vec();
                if !items.contains(&p[1]) {
                    items.push(p[1].clone());
                }
                Value::Set(items)
            }
            (Action::Remove, _) => {
                Value::Set(old.set().iter().filter(|item| **item != p[1]).cloned().collect())
            }
        };
        db.set_at(class, this, at, new);
        super::after_write(db, class, this, at);
        void()
    })
}

pub fn is_plain(class: &Class, message: &Message) -> bool {
    plain_field(class, message).is_some()
}

#[derive(Clone, Copy)]
enum Action {
    Set,
    Add,
    Remove,
}

fn plain_field(class: &Class, message: &Message) -> Option<(Action, usize)> {
    let name = message.name.as_str();
    let named = |prefix: &str| name.strip_prefix(prefix).and_then(|field| class.field(field));
    let (action, at) = None
        .or_else(|| named("set_").map(|at| (Action::Set, at)))
        .or_else(|| named("add_to_").map(|at| (Action::Add, at)))
        .or_else(|| named("remove_from_").map(|at| (Action::Remove, at)))
        .or_else(|| named("add_").map(|at| (Action::Add, at)))
        .or_else(|| named("remove_").map(|at| (Action::Remove, at)))?;
    let of_this = message
        .params
        .first()
        .is_some_and(|param| param.ty == Type::Ref(class.name.clone()));
    let ty = &class.fields[at].ty;
    let fits = match (action, ty) {
        (Action::Set, _) => message.params.len() == 2 && message.params[1].ty == *ty,
        (Action::Add, Type::Map(..)) => message.params.len() == 3,
        (_, Type::Map(..) | Type::Set(_)) => message.params.len() == 2,
        _ => false,
    };
    (of_this && fits).then_some((action, at))
}
