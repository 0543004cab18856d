//! The audit log.

use super::{Entered, parts::*};
use crate::routes;
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Record {
    pub id: String,
    pub time: i64,
    /// In words.
    pub event: String,
    pub user: String,
    pub address: String,
    pub failed: Option<String>,
    /// Params and the rest, as JSON.
    pub details: String,
}

#[derive(Clone, Debug, Default)]
pub struct AuditLog {
    pub records: Vec<Record>,
    /// The page with older records.
    pub older: Option<String>,
    /// A page that does not begin with the newest.
    pub is_past: bool,
    /// The fields of the filter are in it; the form is `filter`.
    pub entered: Entered,
}

pub const EVENTS: [(&str, &str); 4] = [
    ("", "Everything"),
    ("apiCall", "Calls"),
    ("signIn", "Sign-ins"),
    ("signInFailed", "Failed sign-ins"),
];

#[component]
pub fn AuditPage(log: AuditLog) -> impl IntoView {
    let AuditLog {
        records,
        older,
        is_past,
        entered,
    } = log;
    let rows: Vec<_> = records.iter().map(row).collect();
    let text = |name, label| Field {
        form: "filter",
        name,
        label,
        optional: true,
        ..Field::default()
    };
    view! {
        <header class="list-head">
            <h1>"Audit log"</h1>
            <p class="list-head__count">"Every sign-in and every change, newest first"</p>
            <form method="post" action=routes::ADMIN_AUDIT class="list-head__form">
                {hidden("verify", &[])}
                <button type="submit" class="button">"Verify the log"</button>
            </form>
        </header>
        <form method="get" action=routes::ADMIN_AUDIT class="form form--columns card" role="search" aria-label="Filter the log">
            {field(&entered, text("user", "User"))}
            {field(&entered, Field { hint: "For instance vm.stop", ..text("method", "Method") })}
            {choice(&entered, "filter", "event", "Event", "", &EVENTS)}
            {field(&entered, Field { kind: "datetime-local", ..text("after", "From (UTC)") })}
            {field(&entered, Field { kind: "datetime-local", ..text("before", "Until (UTC)") })}
            <div class="form__buttons">
                <button type="submit" class="button button--primary">"Filter"</button>
                <a class="button" href=routes::ADMIN_AUDIT>"Show all"</a>
            </div>
        </form>
        {if rows.is_empty() {
            view! { <p class="empty">"No record."</p> }.into_any()
        } else {
            view! {
                <div class="plain-table card" role="region" aria-label="Records" tabindex="0">
                    <table>
                        <thead>
                            <tr>
                                <th scope="col">"When"</th>
                                <th scope="col">"Who"</th>
                                <th scope="col">"From"</th>
                                <th scope="col">"What"</th>
                                <th scope="col">"Outcome"</th>
                                <th scope="col">"Details"</th>
                            </tr>
                        </thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            }
                .into_any()
        }}
        <nav class="pager" aria-label="Parts of the log">
            {is_past.then(|| view! { <a class="button" href=routes::ADMIN_AUDIT>"Newest"</a> })}
            {older.map(|path| view! { <a class="button" href=path>"Older"</a> })}
        </nav>
    }
}

fn row(record: &Record) -> impl IntoView + use<> {
    let Record {
        id,
        time: at,
        event,
        user,
        address,
        failed,
        details,
    } = record.clone();
    view! {
        <tr>
            <td>{time(at)}</td>
            <td class="name">{user}</td>
            <td>{address}</td>
            <td>{event}</td>
            <td>
                {match failed {
                    Some(reason) => view! { <span class="bad">{reason}</span> }.into_any(),
                    None => view! { "done" }.into_any(),
                }}
            </td>
            <td>
                <details>
                    <summary class="link">"Show"</summary>
                    <pre class="details">{details}</pre>
                    <p class="muted">"Id " <code>{id}</code></p>
                </details>
            </td>
        </tr>
    }
}
