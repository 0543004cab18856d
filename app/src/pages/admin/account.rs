//! One's own account: password, one-time codes, tokens.

use super::{Entered, parts::*, tokens};
use crate::routes;
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Account {
    pub name: String,
    pub is_admin: bool,
    pub groups: Vec<String>,
    pub has_otp: bool,
    /// Name and password are kept by another service.
    pub elsewhere: bool,
    pub tokens: Vec<tokens::Token>,
    /// The secret of a token that was just made: it is told once.
    pub secret: Option<String>,
    pub entered: Entered,
}

/// For how long a token may be good.
pub const VALIDITIES: [(&str, &str); 4] = [
    ("1 day", "A day"),
    ("7 days", "A week"),
    ("30 days", "30 days"),
    ("180 days", "180 days"),
];

#[component]
pub fn AccountPage(account: Account) -> impl IntoView {
    let Account {
        name,
        is_admin,
        groups,
        has_otp,
        elsewhere,
        tokens,
        secret,
        entered,
    } = account;
    let membership = if groups.is_empty() {
        "In no group.".to_owned()
    } else {
        format!("In the groups: {}.", groups.join(", "))
    };
    view! {
        <h1>"My account"</h1>
        <p>
            <strong>{name}</strong> ", " {if is_admin { "an administrator. " } else { "who may do what the rights say. " }} {membership}
        </p>
        {secret
            .map(|secret| {
                view! {
                    <section class="card said--done" role="status">
                        <h2>"The secret of the new token"</h2>
                        <p>"It is shown this once: keep it in a safe place."</p>
                        <pre class="secret" data-copy="">{secret}</pre>
                    </section>
                }
            })}
        <div class="panels">
            <section class="card">
                <h2>"Password"</h2>
                {if elsewhere {
                    view! { <p>"Your password is kept by another service."</p> }.into_any()
                } else {
                    view! {
                        <form method="post" action=routes::ACCOUNT class="form">
                            {hidden("password", &[])}
                            {field(&entered, Field { form: "password", name: "oldPassword", label: "Present password", kind: "password", autocomplete: "current-password", ..Field::default() })}
                            {field(&entered, Field { form: "password", name: "newPassword", label: "New password", kind: "password", autocomplete: "new-password", ..Field::default() })}
                            {field(&entered, Field { form: "password", name: "again", label: "New password, again", kind: "password", autocomplete: "new-password", ..Field::default() })}
                            <button type="submit" class="button button--primary">"Change the password"</button>
                        </form>
                    }
                        .into_any()
                }}
            </section>
            <section class="card">
                <h2>"One-time codes"</h2>
                <p>
                    {if has_otp {
                        "Your sign-in asks for a code of your authenticator after the password."
                    } else {
                        "An authenticator on your phone can show codes that are asked for after the password: who has learned the password alone does not get in."
                    }}
                </p>
                <form method="post" action=routes::ACCOUNT class="form__gap">
                    {hidden("otp-begin", &[])}
                    <button type="submit" class="button">{if has_otp { "Use another authenticator" } else { "Turn on" }}</button>
                </form>
                {has_otp
                    .then(|| {
                        ask(Question {
                            path: routes::ACCOUNT,
                            form: "otp-off",
                            values: &[],
                            label: "Turn off",
                            what: "one-time codes",
                            consequence: "The password alone opens your account from then on.",
                            verb: "Turn off",
                        })
                    })}
            </section>
            <section class="card">
                <h2>"New token"</h2>
                <form method="post" action=routes::ACCOUNT class="form">
                    {hidden("create-token", &[])}
                    {field(&entered, Field { form: "create-token", name: "description", label: "What it is for", hint: "The program or the machine that will use it", ..Field::default() })}
                    {choice(&entered, "create-token", "expiresIn", "Good for", "30 days", &VALIDITIES)}
                    <button type="submit" class="button">"Create a token"</button>
                </form>
            </section>
        </div>
        <section class="card">
            <h2>"My tokens and sessions"</h2>
            {tokens::table(&tokens, routes::ACCOUNT, false)}
        </section>
    }
}
