//! Errors of the API as people read them, beside the field that they concern.

use super::visit::{Fields, Wrong};
use ::app::{
    pages::admin::Entered,
    rpc::{ErrorCode, RpcError},
};
use axum::http::StatusCode;
use serde_json::Value;

pub fn internal(message: &str) -> RpcError {
    RpcError::new(ErrorCode::GENERIC, message)
}

pub fn status(error: &RpcError) -> StatusCode {
    match ErrorCode(error.code) {
        ErrorCode::INVALID_PARAMETERS => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::NO_SUCH_OBJECT => StatusCode::NOT_FOUND,
        ErrorCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        ErrorCode::INVALID_CREDENTIALS => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::OBJECT_ALREADY_EXISTS
        | ErrorCode::FORBIDDEN_OPERATION
        | ErrorCode::INCORRECT_STATE
        | ErrorCode::OPERATION_FAILED => StatusCode::CONFLICT,
        ErrorCode::SERVER_UNREACHABLE | ErrorCode::AUTHENTICATION_FAILED => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let rest = letters.as_str().trim_end_matches('.');
    format!("{}{rest}.", first.unwrap_or_default())
}

pub fn words(error: &RpcError) -> String {
    let data = error.data.as_ref();
    match ErrorCode(error.code) {
        ErrorCode::UNAUTHORIZED => "You are not allowed to do this.".to_owned(),
        ErrorCode::NO_SUCH_OBJECT => "What this is about does not exist any more.".to_owned(),
        ErrorCode::FORBIDDEN_OPERATION => {
            let reason = data.and_then(|data| data["reason"].as_str());
            sentence(reason.unwrap_or(&error.message))
        }
        ErrorCode::INCORRECT_STATE => {
            "It is not in the state that this needs; it may have changed.".to_owned()
        }
        ErrorCode::ALTERED_AUDIT_RECORD | ErrorCode::MISSING_AUDIT_RECORD => {
            let id = data.and_then(|data| data["id"].as_str()).unwrap_or_default();
            let what = if error.code == ErrorCode::ALTERED_AUDIT_RECORD.0 {
                "was altered"
            } else {
                "is missing"
            };
            format!("The log is not whole: the record {id} {what}.")
        }
        _ => sentence(&error.message),
    }
}

/// What one of `data.errors` says.
fn field_words(error: &Value) -> String {
    let limit = error["params"]["limit"].as_u64().unwrap_or_default();
    match error["keyword"].as_str() {
        Some("minLength" | "required") => "This is needed.".to_owned(),
        Some("maxLength") => format!("At most {limit} characters."),
        Some("enum") => "This is not one of the choices.".to_owned(),
        _ => sentence(error["message"].as_str().unwrap_or("this is not right")),
    }
}

impl Wrong {
    /// One field is wrong, and everything else stays as it was typed.
    pub fn field(form: &Fields, name: &str, words: &str) -> Self {
        Self::of_fields(form, vec![(name.to_owned(), words.to_owned())])
    }

    fn of_fields(form: &Fields, errors: Vec<(String, String)>) -> Self {
        let is_secret = |name: &str| name.to_lowercase().contains("password") || name == "again";
        let typed = form.0.iter().filter(|(name, _)| !is_secret(name)).cloned();
        Self {
            entered: Entered {
                form: form.get("form").to_owned(),
                errors,
                typed: typed.collect(),
            },
            notice: Some("Nothing was changed: see what is marked below.".to_owned()),
            status: StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// What came of a call with what was entered. `blamed`: the field that errors without one concern, by code.
    pub fn of(error: &RpcError, form: &Fields, blamed: &[(ErrorCode, &str)]) -> Self {
        let mut errors: Vec<(String, String)> = Vec::new();
        let told = error.data.as_ref().and_then(|data| data["errors"].as_array());
        for told in told.into_iter().flatten() {
            let path = told["instancePath"].as_str().unwrap_or_default();
            let name = match path.trim_start_matches('/').split('/').next() {
                Some("") | None => told["params"]["missingProperty"].as_str().unwrap_or_default(),
                Some(name) => name,
            };
            if form.0.iter().any(|(known, _)| known == name) {
                errors.push((name.to_owned(), field_words(told)));
            }
        }
        if let Some((_, name)) = blamed.iter().find(|(code, _)| code.0 == error.code) {
            errors.push(((*name).to_owned(), words(error)));
        }
        let general = errors.is_empty();
        let mut wrong = Self::of_fields(form, errors);
        wrong.status = status(error);
        if general {
            wrong.notice = Some(words(error));
        }
        wrong
    }
}
