//! Who is connected to the API now.

use super::{Named, parts::*};
use crate::{routes, ui::format};
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub id: u64,
    pub user: Option<Named>,
    pub address: String,
    pub expires: Option<i64>,
}

#[component]
pub fn ConnectionsPage(all: Vec<Connection>, total: usize) -> impl IntoView {
    let rows: Vec<_> = all.iter().map(row).collect();
    let note = (total > all.len()).then(|| format!("The first {} are shown.", format::count(all.len())));
    view! {
        <h1>"Connections"</h1>
        <p>
            {format::plural(total, "connection")} " to the API, over WebSocket and TCP. " {note}
        </p>
        <div class="plain-table card" role="region" aria-label="Connections" tabindex="0">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"User"</th>
                        <th scope="col">"From"</th>
                        <th scope="col">"Session ends"</th>
                        <th scope="col">
                            <span class="unseen">"Actions"</span>
                        </th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        <section class="card">
            <h2>"Close all"</h2>
            {ask(Question {
                path: routes::ADMIN_CONNECTIONS,
                form: "close-all",
                values: &[],
                label: "Close all connections",
                what: "",
                consequence: "Clients that are still allowed to come back do so at once; what they were asking for is lost.",
                verb: "Close all",
            })}
        </section>
    }
}

fn row(connection: &Connection) -> impl IntoView + use<> {
    let who = match &connection.user {
        Some(user) => named(user).into_any(),
        None => view! { <span class="muted">"not signed in"</span> }.into_any(),
    };
    let id = connection.id.to_string();
    let name = connection
        .user
        .as_ref()
        .map_or("not signed in", |user| &user.name);
    let question = ask(Question {
        path: routes::ADMIN_CONNECTIONS,
        form: "close",
        values: &[("id", &id)],
        label: "Close",
        what: &format!("the connection of {name} from {}", connection.address),
        consequence: "A client that is still allowed to come back does so at once. To keep it out, revoke its token.",
        verb: "Close the connection",
    });
    let address = connection.address.clone();
    view! {
        <tr>
            <td class="name">{who}</td>
            <td>{address}</td>
            <td>
                {match connection.expires {
                    Some(at) => time(at).into_any(),
                    None => view! { "with the connection" }.into_any(),
                }}
            </td>
            <td>{question}</td>
        </tr>
    }
}
