//! The expressions of `get_all_where` and `get_all_records_where`: `field "name__label"="x"`, `and`, `or`,
//! `not (...)`, `true`, `false`. Fields are named by database column, values compared as stored text.

use crate::db::Row;
use crate::fault::Fault;
use crate::model::Class;

#[derive(Debug)]
pub enum Filter {
    Constant(bool),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    /// Sides are columns or texts.
    Equal(Side, Side),
}

#[derive(Debug)]
pub enum Side {
    Field(usize),
    Text(String),
}

impl Filter {
    pub fn accepts(&self, row: &Row) -> bool {
        match self {
            Filter::Constant(flag) => *flag,
            Filter::Not(inner) => !inner.accepts(row),
            Filter::And(left, right) => left.accepts(row) && right.accepts(row),
            Filter::Or(left, right) => left.accepts(row) || right.accepts(row),
            Filter::Equal(left, right) => left.text(row) == right.text(row),
        }
    }
}

impl Side {
    fn text(&self, row: &Row) -> String {
        match self {
            Side::Field(field) => row.at(*field).marshalled(),
            Side::Text(text) => text.clone(),
        }
    }
}

pub fn parse(class: &Class, text: &str) -> Result<Filter, Fault> {
    let mut parser = Parser { class, rest: text };
    parser
        .or()
        .filter(|_| parser.rest.trim().is_empty())
        .ok_or_else(|| Fault::new("INVALID_VALUE", [text, "Parse_error"]))
}

struct Parser<'a> {
    class: &'a Class,
    rest: &'a str,
}

impl Parser<'_> {
    fn or(&mut self) -> Option<Filter> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Filter> {
        let mut left = self.term()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Some(left)
    }

    fn term(&mut self) -> Option<Filter> {
        if self.word("not") {
            return Some(Filter::Not(Box::new(self.term()?)));
        }
        if self.word("(") {
            let inner = self.or()?;
            return self.word(")").then_some(inner);
        }
        if self.word("true") {
            return Some(Filter::Constant(true));
        }
        if self.word("false") {
            return Some(Filter::Constant(false));
        }
        let left = self.side()?;
        if !self.word("=") {
            return None;
        }
        Some(Filter::Equal(left, self.side()?))
    }

    fn side(&mut self) -> Option<Side> {
        if !self.word("field") {
            return self.quoted().map(Side::Text);
        }
        // Columns are spelt like fields, but for the two that the database nests (`name__label`).
        let column = self.quoted()?;
        let name = column.replace("__", "_");
        self.class
            .field(&name)
            .or_else(|| self.class.field(&column))
            .map(Side::Field)
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let rest = self.rest.trim_start().strip_prefix('"')?;
        let end = rest.find('"')?;
        self.rest = &rest[end + 1..];
        Some(rest[..end].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, class};
    use crate::value::Value;

    #[test]
    fn expressions_select_rows() {
        let mut db = Db::new(1);
        db.create(
            "VM",
            [
                ("name_label", Value::from("a")),
                ("is_a_template", Value::Bool(true)),
            ],
        );
        db.create("VM", [("name_label", Value::from("b"))]);
        let class = class("VM");
        let count = |text: &str| {
            let filter = parse(class, text).expect(text);
            db.rows(class).filter(|(_, row)| filter.accepts(row)).count()
        };
        assert_eq!(count("true"), 2);
        assert_eq!(count(r#"field "name__label"="a""#), 1);
        assert_eq!(
            count(r#"field "is_a_template" = "true" and field "name__label" = "b""#),
            0
        );
        assert_eq!(
            count(r#"not (field "name__label"="a") or field "is_a_template"="true""#),
            2
        );
    }

    #[test]
    fn what_cannot_be_parsed_is_an_invalid_value() {
        for text in ["", "field 'a'='b'", "true false", r#"field "nope"="x""#] {
            assert_eq!(
                parse(class("VM"), text)
                    .map_err(|fault| fault.code)
                    .err()
                    .as_deref(),
                Some("INVALID_VALUE")
            );
        }
    }
}
