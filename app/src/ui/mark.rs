//! The mark of the product.

use leptos::prelude::*;

#[component]
pub fn Mark(#[prop(default = 24)] size: u32) -> impl IntoView {
    view! {
        <svg viewBox="0 0 32 32" width=size height=size aria-hidden="true">
            <rect width="32" height="32" rx="8" fill="var(--mark)" />
            <g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round">
                <path d="M9 10.5 16 16l7-5.5M9 21.5 16 16l7 5.5" />
            </g>
            <g fill="#fff">
                <circle cx="9" cy="10.5" r="3" />
                <circle cx="23" cy="10.5" r="3" />
                <circle cx="9" cy="21.5" r="3" />
                <circle cx="23" cy="21.5" r="3" />
                <circle cx="16" cy="16" r="3.4" />
            </g>
        </svg>
    }
}
