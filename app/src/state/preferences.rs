//! What the user chose for this browser: kept in its local storage.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    /// Value of the `data-theme` attribute and of the stored preference (public/theme.js reads it too).
    pub fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

#[derive(Clone, Copy)]
pub struct Preferences {
    pub theme: RwSignal<Theme>,
    /// Ids of the tree's nodes that are folded.
    pub folded: RwSignal<Vec<String>>,
}

const THEME: &str = "xo.theme";
const FOLDED: &str = "xo.tree.folded";

impl Preferences {
    pub fn new() -> Self {
        Self {
            theme: RwSignal::new(Theme::Auto),
            folded: RwSignal::new(Vec::new()),
        }
    }

    pub fn load(self) {
        if let Some(name) = read(THEME) {
            self.theme.set(
                Theme::ALL
                    .into_iter()
                    .find(|theme| theme.name() == name)
                    .unwrap_or_default(),
            );
        }
        if let Some(folded) = read(FOLDED) {
            self.folded.set(
                folded
                    .split(' ')
                    .filter(|id| !id.is_empty())
                    .map(ToOwned::to_owned)
                    .collect(),
            );
        }
    }

    pub fn set_theme(self, theme: Theme) {
        self.theme.set(theme);
        write(THEME, theme.name());
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", theme.name());
        }
    }

    pub fn toggle_fold(self, id: &str) {
        self.folded
            .update(|folded| match folded.iter().position(|folded| folded == id) {
                Some(at) => {
                    folded.remove(at);
                }
                None => folded.push(id.to_owned()),
            });
        write(FOLDED, &self.folded.get_untracked().join(" "));
    }
}

impl Default for Preferences {
    fn default() -> Self {
        Self::new()
    }
}

/// Storage may be switched off in the browser: then nothing is remembered.
fn read(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

fn write(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}
