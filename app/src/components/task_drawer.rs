//! The task drawer at the bottom right: what I started, and what runs in the pools.

use super::task_list::{ActionRow, TaskRow, ordered};
use crate::{
    routes::Route,
    state::use_state,
    ui::{
        empty::Empty,
        icon::{Glyph, Icon},
    },
};
use leptos::prelude::*;
use leptos_router::components::A;

/// The drawer is for a glance; the Tasks page has the rest.
const SHOWN: usize = 50;

/// How many tasks run now, anyone's.
pub fn running_tasks() -> Memo<usize> {
    let state = use_state();
    let tasks = state.inventory.tasks;
    Memo::new(move |_| {
        tasks.track();
        let theirs = tasks.all().iter().filter(|task| task.status == "pending").count();
        theirs.max(state.actions.running())
    })
}

#[component]
pub fn TaskDrawer() -> impl IntoView {
    let state = use_state();
    let open = state.panels.tasks;
    let tasks = state.inventory.tasks;
    let theirs = move || {
        tasks.track();
        ordered(tasks.all())
            .into_iter()
            .take(SHOWN)
            .map(|task| task.light.id.clone())
            .collect::<Vec<_>>()
    };
    let mine = move || {
        state
            .actions
            .all
            .with(|all| all.iter().take(SHOWN).cloned().collect::<Vec<_>>())
    };
    view! {
        <Show when=move || open.get()>
            <section class="drawer" aria-label="Tasks">
                <header class="drawer__head">
                    <h2>"Tasks"</h2>
                    <A href=Route::Tasks.path() attr:class="object-link">"All tasks"</A>
                    <button type="button" class="icon-button" aria-label="Close the tasks" on:click=move |_| open.set(false)>
                        <Glyph icon=Icon::Close />
                    </button>
                </header>
                <div class="drawer__body" tabindex="0" role="region" aria-label="Task list">
                    <Show when=move || state.actions.all.with(|all| !all.is_empty())>
                        <h3>"Started here"</h3>
                        <For each=mine key=|action| (action.key, action.ended.is_some()) let:action>
                            <ActionRow action=action />
                        </For>
                    </Show>
                    <h3>"In the pools"</h3>
                    <For each=theirs key=|id| id.clone() let:id>
                        <TaskRow id=id />
                    </For>
                    <Show when=move || tasks.is_empty()>
                        <Empty text="Nothing is running." />
                    </Show>
                </div>
            </section>
        </Show>
    }
}
