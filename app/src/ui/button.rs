//! Buttons with words. One that may not be pressed stays focusable and says why.

use super::icon::{Glyph, Icon};
use leptos::prelude::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Plain,
    /// The one likely action of its place.
    Primary,
    /// No border until it is pointed at.
    Quiet,
    Danger,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Plain => "button",
            Kind::Primary => "button button--primary",
            Kind::Quiet => "button button--quiet",
            Kind::Danger => "button button--danger",
        }
    }
}

#[component]
pub fn Button(
    #[prop(into)] label: String,
    #[prop(optional)] icon: Option<Icon>,
    #[prop(optional)] kind: Kind,
    /// Why it can not be pressed now.
    #[prop(optional, into)]
    blocked: Signal<Option<String>>,
    #[prop(optional, into)] hint: Option<String>,
    on_press: impl Fn() + 'static,
) -> impl IntoView {
    let tip = move || blocked.get().or_else(|| hint.clone());
    view! {
        <button
            type="button"
            class=kind.class()
            aria-disabled=move || blocked.with(|reason| reason.is_some().then_some("true"))
            data-tip=tip
            aria-description=move || blocked.get()
            on:click=move |_| {
                if blocked.with_untracked(Option::is_none) {
                    on_press();
                }
            }
        >
            {icon.map(|icon| view! { <Glyph icon=icon /> })}
            <span>{label}</span>
        </button>
    }
}

/// A square button with an icon only; `label` is its accessible name and its tooltip.
#[component]
pub fn IconButton(
    #[prop(into)] label: String,
    icon: Icon,
    on_press: impl Fn() + 'static,
    #[prop(optional, into)] class: String,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class=format!("icon-button {class}")
            aria-label=label.clone()
            data-tip=label
            on:click=move |_| on_press()
        >
            <Glyph icon=icon />
        </button>
    }
}
