//! What is not seen at the first look is brought to life in a task of its own after it.

use leptos::prelude::*;
use std::time::Duration;

#[component]
pub fn Later(children: ChildrenFn) -> impl IntoView {
    let due = RwSignal::new(false);
    Effect::new(move |_| {
        set_timeout(
            move || {
                due.try_set(true);
            },
            Duration::ZERO,
        );
    });
    view! { <Show when=move || due.get()>{children()}</Show> }
}
