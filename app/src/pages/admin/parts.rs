//! What the pages are made of: fields, questions, lists in parts, times.

use super::{Entered, Named, Part};
use crate::ui::format;
use leptos::prelude::*;

/// A field of a form.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub form: &'static str,
    pub name: &'static str,
    pub label: &'static str,
    /// Of the `input`; a text when empty.
    pub kind: &'static str,
    pub value: String,
    pub hint: &'static str,
    pub autocomplete: &'static str,
    pub optional: bool,
    /// Id of a list of suggestions.
    pub list: Option<&'static str>,
}

pub fn field(entered: &Entered, field: Field) -> impl IntoView + use<> {
    let id = format!("{}-{}", field.form, field.name);
    let (error_id, hint_id) = (format!("{id}-error"), format!("{id}-hint"));
    let error = entered.error(field.form, field.name).map(str::to_owned);
    let value = match entered.typed(field.form, field.name) {
        Some(typed) => typed.to_owned(),
        None => field.value,
    };
    let described = match (&error, field.hint) {
        (Some(_), _) => Some(error_id.clone()),
        (None, "") => None,
        (None, _) => Some(hint_id.clone()),
    };
    let secret = field.kind == "password";
    let autocomplete = if field.autocomplete.is_empty() {
        "off"
    } else {
        field.autocomplete
    };
    view! {
        <div class="field">
            <label for=id.clone()>{field.label}{field.optional.then(|| view! { <span class="muted">" (optional)"</span> })}</label>
            <input
                id=id
                class="input"
                name=field.name
                type=if field.kind.is_empty() { "text" } else { field.kind }
                value=(!secret).then_some(value)
                required=!field.optional
                autocomplete=autocomplete
                autocapitalize="none"
                spellcheck="false"
                list=field.list
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=described
                autofocus=error.is_some()
            />
            {match error {
                Some(error) => view! { <p id=error_id class="field__error">{error}</p> }.into_any(),
                None if !field.hint.is_empty() => view! { <p id=hint_id class="field__hint">{field.hint}</p> }.into_any(),
                None => ().into_any(),
            }}
        </div>
    }
}

/// One of several values, with their words.
pub fn choice(
    entered: &Entered,
    form: &'static str,
    name: &'static str,
    label: &'static str,
    chosen: &str,
    options: &[(&str, &str)],
) -> impl IntoView + use<> {
    let id = format!("{form}-{name}");
    let error_id = format!("{id}-error");
    let error = entered.error(form, name).map(str::to_owned);
    let chosen = entered.typed(form, name).unwrap_or(chosen).to_owned();
    let options = options.iter().map(|(value, words)| {
        let (value, words) = ((*value).to_owned(), (*words).to_owned());
        let selected = value == chosen;
        view! { <option value=value selected=selected>{words}</option> }
    });
    let options = options.collect_view();
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <select
                id=id
                class="input"
                name=name
                aria-invalid=error.is_some().then_some("true")
                aria-describedby=error.is_some().then(|| error_id.clone())
            >
                {options}
            </select>
            {error.map(|error| view! { <p id=error_id class="field__error">{error}</p> })}
        </div>
    }
}

/// Which form this is, and values that the user does not enter.
pub fn hidden(form: &'static str, values: &[(&'static str, &str)]) -> impl IntoView + use<> {
    let values = values.iter().map(|(name, value)| {
        let value = (*value).to_owned();
        view! { <input type="hidden" name=*name value=value /> }
    });
    let values = values.collect_view();
    view! {
        <input type="hidden" name="form" value=form />
        {values}
    }
}

/// A change that is asked about first, without a script.
pub struct Question<'a> {
    pub path: &'a str,
    pub form: &'static str,
    pub values: &'a [(&'static str, &'a str)],
    /// On the button that asks.
    pub label: &'static str,
    /// What it is about, for those who only hear the button.
    pub what: &'a str,
    pub consequence: &'a str,
    pub verb: &'static str,
}

pub fn ask(question: Question<'_>) -> impl IntoView + use<> {
    let values = hidden(question.form, question.values);
    let path = question.path.to_owned();
    let consequence = question.consequence.to_owned();
    let name = format!("{} {}", question.label, question.what);
    view! {
        <details class="ask">
            <summary class="button" aria-label=name>{question.label}</summary>
            <form method="post" action=path class="ask__panel">
                {values}
                <p>{consequence}</p>
                <button type="submit" class="button button--danger">{question.verb}</button>
            </form>
        </details>
    }
}

/// `2026-11-22 20:47:05 UTC`; a script shows it where the user is.
pub fn time(ms: i64) -> impl IntoView {
    let text = format::absolute(ms as f64);
    let machine = text.trim_end_matches(" UTC").replace(' ', "T") + "Z";
    view! { <time datetime=machine data-local="">{text}</time> }
}

pub fn named(named: &Named) -> impl IntoView + use<> {
    let Named { name, kind, path, .. } = named.clone();
    let name = if path.is_empty() {
        view! { <span>{name}</span> }.into_any()
    } else {
        view! { <a class="link" href=path>{name}</a> }.into_any()
    };
    view! {
        {name}
        {(!kind.is_empty()).then(|| view! { " " <span class="muted">{kind}</span> })}
    }
}

/// The filter of a list: works by itself, and as one types with a script.
pub fn filter<T>(part: &Part<T>, label: &'static str) -> impl IntoView + use<T> {
    let (path, filter) = (part.path.clone(), part.filter.clone());
    view! {
        <form method="get" action=path class="filter" role="search" data-filter="">
            <div class="filter__box">
                <input class="filter__input" type="search" name="q" value=filter aria-label=label placeholder=label autocomplete="off" />
            </div>
            <button type="submit" class="button">"Filter"</button>
        </form>
    }
}

/// How many there are, and the way to the others.
pub fn pager<T>(part: &Part<T>, noun: &str) -> impl IntoView + use<T> {
    let (from, shown, total) = (part.from, part.shown.len(), part.total);
    let words = if shown == total {
        format::plural(total, noun)
    } else {
        let (first, last) = (format::count(from + 1), format::count(from + shown));
        format!("{first} to {last} of {}", format::plural(total, noun))
    };
    let query = if part.filter.is_empty() {
        String::new()
    } else {
        format!("&q={}", crate::routes::encoded(&part.filter))
    };
    let joint = if part.path.contains('?') { '&' } else { '?' };
    let to = |from: usize| format!("{}{joint}from={from}{query}", part.path);
    let back = (from > 0).then(|| to(from.saturating_sub(PART)));
    let on = (from + shown < total).then(|| to(from + shown));
    view! {
        <nav class="pager" aria-label="Parts of the list">
            <span class="muted" role="status">{words}</span>
            {back.map(|path| view! { <a class="button" href=path>"Before"</a> })}
            {on.map(|path| view! { <a class="button" href=path>"More"</a> })}
        </nav>
    }
}

/// Entries in one part of a list.
pub const PART: usize = 100;

/// The name of an action of a right, as people say it.
pub fn role(action: &str) -> String {
    match action {
        "viewer" => "Viewer: may see it".to_owned(),
        "operator" => "Operator: may see and operate it".to_owned(),
        "admin" => "Admin: may do everything with it".to_owned(),
        "view" => "may see it".to_owned(),
        "operate" => "may operate it".to_owned(),
        "administrate" => "may administrate it".to_owned(),
        other => other.to_owned(),
    }
}

/// The roles that a form offers.
pub const ROLES: [(&str, &str); 3] = [
    ("viewer", "Viewer: may see it"),
    ("operator", "Operator: may see and operate it"),
    ("admin", "Admin: may do everything with it"),
];

/// What a field offers while one types in it.
pub fn suggestions(id: &'static str, values: &[String]) -> impl IntoView + use<> {
    let options: Vec<_> = values
        .iter()
        .map(|value| {
            let value = value.clone();
            view! { <option value=value></option> }
        })
        .collect();
    view! { <datalist id=id>{options}</datalist> }
}
