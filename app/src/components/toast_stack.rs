//! The toasts, bottom left, read out by screen readers.

use super::why::Why;
use crate::{
    state::{toasts::Toast, use_state},
    ui::icon::{Glyph, Icon},
};
use leptos::prelude::*;

#[component]
pub fn ToastStack() -> impl IntoView {
    let toasts = use_state().toasts;
    view! {
        <section class="toasts" aria-label="Notifications" aria-live="polite">
            <For each=move || toasts.all.get() key=|(key, _)| *key let:entry>
                {
                    let (key, toast) = entry;
                    let failed = matches!(toast, Toast::Failed { .. });
                    let icon = if failed { Icon::Alert } else { Icon::Check };
                    view! {
                        <article class="toast" class:toast--failed=failed>
                            <Glyph icon=icon />
                            <div class="toast__body">
                                {match toast {
                                    Toast::Done(text) => view! { <p>{text}</p> }.into_any(),
                                    Toast::Failed { tried, why } => {
                                        view! {
                                            <h3>{tried}</h3>
                                            <Why why=why />
                                        }
                                            .into_any()
                                    }
                                }}
                            </div>
                            <button
                                type="button"
                                class="icon-button"
                                aria-label="Dismiss"
                                on:click=move |_| toasts.dismiss(key)
                            >
                                <Glyph icon=Icon::Close />
                            </button>
                        </article>
                    }
                }
            </For>
        </section>
    }
}
