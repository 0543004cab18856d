//! The keyboard, on one sheet, and the filter language with it.

use crate::{state::use_state, ui::dialog::Dialog};
use leptos::prelude::*;

const KEYS: &[(&str, &str)] = &[
    ("Ctrl K", "Find anything, do anything"),
    ("/", "Filter the list"),
    ("j  k", "Next and previous row"),
    ("x", "Select the row"),
    ("Enter", "Open the row"),
    ("Esc", "Leave the field, clear the selection"),
    ("g v", "VMs"),
    ("g h", "Hosts"),
    ("g p", "Pools"),
    ("g t", "Tasks"),
    ("t", "Open or close the task drawer"),
    ("?", "This sheet"),
];

const FILTERS: &[(&str, &str)] = &[
    ("web prod", "both words, in any property"),
    ("state:running", "a property contains a word"),
    ("ram:>8GiB", "compare figures and sizes"),
    ("tags?", "a property is there"),
    ("!os:windows", "not"),
    ("|(web db)", "one of them"),
    ("name:/^vm-\\d+$/i", "a regular expression"),
    ("web*01", "any text between"),
    ("\"two words\"", "exactly this text"),
];

#[component]
pub fn Help() -> impl IntoView {
    let open = use_state().panels.help;
    let rows = |rows: &'static [(&'static str, &'static str)]| {
        rows.iter()
            .map(|(key, what)| view! { <div class="help__row"><dt><kbd>{*key}</kbd></dt><dd>{*what}</dd></div> })
            .collect_view()
    };
    view! {
        <Dialog open=open title="Keyboard and filters">
            <div class="help">
                <section>
                    <h3>"Keyboard"</h3>
                    <dl>{rows(KEYS)}</dl>
                </section>
                <section>
                    <h3>"Filters"</h3>
                    <dl>{rows(FILTERS)}</dl>
                </section>
            </div>
        </Dialog>
    }
}
