//! The shortcuts that work everywhere: Ctrl/Cmd-K, `?`, `t`, and `g` followed by a letter.

use crate::{routes::Route, state::State, ui::keys::plain_key};
use leptos::{ev, prelude::*};
use leptos_router::hooks::use_navigate;

/// How long `g` waits for its letter, ms.
const CHORD_MS: f64 = 1200.0;

pub fn listen(state: State) {
    let navigate = use_navigate();
    let chord = StoredValue::new(f64::NEG_INFINITY);
    let panels = state.panels;
    let handle = window_event_listener(ev::keydown, move |event| {
        if (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k") {
            event.prevent_default();
            panels.palette.update(|open| *open = !*open);
            return;
        }
        let Some(key) = plain_key(&event) else { return };
        let in_chord = event.time_stamp() - chord.get_value() < CHORD_MS;
        chord.set_value(f64::NEG_INFINITY);
        if in_chord {
            let route = match key.as_str() {
                "v" => Route::Vms,
                "h" => Route::Hosts,
                "p" => Route::Pools,
                "t" => Route::Tasks,
                _ => return,
            };
            navigate(&route.path(), Default::default());
            return;
        }
        match key.as_str() {
            "g" => chord.set_value(event.time_stamp()),
            "?" => panels.help.set(true),
            "t" => panels.tasks.update(|open| *open = !*open),
            _ => {}
        }
    });
    on_cleanup(move || handle.remove());
}
