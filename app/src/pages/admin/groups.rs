//! The groups.

use super::{Entered, Part, parts::*};
use crate::{routes, rpc::methods::Group};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub part: Part<Group>,
    pub entered: Entered,
}

pub fn path(id: &str) -> String {
    format!("{}/{}", routes::ADMIN_GROUPS, routes::encoded(id))
}

#[component]
pub fn GroupsPage(groups: Groups) -> impl IntoView {
    let Groups { part, entered } = groups;
    let rows: Vec<_> = part
        .shown
        .iter()
        .map(|group| {
            let (path, name, members) = (path(&group.id), group.name.clone(), group.users.len());
            let kept = group.provider.clone().unwrap_or_else(|| "here".to_owned());
            view! {
                <tr>
                    <td class="name">
                        <a class="link" href=path>{name}</a>
                    </td>
                    <td class="num">{members}</td>
                    <td>{kept}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <h1>"Groups"</h1>
        {filter(&part, "Filter groups by name")}
        <div data-results="">
            <div class="plain-table card" role="region" aria-label="Groups" tabindex="0">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Name"</th>
                            <th scope="col" class="num">"Members"</th>
                            <th scope="col">"Kept"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            {pager(&part, "group")}
        </div>
        <section class="card">
            <h2>"Create a group"</h2>
            <form method="post" action=routes::ADMIN_GROUPS class="form form--row">
                {hidden("create", &[])}
                {field(&entered, Field { form: "create", name: "name", label: "Name", ..Field::default() })}
                <button type="submit" class="button button--primary">"Create"</button>
            </form>
        </section>
    }
}
