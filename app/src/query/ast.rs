//! What a filter text means once it is read.

use regex_lite::Regex;

/// A filter. The default matches everything.
#[derive(Clone, Debug)]
pub enum Query {
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
    /// `name:query`
    Property(String, Box<Query>),
    /// `name?`
    Truthy(String),
    Compare(Order, f64),
    /// `"text"` or a raw word: a case-insensitive substring.
    Text(Needle),
    /// `te*xt`: the pieces occur in this order, anywhere, in any case.
    Glob(Vec<Needle>),
    /// A number equals it, a text contains it.
    Number(f64, Needle),
    Regex(Regex),
}

impl Default for Query {
    fn default() -> Self {
        Query::And(Vec::new())
    }
}

impl Query {
    /// Whether this filter lets everything through because it says nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Query::And(terms) if terms.is_empty())
    }
}

/// A text to look for, lower-cased once so that ten thousand comparisons need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    lower: String,
}

impl Needle {
    pub fn new(text: &str) -> Self {
        Self {
            lower: text.to_lowercase(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.lower
    }

    /// `text` may have any case.
    pub fn is_in(&self, text: &str) -> bool {
        // Most properties are short ASCII: compare without an allocation.
        if self.lower.is_ascii() && text.is_ascii() {
            let needle = self.lower.as_bytes();
            return needle.is_empty()
                || text
                    .as_bytes()
                    .windows(needle.len())
                    .any(|part| part.eq_ignore_ascii_case(needle));
        }
        text.to_lowercase().contains(&self.lower)
    }

    /// `text` is lower case already.
    pub fn is_in_lower(&self, text: &str) -> bool {
        text.contains(&self.lower)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Order::Less => left < right,
            Order::LessOrEqual => left <= right,
            Order::Greater => left > right,
            Order::GreaterOrEqual => left >= right,
        }
    }
}
