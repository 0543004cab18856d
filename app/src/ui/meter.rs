//! A small bar for a share, with its figure beside it.

use leptos::prelude::*;

/// `share` in 0..1. The text says it in words: the bar alone is decoration.
#[component]
pub fn Meter(share: f64, #[prop(into)] text: String) -> impl IntoView {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let level = if share >= 0.95 {
        "meter meter--full"
    } else if share >= 0.85 {
        "meter meter--high"
    } else {
        "meter"
    };
    view! {
        <span class=level>
            <span class="meter__bar" aria-hidden="true">
                <span class="meter__fill" style=format!("width:{:.1}%", share * 100.0)></span>
            </span>
            <span class="meter__text">{text}</span>
        </span>
    }
}
