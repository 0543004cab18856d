//! An address that names no page.

use crate::{routes::Route, ui::empty::Empty};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::A;

#[component]
pub fn NotFound() -> impl IntoView {
    view! {
        <Title text="No such page" />
        <section class="page">
            <h1 class="page__title">"No such page"</h1>
            <Empty text="This address names nothing here.">
                <A href=Route::Vms.path() attr:class="object-link">"Go to the VMs"</A>
            </Empty>
        </section>
    }
}
