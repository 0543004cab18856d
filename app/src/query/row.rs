//! The same filters over the light rows of the web client: no JSON, one search text per row.

use super::ast::Query;
use super::eval::in_order;

/// A property of a row.
pub enum Field<'a> {
    Absent,
    Text(&'a str),
    /// Any of these: the tags, or an id beside the name it stands for.
    Any(Vec<&'a str>),
    Number(f64),
    Bool(bool),
}

/// A row that can be filtered.
pub trait Lookup {
    /// The property of that published name, or of its short name for people (`ram`, `pool`).
    fn field(&self, name: &str) -> Field<'_>;
    /// All that a bare word searches, in lower case.
    fn haystack(&self) -> &str;
}

impl Query {
    pub fn matches_row(&self, row: &dyn Lookup) -> bool {
        match self {
            Query::And(terms) => terms.iter().all(|term| term.matches_row(row)),
            Query::Or(terms) => terms.iter().any(|term| term.matches_row(row)),
            Query::Not(term) => !term.matches_row(row),
            Query::Property(name, term) => term.matches_field(&row.field(name)),
            Query::Truthy(name) => match row.field(name) {
                Field::Absent => false,
                Field::Text(text) => !text.is_empty(),
                Field::Any(texts) => !texts.is_empty(),
                Field::Number(number) => number != 0.0,
                Field::Bool(truth) => truth,
            },
            Query::Compare(..) => false,
            Query::Text(needle) | Query::Number(_, needle) => needle.is_in_lower(row.haystack()),
            Query::Glob(pieces) => row.haystack().lines().any(|line| in_order(pieces, line)),
            Query::Regex(regex) => row.haystack().lines().any(|line| regex.is_match(line)),
        }
    }

    fn matches_field(&self, field: &Field<'_>) -> bool {
        let any = |found: &dyn Fn(&str) -> bool| match field {
            Field::Text(text) => found(text),
            Field::Any(texts) => texts.iter().any(|text| found(text)),
            Field::Absent | Field::Number(_) | Field::Bool(_) => false,
        };
        match self {
            Query::And(terms) => terms.iter().all(|term| term.matches_field(field)),
            Query::Or(terms) => terms.iter().any(|term| term.matches_field(field)),
            Query::Not(term) => !term.matches_field(field),
            // Rows are flat: `CPUs:number:4` and `memory:size:>8GiB` mean the one figure that they carry.
            Query::Property(_, term) => term.matches_field(field),
            Query::Truthy(_) => !matches!(field, Field::Absent),
            Query::Compare(order, limit) => match field {
                Field::Number(number) => order.holds(*number, *limit),
                Field::Text(text) => text.parse().is_ok_and(|number| order.holds(number, *limit)),
                Field::Absent | Field::Any(_) | Field::Bool(_) => false,
            },
            Query::Text(needle) => any(&|text| needle.is_in(text)),
            Query::Number(number, needle) => match field {
                Field::Number(value) => value == number,
                _ => any(&|text| needle.is_in(text)),
            },
            Query::Glob(pieces) => any(&|text| in_order(pieces, text)),
            Query::Regex(regex) => any(&|text| regex.is_match(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    struct Row;
    impl Lookup for Row {
        fn field(&self, name: &str) -> Field<'_> {
            match name {
                "name_label" => Field::Text("Web 01"),
                "memory" => Field::Number(8_589_934_592.0),
                "$pool" => Field::Any(vec!["4b1d", "Lab"]),
                "tags" => Field::Any(vec![]),
                "enabled" => Field::Bool(true),
                _ => Field::Absent,
            }
        }

        fn haystack(&self) -> &str {
            "web 01\n10.0.0.5\nrunning"
        }
    }

    #[test]
    fn rows_answer_like_objects() {
        for (text, expected) in [
            ("web", true),
            ("WEB", true),
            ("10.0*5", true),
            ("web*running", false),
            ("$pool:lab", true),
            ("$pool:4b1d", true),
            ("memory:>=8GiB", true),
            ("memory:size:>8GiB", false),
            ("tags?", false),
            ("enabled?", true),
            ("!missing?", true),
            ("name_label:/^Web/", true),
            ("running !halted", true),
        ] {
            assert_eq!(parse(text).expect(text).matches_row(&Row), expected, "{text}");
        }
    }
}
