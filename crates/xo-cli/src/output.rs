//! Standard output and standard error.

use crate::failure::{Failure, printable};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// A line of text, as it is where a program reads it.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let shown = if out.is_terminal() {
        printable(text)
    } else {
        text.to_owned()
    };
    let written = out
        .write_all(shown.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    written.map_err(|error| failed(&error))
}

pub fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Here(format!("the output cannot be written: {error}")),
    }
}

/// Text as it is, so that scripts need not unquote ids; anything else, and everything with `--json`, as JSON.
pub fn value(value: &Value, as_json: bool) -> Result<(), Failure> {
    match value {
        Value::String(text) if !as_json => line(text),
        // Lossless: no value holds a number or a key that JSON has not.
        other => line(&serde_json::to_string_pretty(other).unwrap_or_default()),
    }
}

/// A word to the person, never in the way of a program.
pub fn note(text: &str) {
    eprintln!("xo: {}", printable(text));
}
