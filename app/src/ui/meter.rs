//! A small bar for a share, with its figure beside it.

use leptos::prelude::*;

/// `share` in 0..1. The text says it in words: the bar alone is decoration.
#[component]
pub fn Meter(share: f64, #[prop(into)] text: String) -> impl IntoView {
    let share = clean(share);
    view! {
        <span class=level(share)>
            <span class="meter__bar" aria-hidden="true">
                <span class="meter__fill" style=format!("width:{}", width(share))></span>
            </span>
            <span class="meter__text">{text}</span>
        </span>
    }
}

/// A share of nothing is nothing.
pub fn clean(share: f64) -> f64 {
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Class by how full it is.
pub fn level(share: f64) -> &'static str {
    if share >= 0.95 {
        "meter meter--full"
    } else if share >= 0.85 {
        "meter meter--high"
    } else {
        "meter"
    }
}

pub fn width(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
