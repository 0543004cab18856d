//! One user: name, password, groups, tokens, rights.

use super::{Entered, Named, parts::*, rights, tokens, users};
use crate::{routes, rpc::methods::User};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct UserDetails {
    pub user: User,
    /// It is who looks.
    pub own: bool,
    pub groups: Vec<Named>,
    pub other_groups: Vec<Named>,
    pub tokens: Vec<tokens::Token>,
    pub rights: Vec<rights::Entry>,
    pub entered: Entered,
}

#[component]
pub fn UserPage(details: UserDetails) -> impl IntoView {
    let UserDetails {
        user,
        own,
        groups,
        other_groups,
        tokens,
        rights,
        entered,
    } = details;
    let path = users::path(&user.id);
    let has_otp = user.preferences.contains_key("otp");
    let elsewhere = !user.auth_providers.is_empty();
    let providers: Vec<_> = user
        .auth_providers
        .keys()
        .map(|provider| {
            ask(Question {
                path: &path,
                form: "provider",
                values: &[("provider", provider)],
                label: "Remove its provider",
                what: provider,
                consequence: "The user signs in with a password from then on, once it has one.",
                verb: "Remove",
            })
        })
        .collect();
    let kept = (users::PERMISSIONS
        .iter()
        .all(|(value, _)| *value != user.permission))
    .then_some((user.permission.as_str(), user.permission.as_str()));
    let permissions: Vec<_> = users::PERMISSIONS.into_iter().chain(kept).collect();
    let explain = format!(
        "{}?view=explain&user={}",
        routes::ADMIN_RIGHTS,
        routes::encoded(&user.id)
    );
    view! {
        <p class="crumbs">
            <a class="link" href=routes::ADMIN_USERS>"Users"</a>
        </p>
        <h1>{user.email.clone()}</h1>
        <div class="panels">
            <section class="card">
                <h2>"Name and permission"</h2>
                <form method="post" action=path.clone() class="form">
                    {hidden("set", &[])}
                    {field(&entered, Field { form: "set", name: "email", label: "Name", value: user.email.clone(), ..Field::default() })}
                    {(!own).then(|| choice(&entered, "set", "permission", "May do", &user.permission, &permissions))}
                    {own.then(|| view! { <p class="field__hint">"One cannot change one's own permission."</p> })}
                    <button type="submit" class="button button--primary">"Save"</button>
                </form>
            </section>
            <section class="card">
                <h2>"Sign-in"</h2>
                {if elsewhere {
                    view! {
                        <p>"The name and the password are kept by another service."</p>
                        {providers}
                    }
                        .into_any()
                } else {
                    view! {
                        <form method="post" action=path.clone() class="form">
                            {hidden("password", &[])}
                            {field(&entered, Field { form: "password", name: "password", label: "New password", kind: "password", autocomplete: "new-password", ..Field::default() })}
                            <button type="submit" class="button">"Set the password"</button>
                        </form>
                    }
                        .into_any()
                }}
                <p class="form__gap">{if has_otp { "One-time codes are asked for." } else { "One-time codes are not asked for." }}</p>
                {has_otp
                    .then(|| {
                        ask(Question {
                            path: &path,
                            form: "otp-off",
                            values: &[],
                            label: "Turn one-time codes off",
                            what: &user.email,
                            consequence: "The password alone opens the account until the user turns them on again.",
                            verb: "Turn off",
                        })
                    })}
            </section>
            <section class="card">
                <h2>"Groups"</h2>
                {if groups.is_empty() { view! { <p class="muted">"In no group."</p> }.into_any() } else { ().into_any() }}
                <ul class="lines">
                    {groups
                        .iter()
                        .map(|group| {
                            let label = format!("Leave {}", group.name);
                            view! {
                                <li class="lines__line">
                                    <span>{named(group)}</span>
                                    <form method="post" action=path.clone()>
                                        {hidden("leave", &[("group", &group.id)])}
                                        <button type="submit" class="button button--quiet" aria-label=label>"Leave"</button>
                                    </form>
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
                {(!other_groups.is_empty())
                    .then(|| {
                        let options: Vec<(&str, &str)> = other_groups.iter().map(|group| (group.id.as_str(), group.name.as_str())).collect();
                        view! {
                            <form method="post" action=path.clone() class="form form--row">
                                {hidden("join", &[])} {choice(&entered, "join", "group", "Group", "", &options)}
                                <button type="submit" class="button">"Add to the group"</button>
                            </form>
                        }
                    })}
            </section>
        </div>
        <section class="card">
            <h2>"Rights"</h2>
            <p>
                {if user.is_admin() { "An administrator may do everything; entries add nothing." } else { "Own entries, and those of its groups." }} " "
                <a class="link" href=explain>"Ask what this user may do"</a>
            </p>
            {rights::table(&rights, &path, "No entry.")}
        </section>
        <section class="card">
            <h2>"Tokens"</h2>
            {tokens::table(&tokens, &path, false)}
        </section>
        {(!own)
            .then(|| {
                view! {
                    <section class="card">
                        <h2>"Delete"</h2>
                        {ask(Question {
                            path: &path,
                            form: "delete",
                            values: &[],
                            label: "Delete this user",
                            what: &user.email,
                            consequence: "Its tokens, its rights and its memberships go with it, and its sessions end. This cannot be undone.",
                            verb: "Delete",
                        })}
                    </section>
                }
            })}
    }
}
