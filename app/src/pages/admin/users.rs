//! The users.

use super::{Entered, Part, parts::*};
use crate::{routes, rpc::methods::User};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Users {
    pub part: Part<User>,
    pub entered: Entered,
}

/// In words.
pub fn permission(user: &User) -> &'static str {
    if user.is_admin() {
        "Administrator"
    } else {
        "By rights"
    }
}

pub const PERMISSIONS: [(&str, &str); 2] = [
    ("none", "What the rights say"),
    ("admin", "Everything: an administrator"),
];

pub fn path(id: &str) -> String {
    format!("{}/{}", routes::ADMIN_USERS, routes::encoded(id))
}

#[component]
pub fn UsersPage(users: Users) -> impl IntoView {
    let Users { part, entered } = users;
    let rows: Vec<_> = part.shown.iter().map(row).collect();
    view! {
        <h1>"Users"</h1>
        {filter(&part, "Filter users by name")}
        <div data-results="">
            <div class="plain-table card" role="region" aria-label="Users" tabindex="0">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Name"</th>
                            <th scope="col">"May do"</th>
                            <th scope="col" class="num">"Groups"</th>
                            <th scope="col">"Sign-in"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {pager(&part, "user")}
        </div>
        <section class="card">
            <h2>"Create a user"</h2>
            <form method="post" action=routes::ADMIN_USERS class="form form--columns">
                {hidden("create", &[])}
                {field(&entered, Field { form: "create", name: "email", label: "Name", hint: "A mail address or any other name", ..Field::default() })}
                {field(&entered, Field { form: "create", name: "password", label: "Password", kind: "password", autocomplete: "new-password", ..Field::default() })}
                {choice(&entered, "create", "permission", "May do", "none", &PERMISSIONS)}
                <button type="submit" class="button button--primary">"Create"</button>
            </form>
        </section>
    }
}

fn row(user: &User) -> impl IntoView + use<> {
    let sign_in = if !user.auth_providers.is_empty() {
        "elsewhere"
    } else if user.preferences.contains_key("otp") {
        "password and one-time code"
    } else {
        "password"
    };
    let (path, permission) = (path(&user.id), permission(user));
    let (email, groups) = (user.email.clone(), user.groups.len());
    view! {
        <tr>
            <td class="name">
                <a class="link" href=path>{email}</a>
            </td>
            <td>{permission}</td>
            <td class="num">{groups}</td>
            <td>{sign_in}</td>
        </tr>
    }
}
