//! What a cell shows, as plain data: a row that scrolls in changes the texts of one that scrolled out, and
//! what is equal is not touched.

use crate::{
    components::power_state::{Power, operation_words},
    state::class::shown_name,
    ui::meter,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text {
        text: String,
        /// Shown when pointed at; empty for none.
        title: String,
    },
    /// A plain link, which the router follows. Without an address, a muted text.
    Link {
        class: &'static str,
        href: String,
        text: String,
    },
    /// A shape, a word, and a remark beside it.
    State {
        mark: Mark,
        text: String,
        note: &'static str,
        title: String,
    },
    Meter {
        share: f64,
        text: String,
    },
    Tags(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Power {
        power: Power,
        busy: bool,
    },
    /// Class of the dot.
    Dot(&'static str),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text {
            text: text.into(),
            title: String::new(),
        }
    }

    /// A text that may be cut off: all of it is in its tooltip.
    pub fn long(text: &str) -> Self {
        Cell::Text {
            text: text.to_owned(),
            title: text.to_owned(),
        }
    }

    /// The link to the row's own object.
    pub fn name(href: String, name: &str) -> Self {
        Cell::Link {
            class: "table__link",
            href,
            text: shown_name(name).to_owned(),
        }
    }

    /// The link to another object.
    pub fn link(href: String, name: &str) -> Self {
        Cell::Link {
            class: "table__ref",
            href,
            text: name.to_owned(),
        }
    }

    pub fn none() -> Self {
        Cell::Link {
            class: "table__ref",
            href: String::new(),
            text: "—".to_owned(),
        }
    }

    /// While an operation runs, its name takes the place of the state's.
    pub fn power(state: &str, operation: &str, note: &'static str) -> Self {
        let busy = !operation.is_empty();
        Cell::State {
            mark: Mark::Power {
                power: Power::of(state),
                busy,
            },
            text: if busy {
                operation_words(operation)
            } else {
                state.to_owned()
            },
            note,
            title: String::new(),
        }
    }
}

impl Mark {
    /// Of the span around the shape and the word.
    pub(super) fn class(self) -> &'static str {
        match self {
            Mark::Power { busy: true, .. } => "power-state power-state--busy",
            Mark::Power { busy: false, .. } | Mark::Dot(_) => "power-state",
        }
    }
}

/// Class of the bar and width of what is filled of it.
pub(super) fn meter_look(share: f64) -> (&'static str, String) {
    let share = meter::clean(share);
    (meter::level(share), meter::width(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_blanks_is_still_a_link_with_words() {
        for (name, shown) in [
            ("web", "web"),
            ("", "Without a name"),
            (" \t\n", "Without a name"),
        ] {
            let Cell::Link { text, .. } = Cell::name("/vms/x".to_owned(), name) else {
                panic!("a link")
            };
            assert_eq!(text, shown);
        }
    }
}
