//! A text edited where it stands: Enter applies, Escape restores, leaving the field restores too.

use super::icon::{Glyph, Icon};
use leptos::{ev::KeyboardEvent, html, prelude::*};

#[component]
pub fn InlineEdit(
    #[prop(into)] value: Signal<String>,
    /// What the text is, for the button and the field: `name`.
    #[prop(into)]
    label: String,
    #[prop(optional, into)] placeholder: String,
    on_apply: impl Fn(String) + Clone + Send + Sync + 'static,
) -> impl IntoView {
    let editing = RwSignal::new(false);
    let input: NodeRef<html::Input> = NodeRef::new();
    Effect::new(move |_| {
        if editing.get()
            && let Some(input) = input.get()
        {
            let _ = input.focus();
            input.select();
        }
    });
    let edit_label = format!("Edit {label}");
    view! {
        <Show
            when=move || editing.get()
            fallback={
                move || {
                    let placeholder = placeholder.clone();
                    view! {
                        <button
                            type="button"
                            class="inline-edit"
                            data-tip=edit_label.clone()
                            on:click=move |_| editing.set(true)
                        >
                            <span class="inline-edit__text">
                                {move || {
                                    let text = value.get();
                                    if text.is_empty() { placeholder.clone() } else { text }
                                }}
                            </span>
                            <Glyph icon=Icon::Edit />
                        </button>
                    }
                }
            }
        >
            {
                let on_apply = on_apply.clone();
                view! {
                    <input
                        node_ref=input
                        class="inline-edit__input"
                        aria-label=label.clone()
                        prop:value=value.get_untracked()
                        on:blur=move |_| editing.set(false)
                        on:keydown=move |event: KeyboardEvent| {
                            event.stop_propagation();
                            match event.key().as_str() {
                                "Enter" => {
                                    let text = event_target_value(&event);
                                    editing.set(false);
                                    if text != value.get_untracked() {
                                        on_apply(text);
                                    }
                                }
                                "Escape" => editing.set(false),
                                _ => {}
                            }
                        }
                    />
                }
            }
        </Show>
    }
}
