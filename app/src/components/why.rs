//! A failure in plain words, with the next step, and the raw text folded away and ready to copy.

use crate::{
    state::explain::Explained,
    ui::{button::Button, button::Kind, icon::Icon},
};
use leptos::prelude::*;

#[component]
pub fn Why(why: Explained) -> impl IntoView {
    let raw = why.raw.clone();
    view! {
        <div class="why">
            <p>{why.what}</p>
            {why.next.map(|next| view! { <p class="why__next">{next}</p> })}
            <details>
                <summary>"Details"</summary>
                <pre tabindex="0">{why.raw}</pre>
                <Button
                    label="Copy details"
                    icon=Icon::Copy
                    kind=Kind::Quiet
                    on_press=move || {
                        // Absent without a secure context: the text can still be selected.
                        let _ = window().navigator().clipboard().write_text(&raw);
                    }
                />
            </details>
        </div>
    }
}
