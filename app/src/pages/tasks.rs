//! All tasks: what I started here, and what the pools know of.

use crate::{
    components::task_list::{ActionRow, TaskRow, ordered},
    state::use_state,
    ui::{empty::Empty, format},
};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn TasksPage() -> impl IntoView {
    let state = use_state();
    let tasks = state.inventory.tasks;
    let ids = move || {
        tasks.track();
        ordered(tasks.all())
            .into_iter()
            .take(500)
            .map(|task| task.light.id.clone())
            .collect::<Vec<_>>()
    };
    let mine = move || {
        state
            .actions
            .all
            .with(|all| all.iter().take(200).cloned().collect::<Vec<_>>())
    };
    view! {
        <Title text="Tasks" />
        <section class="page">
            <header class="list-head">
                <h1>"Tasks"</h1>
                <p class="list-head__count" role="status">
                    {move || if state.inventory.ready.get() { format::count(tasks.len()) } else { "Loading…".to_owned() }}
                </p>
            </header>
            <Show when=move || state.actions.all.with(|all| !all.is_empty())>
                <section class="card card--flush">
                    <h2>"Started here"</h2>
                    <For each=mine key=|action| (action.key, action.ended.is_some()) let:action>
                        <ActionRow action=action />
                    </For>
                </section>
            </Show>
            <section class="card card--flush">
                <h2>"In the pools"</h2>
                <For each=ids key=|id| id.clone() let:id>
                    <TaskRow id=id />
                </For>
                <Show when=move || state.inventory.ready.get() && tasks.is_empty()>
                    <Empty text="Nothing is running, and nothing ended lately." />
                </Show>
            </section>
        </section>
    }
}
