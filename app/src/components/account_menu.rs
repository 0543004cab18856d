//! The account menu: who is signed in, the theme, sign out.

use crate::{
    routes,
    state::{preferences::Theme, use_state},
    ui::{
        icon::{Glyph, Icon},
        menu::Menu,
    },
};
use leptos::prelude::*;

#[component]
pub fn AccountMenu() -> impl IntoView {
    let state = use_state();
    let theme = state.preferences.theme;
    let name = move || {
        state
            .user
            .with(|user| user.as_ref().map(|user| user.email.clone()).unwrap_or_default())
    };
    view! {
        <Menu
            label=Signal::derive(|| "Account".to_owned())
            class="icon-button"
            trigger=ViewFn::from(|| view! { <Glyph icon=Icon::User /> })
        >
            <div class="account">
                <p class="account__name">{name}</p>
                <fieldset class="segments">
                    <legend>"Theme"</legend>
                    {Theme::ALL
                        .into_iter()
                        .map(|choice| {
                            let label = match choice {
                                Theme::Auto => "Auto",
                                Theme::Light => "Light",
                                Theme::Dark => "Dark",
                            };
                            view! {
                                <button
                                    type="button"
                                    aria-pressed=move || (theme.get() == choice).to_string()
                                    on:click=move |_| state.preferences.set_theme(choice)
                                >
                                    {label}
                                </button>
                            }
                        })
                        .collect_view()}
                </fieldset>
                // A page of the server alone: the router leaves the link to the browser.
                <a href=routes::ACCOUNT rel="external" class="menu-item">
                    <Glyph icon=Icon::User />
                    "My account"
                </a>
                <button type="button" class="menu-item" on:click=move |_| state.panels.help.set(true)>
                    <Glyph icon=Icon::Keyboard />
                    "Keyboard shortcuts"
                    <kbd>"?"</kbd>
                </button>
                <form method="post" action=routes::SIGN_OUT>
                    <button type="submit" class="menu-item">
                        <Glyph icon=Icon::SignOut />
                        "Sign out"
                    </button>
                </form>
            </div>
        </Menu>
    }
}
