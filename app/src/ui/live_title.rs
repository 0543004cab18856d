//! The title of the document, where it changes.

use leptos::{prelude::*, text_prop::TextProp};
use leptos_meta::Title;

/// On the server it is read here, once: leptos_meta reads it when the page has been made, and by then on whatever thread
/// the work has moved to, where the page's values are not to be found.
#[component]
pub fn LiveTitle(#[prop(into)] text: Signal<String>) -> impl IntoView {
    let text = if cfg!(feature = "ssr") {
        TextProp::from(text.get_untracked())
    } else {
        TextProp::from(move || text.get())
    };
    view! { <Title text=text /> }
}
