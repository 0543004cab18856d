//! The tags of an object, which can be changed on its page.

use crate::{
    rpc::methods::{Tag, TagAdd, TagRemove},
    state::use_state,
    ui::icon::{Glyph, Icon},
};
use leptos::{ev::KeyboardEvent, html, prelude::*};

#[component]
pub fn TagEditor(#[prop(into)] id: Signal<String>, #[prop(into)] tags: Signal<Vec<String>>) -> impl IntoView {
    let actions = use_state().actions;
    let adding = RwSignal::new(false);
    let input: NodeRef<html::Input> = NodeRef::new();
    Effect::new(move |_| {
        if adding.get()
            && let Some(input) = input.get()
        {
            let _ = input.focus();
        }
    });
    view! {
        <div class="tags tags--editor">
            <For each=move || tags.get() key=|tag| tag.clone() let:tag>
                {
                    let gone = tag.clone();
                    let label = format!("Remove the tag {tag}");
                    view! {
                        <span class="tag">
                            {tag}
                            <button
                                type="button"
                                class="tag__remove"
                                aria-label=label
                                on:click=move |_| {
                                    let tag = Tag { id: id.get_untracked(), tag: gone.clone() };
                                    actions.run::<TagRemove>(format!("Remove the tag {gone}"), None, tag, |_| {});
                                }
                            >
                                <Glyph icon=Icon::Close />
                            </button>
                        </span>
                    }
                }
            </For>
            <Show
                when=move || adding.get()
                fallback=move || {
                    view! {
                        <button type="button" class="tag tag--add" on:click=move |_| adding.set(true)>
                            <Glyph icon=Icon::Add />
                            "Tag"
                        </button>
                    }
                }
            >
                <input
                    node_ref=input
                    class="tag__input"
                    aria-label="New tag"
                    placeholder="New tag"
                    on:blur=move |_| adding.set(false)
                    on:keydown=move |event: KeyboardEvent| {
                        event.stop_propagation();
                        match event.key().as_str() {
                            "Enter" => {
                                let tag = event_target_value(&event).trim().to_owned();
                                adding.set(false);
                                if !tag.is_empty() {
                                    let title = format!("Add the tag {tag}");
                                    let params = Tag { id: id.get_untracked(), tag };
                                    actions.run::<TagAdd>(title, None, params, |_| {});
                                }
                            }
                            "Escape" => adding.set(false),
                            _ => {}
                        }
                    }
                />
            </Show>
        </div>
    }
}
