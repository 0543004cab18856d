//! What the page knows: the inventory fed by the server's views, the connection, and what the user
//! started. Signals only; nothing here renders.

pub mod actions;
pub mod class;
pub mod clock;
pub mod explain;
pub mod inventory;
pub mod list;
pub mod object;
pub mod preferences;
pub mod rows;
pub mod selection;
pub mod toasts;

use crate::{
    client::{self, Phase},
    rpc::methods::User,
};
use actions::Actions;
use clock::Clock;
use inventory::Inventory;
use leptos::prelude::*;
use preferences::Preferences;
use std::time::Duration;
use toasts::Toasts;

/// Handles of everything, cheap to copy into closures.
#[derive(Clone, Copy)]
pub struct State {
    pub inventory: Inventory,
    pub phase: RwSignal<Phase>,
    pub user: RwSignal<Option<User>>,
    pub toasts: Toasts,
    pub actions: Actions,
    pub clock: Clock,
    pub preferences: Preferences,
    pub panels: Panels,
}

/// Which of the frame's panels are open.
#[derive(Clone, Copy)]
pub struct Panels {
    pub palette: RwSignal<bool>,
    pub tasks: RwSignal<bool>,
    pub help: RwSignal<bool>,
    /// The navigation drawer of narrow screens.
    pub navigation: RwSignal<bool>,
}

impl State {
    /// Makes the state known to everything below; connects once the page is alive.
    pub fn provide() -> Self {
        let toasts = Toasts::new();
        let state = Self {
            inventory: Inventory::new(),
            phase: RwSignal::new(Phase::Starting),
            user: RwSignal::new(None),
            toasts,
            actions: Actions::new(toasts),
            clock: Clock::new(),
            preferences: Preferences::new(),
            panels: Panels {
                palette: RwSignal::new(false),
                tasks: RwSignal::new(false),
                help: RwSignal::new(false),
                navigation: RwSignal::new(false),
            },
        };
        provide_context(state);
        // Effects do not run while the server renders.
        Effect::new(move |_| {
            state.preferences.load();
            state.clock.start();
            // Not in the same task as bringing the page to life: each alone is short.
            set_timeout(
                move || {
                    client::start(state.phase, state.user);
                    state.inventory.watch();
                },
                Duration::ZERO,
            );
        });
        state
    }

    pub fn is_admin(self) -> bool {
        self.user.with(|user| user.as_ref().is_some_and(User::is_admin))
    }
}

pub fn use_state() -> State {
    expect_context()
}
