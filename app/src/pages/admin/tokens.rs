//! Tokens: everybody's for administrators, one's own on the account page.

use super::{Named, Part, parts::*};
use crate::routes;
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Token {
    pub id: String,
    pub owner: Named,
    pub description: String,
    pub created: i64,
    pub expires: i64,
    /// When it was used last, and from where.
    pub used: Option<(i64, String)>,
    /// It opened the session of who looks.
    pub here: bool,
}

#[component]
pub fn TokensPage(part: Part<Token>) -> impl IntoView {
    view! {
        <h1>"Tokens"</h1>
        <p>"Who has one of these is signed in without a password. Sessions of browsers are tokens, too. Their secrets are not kept."</p>
        {filter(&part, "Filter by user or description")}
        <div data-results="">
            <div class="card">{table(&part.shown, routes::ADMIN_TOKENS, true)}</div>
            {pager(&part, "token")}
        </div>
    }
}

pub fn table(tokens: &[Token], path: &str, owners: bool) -> impl IntoView + use<> {
    if tokens.is_empty() {
        return view! { <p class="muted">"No token."</p> }.into_any();
    }
    let rows: Vec<_> = tokens.iter().map(|token| row(token, path, owners)).collect();
    view! {
        <div class="plain-table" role="region" aria-label="Tokens" tabindex="0">
            <table>
                <thead>
                    <tr>
                        {owners.then(|| view! { <th scope="col">"User"</th> })}
                        <th scope="col">"Description"</th>
                        <th scope="col">"Created"</th>
                        <th scope="col">"Expires"</th>
                        <th scope="col">"Last used"</th>
                        <th scope="col">
                            <span class="unseen">"Actions"</span>
                        </th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(token: &Token, path: &str, owners: bool) -> impl IntoView + use<> {
    let description = if token.description.is_empty() {
        "no description".to_owned()
    } else {
        token.description.clone()
    };
    let consequence = if token.here {
        "This is the session that you are using: you will be signed out."
    } else {
        "Whoever uses it is signed out at once."
    };
    let question = ask(Question {
        path,
        form: "revoke",
        values: &[("token", &token.id)],
        label: "Revoke",
        what: &description,
        consequence,
        verb: "Revoke the token",
    });
    let here = token.here;
    view! {
        <tr>
            {owners.then(|| view! { <td class="name">{named(&token.owner)}</td> })}
            <td class="long">{description} {here.then(|| view! { <span class="note">"this session"</span> })}</td>
            <td>{time(token.created)}</td>
            <td>{time(token.expires)}</td>
            <td>
                {match &token.used {
                    Some((at, from)) => view! { {time(*at)} " from " {from.clone()} }.into_any(),
                    None => view! { "never" }.into_any(),
                }}
            </td>
            <td>{question}</td>
        </tr>
    }
}
