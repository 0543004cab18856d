//! The style sheet, compiled by grass (SCSS in pure Rust).

use anyhow::Context;
use std::path::Path;

pub fn compile(entry: &Path, compressed: bool) -> anyhow::Result<String> {
    let style = if compressed {
        grass::OutputStyle::Compressed
    } else {
        grass::OutputStyle::Expanded
    };
    grass::from_path(entry, &grass::Options::default().style(style))
        .with_context(|| format!("cannot compile {}", entry.display()))
}
