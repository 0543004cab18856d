//! One group: name, members, rights.

use super::{Entered, Named, groups, parts::*, rights};
use crate::{routes, rpc::methods::Group};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct GroupDetails {
    pub group: Group,
    pub members: Vec<Named>,
    /// Names of users, to choose from.
    pub suggested: Vec<String>,
    pub rights: Vec<rights::Entry>,
    pub entered: Entered,
}

#[component]
pub fn GroupPage(details: GroupDetails) -> impl IntoView {
    let GroupDetails {
        group,
        members,
        suggested,
        rights,
        entered,
    } = details;
    let path = groups::path(&group.id);
    let elsewhere = group.provider.is_some();
    view! {
        <p class="crumbs">
            <a class="link" href=routes::ADMIN_GROUPS>"Groups"</a>
        </p>
        <h1>{group.name.clone()}</h1>
        {group.provider.clone().map(|provider| view! { <p>"This group is kept by " {provider} "; its name and members cannot be changed here."</p> })}
        <div class="panels">
            {(!elsewhere)
                .then(|| {
                    view! {
                        <section class="card">
                            <h2>"Name"</h2>
                            <form method="post" action=path.clone() class="form">
                                {hidden("set", &[])}
                                {field(&entered, Field { form: "set", name: "name", label: "Name", value: group.name.clone(), ..Field::default() })}
                                <button type="submit" class="button button--primary">"Save"</button>
                            </form>
                        </section>
                    }
                })}
            <section class="card">
                <h2>"Members"</h2>
                {if members.is_empty() { view! { <p class="muted">"Nobody yet."</p> }.into_any() } else { ().into_any() }}
                <ul class="lines">
                    {members
                        .iter()
                        .map(|member| {
                            let label = format!("Remove {}", member.name);
                            view! {
                                <li class="lines__line">
                                    <span>{named(member)}</span>
                                    {(!elsewhere)
                                        .then(|| {
                                            view! {
                                                <form method="post" action=path.clone()>
                                                    {hidden("remove-user", &[("userId", &member.id)])}
                                                    <button type="submit" class="button button--quiet" aria-label=label>"Remove"</button>
                                                </form>
                                            }
                                        })}
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
                {(!elsewhere)
                    .then(|| {
                        view! {
                            <form method="post" action=path.clone() class="form form--row">
                                {hidden("add-user", &[])}
                                {field(&entered, Field { form: "add-user", name: "userId", label: "User", list: Some("people"), ..Field::default() })}
                                <button type="submit" class="button">"Add"</button>
                            </form>
                        }
                    })}
            </section>
        </div>
        {suggestions("people", &suggested)}
        <section class="card">
            <h2>"Rights"</h2>
            {rights::table(&rights, &path, "No entry.")}
        </section>
        <section class="card">
            <h2>"Delete"</h2>
            {ask(Question {
                path: &path,
                form: "delete",
                values: &[],
                label: "Delete this group",
                what: &group.name,
                consequence: "Its members lose what they may do through it. The users stay. This cannot be undone.",
                verb: "Delete",
            })}
        </section>
    }
}
