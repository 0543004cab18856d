//! Links to pools, hosts and VMs by their id: the name follows the object.

use super::power_state::{Power, PowerIcon};
use crate::{
    routes::Route,
    state::use_state,
    ui::icon::{Glyph, Icon},
};
use leptos::prelude::*;

#[component]
pub fn PoolLink(#[prop(into)] id: String, #[prop(default = false)] icon: bool) -> impl IntoView {
    let pools = use_state().inventory.pools;
    let href = Route::Pool(id.clone()).path();
    view! {
        <a href=href class="object-link">
            {icon.then(|| view! { <Glyph icon=Icon::Pool /> })}
            <span>{move || pools.get(&id).map_or_else(|| "Unknown pool".to_owned(), |pool| pool.shown_name())}</span>
        </a>
    }
}

#[component]
pub fn HostLink(#[prop(into)] id: String, #[prop(default = false)] icon: bool) -> impl IntoView {
    let hosts = use_state().inventory.hosts;
    let href = Route::Host(id.clone()).path();
    view! {
        <a href=href class="object-link">
            {icon.then(|| view! { <Glyph icon=Icon::Host /> })}
            <span>{move || hosts.get(&id).map_or_else(|| "Unknown host".to_owned(), |host| host.shown_name())}</span>
        </a>
    }
}

/// A link to whatever the id names, or nothing when it is nothing with a page.
#[component]
pub fn AnyLink(#[prop(into)] id: String) -> impl IntoView {
    let inventory = use_state().inventory;
    // Followed: a task may come before the object that it works on.
    move || {
        if let Some(vm) = inventory.vms.get(&id) {
            return view! {
                <a href=Route::Vm(id.clone()).path() class="object-link">
                    <PowerIcon power=Power::of(&vm.power_state) />
                    <span>{vm.shown_name()}</span>
                </a>
            }
            .into_any();
        }
        if inventory.hosts.get(&id).is_some() {
            return view! { <HostLink id=id.clone() icon=true /> }.into_any();
        }
        if inventory.pools.get(&id).is_some() {
            return view! { <PoolLink id=id.clone() icon=true /> }.into_any();
        }
        ().into_any()
    }
}
