//! Tasks of everyone (XAPI's) and the calls of mine, as rows: progress, duration, result, cancel.

use super::{object_link::AnyLink, why::Why};
use crate::{
    model::light::LightTask,
    rpc::methods::{Id as IdParam, TaskCancel},
    state::{
        actions::{Action, Outcome},
        class::Row,
        explain::explain_code,
        use_state,
    },
    ui::{
        button::{Button, Kind},
        format,
        icon::{Glyph, Icon},
    },
};
use leptos::prelude::*;
use std::sync::Arc;

/// Tasks that run come first, then the newest.
pub fn ordered(mut tasks: Vec<Arc<Row<LightTask>>>) -> Vec<Arc<Row<LightTask>>> {
    tasks.sort_by(|a, b| {
        let running = |task: &LightTask| task.status != "pending" && task.status != "cancelling";
        (running(a), -a.created, &a.id).cmp(&(running(b), -b.created, &b.id))
    });
    tasks
}

#[component]
pub fn TaskRow(#[prop(into)] id: String) -> impl IntoView {
    let state = use_state();
    let tasks = state.inventory.tasks;
    move || {
        let task = tasks.get(&id)?;
        let pending = task.status == "pending" || task.status == "cancelling";
        let failed = task.status == "failure";
        let icon = match task.status.as_str() {
            "pending" | "cancelling" => Icon::Task,
            "success" => Icon::Check,
            "cancelled" => Icon::Close,
            _ => Icon::Alert,
        };
        let word = match task.status.as_str() {
            "pending" => format!("{:.0} %", (task.progress * 100.0).clamp(0.0, 100.0)),
            "success" => "Done".to_owned(),
            "failure" => "Failed".to_owned(),
            other => {
                let mut word = other.to_owned();
                if let Some(first) = word.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                word
            }
        };
        let (created, finished) = (task.created as f64, task.finished as f64);
        let duration = move || {
            let end = if finished > 0.0 {
                finished
            } else {
                state.clock.now.get() / 1000.0
            };
            if created > 0.0 && end > 0.0 {
                format::span(end - created)
            } else {
                String::new()
            }
        };
        let id = task.light.id.clone();
        let name = task.name_label.clone();
        Some(view! {
            <div class="task" class:task--failed=failed class:task--running=pending>
                <Glyph icon=icon />
                <div class="task__what">
                    <span class="task__name" title=task.name_label.clone()>{task_words(&task.name_label)}</span>
                    {(!task.applies_to.is_empty()).then(|| view! { <AnyLink id=task.applies_to.clone() /> })}
                </div>
                <span class="task__state">{word}</span>
                <span class="task__time" title=format::absolute(created * 1000.0)>{duration}</span>
                {(pending && task.cancellable)
                    .then(|| {
                        view! {
                            <Button
                                label="Cancel"
                                kind=Kind::Quiet
                                on_press=move || {
                                    let title = format!("Cancel {name}");
                                    state.actions.run::<TaskCancel>(title, None, IdParam { id: id.clone() }, |_| {});
                                }
                            />
                        }
                    })}
                {pending
                    .then(|| {
                        let percent = (task.progress * 100.0).clamp(0.0, 100.0);
                        view! { <progress class="task__bar" max="100" value=format!("{percent:.0}") aria-label=task.name_label.clone()></progress> }
                    })}
                {(failed && !task.error.is_empty()).then(|| view! { <Why why=explain_code(&task.error) /> })}
            </div>
        })
    }
}

/// `Async.VM.migrate_send` → `VM: migrate send`; names that people gave stay as they are.
fn task_words(name: &str) -> String {
    let call = name.strip_prefix("Async.").unwrap_or(name);
    match call.split_once('.') {
        Some((class, operation)) if !call.contains(' ') && !operation.is_empty() => {
            format!("{class}: {}", operation.replace('_', " "))
        }
        _ => name.to_owned(),
    }
}

#[component]
pub fn ActionRow(action: Action) -> impl IntoView {
    let clock = use_state().clock;
    let running = action.outcome == Outcome::Running;
    let (icon, word) = match &action.outcome {
        Outcome::Running => (Icon::Task, "Running"),
        Outcome::Done => (Icon::Check, "Done"),
        Outcome::Failed(_) => (Icon::Alert, "Failed"),
    };
    let duration = move || {
        let end = action.ended.unwrap_or_else(|| clock.now.get());
        format::span((end - action.started) / 1000.0)
    };
    let why = match action.outcome.clone() {
        Outcome::Failed(why) => Some(why),
        Outcome::Running | Outcome::Done => None,
    };
    let failed = why.is_some();
    view! {
        <div class="task" class:task--failed=failed class:task--running=running>
            <Glyph icon=icon />
            <div class="task__what">
                <span class="task__name">{action.title}</span>
            </div>
            <span class="task__state">{word}</span>
            <span class="task__time" title=format::absolute(action.started)>{duration}</span>
            {running.then(|| view! { <span class="task__busy" aria-hidden="true"></span> })}
            {why.map(|why| view! { <Why why=why /> })}
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::task_words;

    #[test]
    fn calls_are_said_in_words() {
        assert_eq!(task_words("Async.VM.migrate_send"), "VM: migrate send");
        assert_eq!(task_words("VM.start"), "VM: start");
        assert_eq!(task_words("Export of v1.2 of web"), "Export of v1.2 of web");
    }
}
