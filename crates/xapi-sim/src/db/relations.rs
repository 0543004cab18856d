//! The other ends of relations: what follows when a reference is written.

use super::Db;
use crate::model::{End, Type, model};
use crate::value::{NULL_REF, Value};

impl Db {
    pub(super) fn link(&mut self, end: End, target: &str, from: &str) {
        if let Some(row) = self.tables[end.class].rows.get_mut(target)
            && let Value::Set(items) = &mut row.fields[end.field]
        {
            // Only the writable ends of a many-to-many relation can already hold it; they are short.
            if is_many_to_many(end) && items.iter().any(|item| item.str() == from) {
                return;
            }
            items.push(Value::from(from));
            self.touch(end.class, target);
        }
    }

    pub(super) fn unlink(&mut self, end: End, target: &str, from: &str) {
        if let Some(row) = self.tables[end.class].rows.get_mut(target) {
            let changed = match &mut row.fields[end.field] {
                Value::Set(items) => match items.iter().position(|item| item.str() == from) {
                    Some(at) => {
                        items.remove(at);
                        true
                    }
                    None => false,
                },
                Value::Str(text) if &**text == from => {
                    *text = NULL_REF.into();
                    true
                }
                _ => false,
            };
            if changed {
                self.touch(end.class, target);
            }
        }
    }
}

pub fn is_set(end: End) -> bool {
    matches!(model().classes[end.class].fields[end.field].ty, Type::Set(_))
}

fn is_many_to_many(end: End) -> bool {
    let field = &model().classes[end.class].fields[end.field];
    field.forward.or(field.reverse).is_some_and(is_set) && is_set(end)
}

/// The references that a forward field holds.
pub fn targets(value: &Value) -> &[Value] {
    match value {
        Value::Set(items) => items,
        Value::Str(text) if !text.is_empty() && &**text != NULL_REF => std::slice::from_ref(value),
        _ => &[],
    }
}
