//! Keyboard shortcuts: what does not fire while one types.

use leptos::{ev::KeyboardEvent, prelude::*};
use wasm_bindgen::JsCast;

/// Whether the keys go into a field.
pub fn is_typing(event: &KeyboardEvent) -> bool {
    let Some(target) = event
        .target()
        .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
    else {
        return false;
    };
    let tag = target.tag_name();
    if tag == "INPUT" {
        // A focused checkbox takes no letters.
        return target.get_attribute("type").as_deref() != Some("checkbox");
    }
    tag == "TEXTAREA"
        || tag == "SELECT"
        || target
            .closest("dialog[open]")
            .is_ok_and(|dialog| dialog.is_some())
}

/// A key without the modifiers that belong to the browser.
pub fn plain_key(event: &KeyboardEvent) -> Option<String> {
    if event.ctrl_key() || event.meta_key() || event.alt_key() || is_typing(event) {
        None
    } else {
        Some(event.key())
    }
}

/// Focuses the first element that matches.
pub fn focus(selector: &str) {
    if let Ok(Some(element)) = document().query_selector(selector)
        && let Ok(element) = element.dyn_into::<web_sys::HtmlElement>()
    {
        let _ = element.focus();
    }
}
