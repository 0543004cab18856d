//! Typing of parameters: counts, defaults and the conversions that XAPI accepts.

use crate::clock;
use crate::fault::Fault;
use crate::model::{Class, Message, Type};
use crate::value::Value;

pub fn count_mismatch(class: &Class, message: &Message, received: usize) -> Fault {
    let name = format!("{}.{}", class.name, message.name);
    Fault::new(
        "MESSAGE_PARAMETER_COUNT_MISMATCH",
        [name, message.required().to_string(), received.to_string()],
    )
}

/// The parameters of a call in the model's types, trailing defaults filled in. The session is not among them.
pub fn typed(class: &Class, message: &Message, given: Vec<Value>) -> Result<Vec<Value>, Fault> {
    let received = given.len();
    if received < message.required() || received > message.params.len() {
        return Err(count_mismatch(class, message, received));
    }
    let mut given = given.into_iter();
    let mut typed = Vec::with_capacity(message.params.len());
    for param in &message.params {
        typed.push(match (given.next(), &param.default) {
            (Some(value), _) => convert(value, &param.ty)?,
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(count_mismatch(class, message, received)),
        });
    }
    Ok(typed)
}

/// A value from the wire in the type asked for. Integers come as numbers or decimal text, booleans only as such.
pub fn convert(value: Value, ty: &Type) -> Result<Value, Fault> {
    let wrong = |value: &Value| {
        Err(Fault::internal(format!(
            "Rpc.Runtime_error: expected {ty:?}, got {}",
            value.marshalled()
        )))
    };
    Ok(match (ty, value) {
        (Type::Int, Value::Str(text)) => match text.trim().parse() {
            Ok(number) => Value::Int(number),
            Err(_) => return wrong(&Value::Str(text)),
        },
        (Type::Int, value @ Value::Int(_)) => value,
        (Type::Float, Value::Int(number)) => Value::Float(number as f64),
        (Type::Float, value @ Value::Float(_)) => value,
        (Type::Float, Value::Str(text)) => match text.trim().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => return wrong(&Value::Str(text)),
        },
        (Type::Bool, value @ Value::Bool(_)) => value,
        (Type::Date, value @ Value::Date(_)) => value,
        (Type::Date, Value::Str(text)) => match clock::parse(&text) {
            Some(at) => Value::Date(at),
            None => return Err(Fault::new("INVALID_VALUE", [text.to_string()])),
        },
        (Type::Str | Type::Ref(_) | Type::Void, value @ Value::Str(_)) => value,
        (Type::Void, Value::Nil) => Value::void(),
        (Type::Enum(name), Value::Str(text)) => {
            let known = crate::model::model().enums.get(name);
            if known.is_some_and(|members| !members.iter().any(|member| **member == *text)) {
                return Err(Fault::internal(format!(
                    "unknown enum value '{text}' for type {name}"
                )));
            }
            Value::Str(text)
        }
        (Type::Set(item), Value::Set(items)) => Value::Set(
            items
                .into_iter()
                .map(|value| convert(value, item))
                .collect::<Result<_, _>>()?,
        ),
        (Type::Map(_, item), Value::Map(entries)) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Ok((key, convert(value, item)?)))
                .collect::<Result<_, Fault>>()?,
        ),
        (Type::Record(_), value @ Value::Map(_)) => value,
        (Type::Option(item), Value::Set(items)) => Value::Set(
            items
                .into_iter()
                .map(|value| convert(value, item))
                .collect::<Result<_, _>>()?,
        ),
        (_, value) => return wrong(&value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_text() {
        for ty in [Type::Str, Type::Ref("VM".into()), Type::Int, Type::Bool] {
            let fault = convert(Value::Nil, &ty).expect_err("refused");
            assert_eq!(fault.code, "INTERNAL_ERROR", "{ty:?}");
        }
        assert_eq!(convert(Value::Nil, &Type::Void), Ok(Value::void()));
    }

    #[test]
    fn numbers_may_be_text_but_booleans_and_strings_may_not_be_numbers() {
        assert_eq!(convert(Value::from("42"), &Type::Int), Ok(Value::Int(42)));
        assert_eq!(convert(Value::Int(1), &Type::Float), Ok(Value::Float(1.0)));
        assert_eq!(
            convert(Value::from("true"), &Type::Bool).map_err(|f| f.code),
            Err("INTERNAL_ERROR".into())
        );
        assert_eq!(
            convert(Value::Int(1), &Type::Str).map_err(|f| f.code),
            Err("INTERNAL_ERROR".into())
        );
    }

    #[test]
    fn counts_leave_out_parameters_with_defaults() {
        let class = crate::db::class("session");
        let login = class.message("login_with_password").expect("login");
        let given = |count: usize| vec![Value::from("x"); count];
        assert_eq!(typed(class, login, given(2)).map(|params| params.len()), Ok(4));
        let fault = typed(class, login, given(1)).expect_err("too few");
        assert_eq!(
            fault.description(),
            [
                "MESSAGE_PARAMETER_COUNT_MISMATCH",
                "session.login_with_password",
                "2",
                "1"
            ]
        );
        assert!(typed(class, login, given(5)).is_err());
    }
}
