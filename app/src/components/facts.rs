//! Cards of labelled facts, and how to read a full object's properties.

use crate::ui::icon::{Glyph, Icon};
use leptos::prelude::*;
use serde_json::Value;

#[component]
pub fn Card(#[prop(into)] title: String, children: Children) -> impl IntoView {
    view! {
        <section class="card">
            <h2>{title}</h2>
            {children()}
        </section>
    }
}

#[component]
pub fn Fact(#[prop(into)] label: String, children: Children) -> impl IntoView {
    view! {
        <div class="fact">
            <dt>{label}</dt>
            <dd>{children()}</dd>
        </div>
    }
}

/// A text that people copy: ids and addresses.
#[component]
pub fn Copyable(#[prop(into)] text: String) -> impl IntoView {
    let copied = RwSignal::new(false);
    let value = text.clone();
    view! {
        <span class="copyable">
            <code>{text}</code>
            <button
                type="button"
                class="icon-button icon-button--small"
                aria-label="Copy"
                data-tip="Copy"
                on:click=move |_| {
                    let _ = window().navigator().clipboard().write_text(&value);
                    copied.set(true);
                    set_timeout(
                        move || {
                            copied.try_set(false);
                        },
                        std::time::Duration::from_secs(2),
                    );
                }
            >
                {move || view! { <Glyph icon=if copied.get() { Icon::Check } else { Icon::Copy } /> }}
            </button>
        </span>
    }
}

/// The text at a path such as `memory.size`; absent, `null` and other types are empty.
pub fn text(value: &Value, path: &str) -> String {
    match at(value, path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

pub fn number(value: &Value, path: &str) -> Option<f64> {
    at(value, path).and_then(Value::as_f64)
}

pub fn flag(value: &Value, path: &str) -> Option<bool> {
    at(value, path).and_then(Value::as_bool)
}

pub fn ids(value: &Value, path: &str) -> Vec<String> {
    at(value, path)
        .and_then(Value::as_array)
        .map(|all| {
            all.iter()
                .filter_map(Value::as_str)
                .map(ToOwned::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}
