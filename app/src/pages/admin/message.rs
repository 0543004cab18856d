//! A page that only says something: not allowed, not there, not now.

use crate::routes::Route;
use leptos::prelude::*;

#[component]
pub fn MessagePage(#[prop(into)] title: String, #[prop(into)] text: String) -> impl IntoView {
    view! {
        <h1>{title}</h1>
        <p>{text}</p>
        <p>
            <a class="button" href=Route::Vms.path()>"Go to the virtual machines"</a>
        </p>
    }
}
