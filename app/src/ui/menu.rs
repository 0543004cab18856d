//! A button that opens a small panel below it; a press outside or Escape closes it.

use leptos::{ev, html, prelude::*};
use wasm_bindgen::JsCast;

#[component]
pub fn Menu(
    /// Accessible name of the button; its content is `trigger`.
    #[prop(into)]
    label: Signal<String>,
    trigger: ViewFn,
    #[prop(optional, into)] class: String,
    #[prop(optional, into)] tip: Option<String>,
    #[prop(default = RwSignal::new(false))] open: RwSignal<bool>,
    children: ChildrenFn,
) -> impl IntoView {
    let root: NodeRef<html::Div> = NodeRef::new();
    let outside = window_event_listener(ev::mousedown, move |event| {
        if !open.get_untracked() {
            return;
        }
        let inside = root
            .get_untracked()
            .zip(event.target())
            .is_some_and(|(root, target)| {
                target
                    .dyn_ref::<web_sys::Node>()
                    .is_some_and(|node| root.contains(Some(node)))
            });
        if !inside {
            open.set(false);
        }
    });
    on_cleanup(move || outside.remove());
    let children = StoredValue::new(children);
    view! {
        <div
            class="menu"
            node_ref=root
            on:keydown=move |event| {
                if event.key() == "Escape" && open.get_untracked() {
                    event.stop_propagation();
                    open.set(false);
                    if let Some(button) = root
                        .get_untracked()
                        .and_then(|root| root.query_selector("button").ok().flatten())
                        .and_then(|button| button.dyn_into::<web_sys::HtmlElement>().ok())
                    {
                        let _ = button.focus();
                    }
                }
            }
        >
            <button
                type="button"
                class=format!("menu__button {class}")
                aria-label=move || label.get()
                aria-expanded=move || open.get().to_string()
                data-tip=tip
                on:click=move |_| open.update(|open| *open = !*open)
            >
                {trigger.run()}
            </button>
            <Show when=move || open.get()>
                <div class="menu__panel">{children.with_value(|children| children())}</div>
            </Show>
        </div>
    }
}
