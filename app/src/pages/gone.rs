//! Stands for an object page whose object is not there: still loading, or gone.

use crate::{
    routes::Route,
    state::use_state,
    ui::empty::{Empty, Skeleton},
};
use leptos::prelude::*;
use leptos_router::components::A;

/// `what` is the kind of object; `list` is where the others are.
#[component]
pub fn Gone(#[prop(into)] what: String, list: Route) -> impl IntoView {
    let ready = use_state().inventory.ready;
    let path = StoredValue::new(list.path());
    let title = StoredValue::new(format!("This {what} is not here"));
    view! {
        <Show
            when=move || ready.get()
            fallback=|| view! { <section class="page"><Skeleton lines=8 /></section> }
        >
            <section class="page">
                <h1 class="page__title">{title.get_value()}</h1>
                <Empty text="It may have been deleted, or its pool is disconnected.">
                    <A href=path.get_value() attr:class="object-link">"Back to the list"</A>
                </Empty>
            </section>
        </Show>
    }
}
