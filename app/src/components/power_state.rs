//! The power state: a shape and a colour of its own, and the word.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    Running,
    Halted,
    Paused,
    Suspended,
    Unknown,
}

impl Power {
    pub fn of(name: &str) -> Self {
        match name {
            "Running" => Power::Running,
            "Halted" => Power::Halted,
            "Paused" => Power::Paused,
            "Suspended" => Power::Suspended,
            _ => Power::Unknown,
        }
    }

    pub fn class(self) -> &'static str {
        match self {
            Power::Running => "power power--running",
            Power::Halted => "power power--halted",
            Power::Paused => "power power--paused",
            Power::Suspended => "power power--suspended",
            Power::Unknown => "power power--unknown",
        }
    }

    /// Filled shapes, told apart without colour: triangle, square, two bars, moon, dashed ring.
    pub fn path(self) -> &'static str {
        match self {
            Power::Running => "M4.500 2.600v10.800L13 8Z",
            Power::Halted => "M4 4h8v8H4Z",
            Power::Paused => "M4 3.500h3v9H4ZM9 3.500h3v9H9Z",
            Power::Suspended => "M12.800 9.800A5.500 5.500 0 0 1 6.200 3.200a5.500 5.500 0 1 0 6.600 6.600Z",
            Power::Unknown => "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z",
        }
    }
}

/// The shape alone; the word is beside it or in the accessible name.
#[component]
pub fn PowerIcon(power: Power, #[prop(optional, into)] label: Option<String>) -> impl IntoView {
    let hidden = label.is_none().then_some("true");
    let role = label.is_some().then_some("img");
    view! {
        <svg
            class=power.class()
            viewBox="0 0 16 16"
            width="14"
            height="14"
            role=role
            aria-hidden=hidden
            aria-label=label
        >
            <path d=power.path() />
        </svg>
    }
}

/// Shape and word. While an operation runs, its name takes the place of the word.
#[component]
pub fn PowerState(#[prop(into)] state: String, #[prop(optional, into)] operation: String) -> impl IntoView {
    let busy = !operation.is_empty();
    let word = if busy {
        operation_words(&operation)
    } else {
        state.clone()
    };
    view! {
        <span class="power-state" class:power-state--busy=busy>
            <PowerIcon power=Power::of(&state) />
            <span>{word}</span>
        </span>
    }
}

/// `clean_shutdown` → `Shutting down`: what runs now, as people say it.
pub fn operation_words(operation: &str) -> String {
    match operation {
        "start" | "start_on" => "Starting".into(),
        "clean_shutdown" | "hard_shutdown" | "shutdown" => "Stopping".into(),
        "clean_reboot" | "hard_reboot" => "Restarting".into(),
        "suspend" => "Suspending".into(),
        "resume" | "resume_on" => "Resuming".into(),
        "pause" => "Pausing".into(),
        "unpause" => "Resuming".into(),
        "snapshot" | "checkpoint" | "snapshot_with_quiesce" => "Snapshotting".into(),
        "pool_migrate" | "migrate_send" => "Migrating".into(),
        "destroy" => "Deleting".into(),
        "export" => "Exporting".into(),
        "clone" | "copy" => "Copying".into(),
        "revert" | "reverting" => "Reverting".into(),
        other => {
            let mut words = other.replace('_', " ");
            if let Some(first) = words.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            words
        }
    }
}
