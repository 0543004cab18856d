//! The time, as a signal that moves every second, so that ages on the screen stay true.

use leptos::prelude::*;
use std::time::Duration;

#[derive(Clone, Copy)]
pub struct Clock {
    /// ms since epoch; 0 until the page is alive, so that server and client render the same.
    pub now: RwSignal<f64>,
    /// The same, moving every minute: for what is on the screen many times.
    pub minute: RwSignal<f64>,
}

impl Clock {
    pub fn new() -> Self {
        Self {
            now: RwSignal::new(0.0),
            minute: RwSignal::new(0.0),
        }
    }

    pub fn start(self) {
        self.now.set(js_sys::Date::now());
        self.minute.set(js_sys::Date::now());
        set_interval(
            move || self.minute.set(js_sys::Date::now()),
            Duration::from_secs(60),
        );
        set_interval(move || self.now.set(js_sys::Date::now()), Duration::from_secs(1));
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
