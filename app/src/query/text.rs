//! Reads the filter text that people type.
//!
//! Beyond the contract's grammar two things are accepted which used to be errors: sizes with a unit in
//! comparisons (`memory:>8GiB`), and letters without case or harmless signs (`,` `@` `=`) in raw words.

use super::ast::{Needle, Order, Query};
use regex_lite::{Regex, RegexBuilder};
use std::fmt;

/// The text is not a filter: what was expected, and where (in characters from 0).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    pub expected: &'static str,
    pub position: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "parse error: expected {} at position {}",
            self.expected, self.position
        )
    }
}

/// Nesting past this is refused: the reader and the evaluation are recursive.
const MAX_DEPTH: usize = 64;

pub fn parse(text: &str) -> Result<Query, ParseError> {
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
        depth: 0,
    };
    let terms = reader.terms()?;
    if reader.at < reader.chars.len() {
        return reader.expected("end of text");
    }
    Ok(and(terms))
}

fn and(mut terms: Vec<Query>) -> Query {
    if terms.len() == 1 {
        terms.remove(0)
    } else {
        Query::And(terms)
    }
}

fn is_raw(c: char) -> bool {
    c.is_alphanumeric() || "_-.$@,;=+%#&'~[]{}^".contains(c)
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError {
            expected,
            position: self.at,
        })
    }

    /// Terms up to the end or a closing bracket.
    fn terms(&mut self) -> Result<Vec<Query>, ParseError> {
        let mut terms = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None | Some(')') => return Ok(terms),
                Some(_) => terms.push(self.term()?),
            }
        }
    }

    fn term(&mut self) -> Result<Query, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.expected("fewer nested terms");
        }
        let term = self.term_inner();
        self.depth -= 1;
        term
    }

    fn term_inner(&mut self) -> Result<Query, ParseError> {
        match self.peek() {
            Some('(') => Ok(and(self.group()?)),
            Some('|') => {
                self.at += 1;
                self.blanks();
                Ok(Query::Or(self.group()?))
            }
            Some('!') => {
                self.at += 1;
                self.blanks();
                Ok(Query::Not(Box::new(self.term()?)))
            }
            Some('<' | '>') => self.comparison(),
            Some('/') => self.regex(),
            Some('"') => {
                let text = self.quoted();
                match self.property(&text)? {
                    Some(property) => Ok(property),
                    None => Ok(Query::Text(Needle::new(&text))),
                }
            }
            Some(c) if is_raw(c) || c == '*' => self.word(),
            _ => self.expected("a term"),
        }
    }

    fn group(&mut self) -> Result<Vec<Query>, ParseError> {
        if !self.eat('(') {
            return self.expected("(");
        }
        let terms = self.terms()?;
        if !self.eat(')') {
            return self.expected(")");
        }
        Ok(terms)
    }

    /// After a name: `:` makes it a property, `?` asks whether it is truthy.
    fn property(&mut self, name: &str) -> Result<Option<Query>, ParseError> {
        if self.eat('?') {
            return Ok(Some(Query::Truthy(name.to_owned())));
        }
        let before = self.at;
        self.blanks();
        if !self.eat(':') {
            self.at = before;
            return Ok(None);
        }
        self.blanks();
        if self.peek().is_none() {
            return self.expected("a term");
        }
        Ok(Some(Query::Property(name.to_owned(), Box::new(self.term()?))))
    }

    fn word(&mut self) -> Result<Query, ParseError> {
        let start = self.at;
        while self.peek().is_some_and(|c| is_raw(c) || c == '*') {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        if text.contains('*') {
            let pieces = text
                .split('*')
                .filter(|piece| !piece.is_empty())
                .map(Needle::new)
                .collect();
            return Ok(Query::Glob(pieces));
        }
        if let Some(property) = self.property(&text)? {
            return Ok(property);
        }
        Ok(match plain_number(&text) {
            Some(number) => Query::Number(number, Needle::new(&text)),
            None => Query::Text(Needle::new(&text)),
        })
    }

    /// A backslash makes the next character literal; a missing end quote is forgiven while one types.
    fn quoted(&mut self) -> String {
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '"' => break,
                '\\' => {
                    text.extend(self.peek());
                    self.at = (self.at + 1).min(self.chars.len());
                }
                c => text.push(c),
            }
        }
        text
    }

    fn comparison(&mut self) -> Result<Query, ParseError> {
        let greater = self.peek() == Some('>');
        self.at += 1;
        let or_equal = self.eat('=');
        self.blanks();
        let start = self.at;
        while self.peek().is_some_and(is_raw) {
            self.at += 1;
        }
        let text: String = self.chars[start..self.at].iter().collect();
        let Some(number) = measure(&text) else {
            self.at = start;
            return self.expected("a number");
        };
        let order = match (greater, or_equal) {
            (true, true) => Order::GreaterOrEqual,
            (true, false) => Order::Greater,
            (false, true) => Order::LessOrEqual,
            (false, false) => Order::Less,
        };
        Ok(Query::Compare(order, number))
    }

    fn regex(&mut self) -> Result<Query, ParseError> {
        let start = self.at;
        self.at += 1;
        let mut pattern = String::new();
        loop {
            match self.peek() {
                None => return self.expected("/"),
                Some('/') => break,
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        None => return self.expected("/"),
                        // `\/` is only needed for our own end sign.
                        Some('/') => pattern.push('/'),
                        Some(c) => pattern.extend(['\\', c]),
                    }
                }
                Some(c) => pattern.push(c),
            }
            self.at += 1;
        }
        self.at += 1;
        let any_case = self.eat('i');
        match build(&pattern, any_case) {
            Ok(regex) => Ok(Query::Regex(regex)),
            Err(_) => Err(ParseError {
                expected: "a valid regular expression",
                position: start,
            }),
        }
    }
}

fn build(pattern: &str, any_case: bool) -> Result<Regex, regex_lite::Error> {
    // The limit keeps a hostile filter from costing the server memory.
    RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .size_limit(1 << 18)
        .build()
}

fn plain_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1;
    if numeric { text.parse().ok() } else { None }
}

/// A number with an optional unit: `8`, `1.5GiB`, `512M` (binary), `100kB` (decimal).
fn measure(text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number = plain_number(&text[..end])?;
    let power = |base: f64, exponent: i32| base.powi(exponent);
    let factor = match text[end..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => power(1024.0, 1),
        "m" | "mib" => power(1024.0, 2),
        "g" | "gib" => power(1024.0, 3),
        "t" | "tib" => power(1024.0, 4),
        "kb" => power(1000.0, 1),
        "mb" => power(1000.0, 2),
        "gb" => power(1000.0, 3),
        "tb" => power(1000.0, 4),
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn says_what_was_expected_and_where() {
        assert_eq!(error("a:"), "parse error: expected a term at position 2");
        assert_eq!(error("|a"), "parse error: expected ( at position 1");
        assert_eq!(error("(a"), "parse error: expected ) at position 2");
        assert_eq!(error("a)"), "parse error: expected end of text at position 1");
        assert_eq!(error("/a"), "parse error: expected / at position 2");
        assert_eq!(error("x:>abc"), "parse error: expected a number at position 3");
        assert_eq!(
            error("/(/"),
            "parse error: expected a valid regular expression at position 0"
        );
        assert_eq!(
            error(&"!".repeat(100)),
            "parse error: expected fewer nested terms at position 64"
        );
    }

    #[test]
    fn reads_units() {
        assert_eq!(measure("8GiB"), Some(8.0 * 1024.0 * 1024.0 * 1024.0));
        assert_eq!(measure("1.5k"), Some(1536.0));
        assert_eq!(measure("2MB"), Some(2_000_000.0));
        assert_eq!(measure("2parsecs"), None);
        assert_eq!(measure(""), None);
    }

    #[test]
    fn an_empty_text_matches_everything() {
        for text in ["", "   ", "()"] {
            assert!(parse(text).expect("valid").is_empty(), "{text:?}");
        }
    }
}
