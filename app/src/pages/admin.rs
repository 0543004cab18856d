//! The administration pages, and everybody's account: documents that the server renders and that need no
//! script. They are given plain data; nothing here asks the store.

pub mod account;
pub mod audit;
pub mod connections;
pub mod document;
pub mod group;
pub mod groups;
pub mod message;
pub mod otp;
pub mod overview;
pub mod parts;
pub mod rights;
pub mod servers;
pub mod tokens;
pub mod user;
pub mod users;

pub use document::{Document, Notice};

/// What was entered in a form that could not be taken: it stays, with what is wrong beside it.
#[derive(Clone, Debug, Default)]
pub struct Entered {
    /// Which form of the page.
    pub form: String,
    /// Field to what is wrong with it.
    pub errors: Vec<(String, String)>,
    /// Field to what was typed; no passwords.
    pub typed: Vec<(String, String)>,
}

impl Entered {
    fn of<'a>(&self, pairs: &'a [(String, String)], form: &str, field: &str) -> Option<&'a str> {
        let found = pairs.iter().find(|(name, _)| name == field);
        found
            .filter(|_| self.form == form)
            .map(|(_, value)| value.as_str())
    }

    pub fn typed(&self, form: &str, field: &str) -> Option<&str> {
        self.of(&self.typed, form, field)
    }

    pub fn error(&self, form: &str, field: &str) -> Option<&str> {
        self.of(&self.errors, form, field)
    }
}

/// A name to show and where it leads.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub id: String,
    pub name: String,
    /// What it is, where that is not plain.
    pub kind: String,
    /// Empty: nowhere.
    pub path: String,
}

/// A part of a long list.
#[derive(Clone, Debug, Default)]
pub struct Part<T> {
    pub shown: Vec<T>,
    /// How many there are, with the filter.
    pub total: usize,
    /// The number of the first shown, from 0.
    pub from: usize,
    pub filter: String,
    /// The page with this filter, without `from`.
    pub path: String,
}
