//! Who may do what: by user or group, by object, and why.

use super::{Entered, Named, Part, parts::*};
use crate::routes;
use leptos::prelude::*;

/// An entry: a subject, an object, and what the one may do with the other.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub subject: Named,
    pub object: Named,
    pub action: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Subject,
    Object,
    Explain,
}

impl View {
    pub fn name(self) -> &'static str {
        match self {
            View::Subject => "subject",
            View::Object => "object",
            View::Explain => "explain",
        }
    }

    fn label(self) -> &'static str {
        match self {
            View::Subject => "By user or group",
            View::Object => "By object",
            View::Explain => "Ask why",
        }
    }
}

/// Why somebody may or may not.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub granted: bool,
    pub sentence: String,
    pub reasons: Vec<String>,
    /// Where an entry would have to be.
    pub places: Vec<Named>,
}

#[derive(Clone, Debug, Default)]
pub struct Rights {
    pub view: View,
    /// What was asked for; the errors beside the fields of the form `pick`.
    pub entered: Entered,
    pub picked: Option<Named>,
    /// Objects whose name has what was typed in it, when it is not one object's.
    pub matches: Vec<Named>,
    pub part: Part<Entry>,
    pub answer: Option<Answer>,
    /// Names of users, and of users and groups.
    pub users: Vec<String>,
    pub subjects: Vec<String>,
    /// This page, as it is shown.
    pub here: String,
}

#[component]
pub fn RightsPage(rights: Rights) -> impl IntoView {
    let Rights {
        view,
        entered,
        picked,
        matches,
        part,
        answer,
        users,
        subjects,
        here,
    } = rights;
    let tabs = [View::Subject, View::Object, View::Explain].map(|tab| {
        let path = format!("{}?view={}", routes::ADMIN_RIGHTS, tab.name());
        view! {
            <a href=path class="tabs__tab" aria-current=(tab == view).then_some("page")>{tab.label()}</a>
        }
    });
    let pick = |name, label, list, hint| Field {
        form: "pick",
        name,
        label,
        list,
        hint,
        ..Field::default()
    };
    let object_hint = "Its whole name, a part of it, or its id";
    let fields = match view {
        View::Subject => field(&entered, pick("subject", "User or group", Some("subjects"), "")).into_any(),
        View::Object => field(&entered, pick("object", "Object", None, object_hint)).into_any(),
        View::Explain => {
            let permissions = [
                ("view", "see it"),
                ("operate", "operate it"),
                ("administrate", "administrate it"),
            ];
            view! {
                {field(&entered, pick("user", "May this user", Some("users"), ""))}
                {choice(&entered, "pick", "permission", "do this", "view", &permissions)}
                {field(&entered, pick("object", "with this object?", None, object_hint))}
            }
            .into_any()
        }
    };
    view! {
        <h1>"Rights"</h1>
        <nav class="tabs tabs--plain" aria-label="Ways to look at rights">{tabs.collect_view()}</nav>
        <form method="get" action=routes::ADMIN_RIGHTS class="form form--row card" role="search" aria-label="Choose">
            <input type="hidden" name="view" value=view.name() />
            {fields}
            <button type="submit" class="button button--primary">{if view == View::Explain { "Ask" } else { "Show" }}</button>
        </form>
        {suggestions("users", &users)}
        {suggestions("subjects", &subjects)}
        {(!matches.is_empty())
            .then(|| {
                view! {
                    <section class="card">
                        <h2>"Which one?"</h2>
                        <ul class="lines">
                            {matches.iter().map(|found| view! { <li class="lines__line"><span>{named(found)}</span></li> }).collect_view()}
                        </ul>
                    </section>
                }
            })}
        {answer.map(explained)}
        {match (view, picked) {
            (View::Explain, _) | (_, None) => ().into_any(),
            (View::Subject, Some(subject)) => {
                view! {
                    <section class="card">
                        <h2>"What " {named(&subject)} " is given"</h2>
                        {table(&part.shown, &here, "No entry: nothing is given here.")} {pager(&part, "right")}
                    </section>
                    {add(&entered, &here, Some(&subject), None)}
                }
                    .into_any()
            }
            (View::Object, Some(object)) => {
                view! {
                    <section class="card">
                        <h2>"Who is given " {named(&object)}</h2>
                        {table(&part.shown, &here, "No entry on this object itself. It may inherit from others.")} {pager(&part, "right")}
                    </section>
                    {add(&entered, &here, None, Some(&object))}
                }
                    .into_any()
            }
        }}
    }
}

fn explained(answer: Answer) -> impl IntoView {
    let class = if answer.granted {
        "said said--done"
    } else {
        "said said--failed"
    };
    let (title, places) = (answer.sentence, answer.places);
    view! {
        <section class="card" aria-label="Answer">
            <p class=class role="status">{title}</p>
            {(!answer.reasons.is_empty())
                .then(|| {
                    view! {
                        <h2>"Because"</h2>
                        <ul class="reasons">{answer.reasons.into_iter().map(|reason| view! { <li>{reason}</li> }).collect_view()}</ul>
                    }
                })}
            {(!answer.granted && !places.is_empty())
                .then(|| {
                    view! {
                        <h2>"An entry on one of these would give it"</h2>
                        <ul class="lines">{places.iter().map(|place| view! { <li class="lines__line"><span>{named(place)}</span></li> }).collect_view()}</ul>
                    }
                })}
        </section>
    }
}

fn add(
    entered: &Entered,
    here: &str,
    subject: Option<&Named>,
    object: Option<&Named>,
) -> impl IntoView + use<> {
    let subject_id = subject.map(|subject| subject.id.clone());
    let object_id = object.map(|object| object.id.clone());
    let path = here.to_owned();
    let hidden_values = match (&subject_id, &object_id) {
        (Some(subject), _) => hidden("add", &[("subject", subject)]).into_any(),
        (None, Some(object)) => hidden("add", &[("object", object)]).into_any(),
        (None, None) => hidden("add", &[]).into_any(),
    };
    let other = if subject.is_some() {
        let field_ = Field {
            form: "add",
            name: "object",
            label: "Object",
            hint: "Its whole name, or its id",
            ..Field::default()
        };
        field(entered, field_).into_any()
    } else {
        let field_ = Field {
            form: "add",
            name: "subject",
            label: "User or group",
            list: Some("subjects"),
            ..Field::default()
        };
        field(entered, field_).into_any()
    };
    view! {
        <section class="card">
            <h2>"Add a right"</h2>
            <form method="post" action=path class="form form--row">
                {hidden_values} {other} {choice(entered, "add", "action", "May do", "viewer", &ROLES)}
                <button type="submit" class="button button--primary">"Add"</button>
            </form>
        </section>
    }
}

/// Entries; `path` takes the form that removes one.
pub fn table(entries: &[Entry], path: &str, none: &'static str) -> impl IntoView + use<> {
    if entries.is_empty() {
        return view! { <p class="muted">{none}</p> }.into_any();
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let (subject, object) = (&entry.subject, &entry.object);
            let question = ask(Question {
                path,
                form: "remove-right",
                values: &[
                    ("subject", &subject.id),
                    ("object", &object.id),
                    ("action", &entry.action),
                ],
                label: "Remove",
                what: &format!("the right of {} on {}", subject.name, object.name),
                consequence: "What was seen only through it is withdrawn at once.",
                verb: "Remove the right",
            });
            view! {
                <tr>
                    <td class="name">{named(subject)}</td>
                    <td class="name">{named(object)}</td>
                    <td>{role(&entry.action)}</td>
                    <td>{question}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div class="plain-table" role="region" aria-label="Rights" tabindex="0">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Who"</th>
                        <th scope="col">"On what"</th>
                        <th scope="col">"What"</th>
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
