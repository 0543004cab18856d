//! Top bar, navigation and tree on the left, the page, and the panels over it.

use super::shortcuts;
use crate::{
    components::{
        account_menu::AccountMenu,
        help::Help,
        link_chip::{LinkChip, OfflineBanner},
        palette::Palette,
        task_drawer::{TaskDrawer, running_tasks},
        toast_stack::ToastStack,
        tree::Tree,
    },
    routes::{self, Route},
    state::use_state,
    ui::{
        format::count,
        icon::{Glyph, Icon},
        later::Later,
        mark::Mark,
    },
};
use leptos::prelude::*;
use leptos_router::{components::A, hooks::use_location};

#[component]
pub fn Frame(children: Children) -> impl IntoView {
    let state = use_state();
    shortcuts::listen(state);
    let navigation = state.panels.navigation;
    // Going somewhere closes the drawer of narrow screens.
    let pathname = use_location().pathname;
    Effect::new(move |_| {
        pathname.track();
        navigation.set(false);
    });
    view! {
        <a class="skip" href="#content">"Skip to the content"</a>
        <div class="frame" class:frame--navigation=move || navigation.get()>
            <TopBar />
            <div class="frame__backdrop" on:click=move |_| navigation.set(false)></div>
            <aside class="side" aria-label="Navigation and infrastructure">
                <Navigation />
                <Tree />
            </aside>
            <main id="content" class="content" tabindex="0">
                <OfflineBanner />
                {children()}
            </main>
        </div>
        <Later>
            <TaskDrawer />
            <ToastStack />
        </Later>
        <Later>
            <Palette />
            <Help />
        </Later>
    }
}

#[component]
fn TopBar() -> impl IntoView {
    let state = use_state();
    let panels = state.panels;
    let running = running_tasks();
    view! {
        <header class="topbar">
            <button
                type="button"
                class="icon-button topbar__menu"
                aria-label="Navigation"
                aria-expanded=move || panels.navigation.get().to_string()
                on:click=move |_| panels.navigation.update(|open| *open = !*open)
            >
                <Glyph icon=Icon::Menu />
            </button>
            <A href=Route::Vms.path() attr:class="mark" attr:aria-label="Xen Orchestra">
                <Mark />
                <span class="mark__text">"Xen Orchestra"</span>
            </A>
            <button type="button" class="topbar__search" aria-label="Find anything" on:click=move |_| panels.palette.set(true)>
                <Glyph icon=Icon::Search />
                <span>"Find anything"</span>
                <kbd>"Ctrl K"</kbd>
            </button>
            <div class="topbar__right">
                <LinkChip />
                <button
                    type="button"
                    class="chip-button"
                    aria-expanded=move || panels.tasks.get().to_string()
                    aria-label=move || format!("Tasks: {} running", running.get())
                    on:click=move |_| panels.tasks.update(|open| *open = !*open)
                >
                    <Glyph icon=Icon::Task />
                    <span class="chip-button__text">"Tasks"</span>
                    {move || {
                        let running = running.get();
                        (running > 0).then(|| view! { <span class="badge badge--accent">{count(running)}</span> })
                    }}
                </button>
                <AccountMenu />
            </div>
        </header>
    }
}

#[component]
fn Navigation() -> impl IntoView {
    let state = use_state();
    let inventory = state.inventory;
    let entry = move |route: Route, icon: Icon, label: &'static str, number: Option<Signal<usize>>| {
        view! {
            <A href=route.path() attr:class="nav__link">
                <Glyph icon=icon />
                <span>{label}</span>
                {number
                    .map(|number| {
                        view! {
                            <span class="nav__count">
                                {move || if inventory.ready.get() { count(number.get()) } else { String::new() }}
                            </span>
                        }
                    })}
            </A>
        }
    };
    view! {
        <nav class="nav" aria-label="Main">
            {entry(Route::Vms, Icon::Vm, "VMs", Some(Signal::derive(move || inventory.vms.len())))}
            {entry(Route::Hosts, Icon::Host, "Hosts", Some(Signal::derive(move || inventory.hosts.len())))}
            {entry(Route::Pools, Icon::Pool, "Pools", Some(Signal::derive(move || inventory.pools.len())))}
            {entry(Route::Tasks, Icon::Task, "Tasks", None)}
            <Show when=move || state.is_admin()>
                <h2 class="nav__title">"Administration"</h2>
                {entry(Route::Servers, Icon::Server, "Servers", None)}
                // A page of the server alone: the router leaves the link to the browser.
                <a href=routes::ADMIN rel="external" class="nav__link">
                    <Glyph icon=Icon::User />
                    <span>"Users, rights, audit log"</span>
                </a>
            </Show>
        </nav>
    }
}
