//! A modal dialog on the browser's own `<dialog>`: focus stays inside, Escape closes.

use super::icon::{Glyph, Icon};
use leptos::{html, prelude::*};
use wasm_bindgen::JsCast;

#[component]
pub fn Dialog(
    open: RwSignal<bool>,
    #[prop(into)] title: String,
    #[prop(optional, into)] class: String,
    children: ChildrenFn,
) -> impl IntoView {
    let node: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        let wanted = open.get();
        if let Some(dialog) = node.get() {
            if wanted && !dialog.open() {
                let _ = dialog.show_modal();
                // Once its content is there.
                request_animation_frame(move || focus_first(&dialog));
            } else if !wanted && dialog.open() {
                dialog.close();
            }
        }
    });
    let children = StoredValue::new(children);
    let name = title.clone();
    view! {
        <dialog
            node_ref=node
            class=format!("dialog {class}")
            aria-label=name
            on:close=move |_| open.set(false)
            on:mousedown=move |event| {
                // A press on the backdrop has the dialog itself as its target.
                let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
                if node.get_untracked().is_some_and(|dialog| dialog.is_same_node(target.as_ref())) {
                    open.set(false);
                }
            }
        >
            <Show when=move || open.get()>
                <div class="dialog__body">
                    <header class="dialog__head">
                        <h2>{title.clone()}</h2>
                        <button type="button" class="icon-button" aria-label="Close" on:click=move |_| open.set(false)>
                            <Glyph icon=Icon::Close />
                        </button>
                    </header>
                    {children.with_value(|children| children())}
                </div>
            </Show>
        </dialog>
    }
}

/// The first field; where there is none, the first button at the foot, which is the one that changes nothing.
fn focus_first(dialog: &web_sys::HtmlDialogElement) {
    for wanted in ["input, select, textarea", ".dialog__foot button"] {
        if let Ok(Some(element)) = dialog.query_selector(wanted)
            && let Ok(element) = element.dyn_into::<web_sys::HtmlElement>()
        {
            let _ = element.focus();
            return;
        }
    }
}
