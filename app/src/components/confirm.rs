//! The question before something that can not be undone: it names what is lost, and when data is
//! destroyed it wants the name typed.

use crate::ui::{
    button::{Button, Kind},
    dialog::Dialog,
};
use leptos::prelude::*;
use std::sync::Arc;

#[derive(Clone)]
pub struct Question {
    pub title: String,
    /// What happens, and what is lost: one line each.
    pub consequences: Vec<String>,
    /// The word on the button.
    pub verb: String,
    /// Must be typed first.
    pub name: Option<String>,
    pub action: Arc<dyn Fn() + Send + Sync>,
}

/// Shows the question of `asked` until it is answered.
#[component]
pub fn Confirm(asked: RwSignal<Option<Question>>) -> impl IntoView {
    let open = RwSignal::new(false);
    let typed = RwSignal::new(String::new());
    Effect::new(move |_| {
        if asked.with(Option::is_some) {
            typed.set(String::new());
            open.set(true);
        }
    });
    Effect::new(move |_| {
        if !open.get() && asked.with_untracked(Option::is_some) {
            asked.set(None);
        }
    });
    let blocked = Signal::derive(move || {
        asked.with(|question| {
            let name = question.as_ref()?.name.as_ref()?;
            (typed.get().trim() != name.trim()).then(|| "Type the name first".to_owned())
        })
    });
    view! {
        <Dialog open=open title="Please confirm" class="dialog--narrow">
            {move || {
                asked
                    .get()
                    .map(|question| {
                        let action = question.action.clone();
                        let name = question.name.clone();
                        view! {
                            <div class="confirm">
                                <h3>{question.title}</h3>
                                <ul>
                                    {question.consequences.into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}
                                </ul>
                                {name
                                    .map(|name| {
                                        view! {
                                            <label class="field">
                                                <span>"Type " <strong>{name}</strong> " to confirm"</span>
                                                <input
                                                    class="input"
                                                    autocomplete="off"
                                                    prop:value=typed
                                                    on:input=move |event| typed.set(event_target_value(&event))
                                                />
                                            </label>
                                        }
                                    })}
                                <footer class="dialog__foot">
                                    <Button label="Cancel" on_press=move || open.set(false) />
                                    <Button
                                        label=question.verb
                                        kind=Kind::Danger
                                        blocked=blocked
                                        on_press=move || {
                                            action();
                                            open.set(false);
                                        }
                                    />
                                </footer>
                            </div>
                        }
                    })
            }}
        </Dialog>
    }
}
