//! What happened to an object: its tasks, and the messages that its pool keeps.

use super::{
    facts::{number, text},
    task_list::{TaskRow, ordered},
};
use crate::{
    state::{object::Object, use_state},
    ui::{empty::Empty, format},
};
use leptos::prelude::*;
use std::cmp::Reverse;

#[component]
pub fn Activity(id: Memo<String>, object: Object) -> impl IntoView {
    let state = use_state();
    let tasks = state.inventory.tasks;
    let ours = Memo::new(move |_| {
        tasks.track();
        let id = id.get();
        let all = tasks
            .all()
            .into_iter()
            .filter(|task| task.applies_to == id || task.host == id || task.pool == id);
        ordered(all.collect())
            .into_iter()
            .map(|task| task.light.id.clone())
            .take(100)
            .collect::<Vec<_>>()
    });
    let messages = move || {
        let mut all: Vec<(i64, String, String)> = object
            .of_type("message")
            .iter()
            .map(|message| {
                (
                    number(message, "time").unwrap_or_default() as i64,
                    text(message, "name"),
                    text(message, "body"),
                )
            })
            .collect();
        all.sort_by_key(|(time, ..)| Reverse(*time));
        all.truncate(200);
        all
    };
    let none = Memo::new(move |_| object.ready.get() && messages().is_empty());
    view! {
        <div class="cards">
            <section class="card card--wide card--flush">
                <h2>"Tasks"</h2>
                <For each=move || ours.get() key=|id| id.clone() let:id>
                    <TaskRow id=id />
                </For>
                <Show when=move || ours.with(Vec::is_empty)>
                    <Empty text="No task on this object lately." />
                </Show>
            </section>
            <section class="card card--wide card--flush">
                <h2>"Messages"</h2>
                <For each=messages key=|message| message.clone() let:message>
                    {
                        let (time, name, body) = message;
                        let time = time as f64 * 1000.0;
                        view! {
                            <div class="line">
                                <div class="line__what">
                                    <strong>{message_words(&name)}</strong>
                                    <span class="muted line__body">{body}</span>
                                </div>
                                <span class="line__when" title=format::absolute(time)>
                                    {format::local(time)} " · " {move || format::ago(state.clock.now.get(), time)}
                                </span>
                            </div>
                        }
                    }
                </For>
                <Show when=move || none.get()>
                    <Empty text="No message." />
                </Show>
            </section>
        </div>
    }
}

/// `VM_CLEAN_SHUTDOWN` → `VM clean shutdown`.
fn message_words(name: &str) -> String {
    let words = name.to_lowercase().replace('_', " ");
    match words.strip_prefix("vm ") {
        Some(rest) => format!("VM {rest}"),
        None => {
            let mut words = words;
            if let Some(first) = words.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            words
        }
    }
}
