//! `.br` and `.gz` beside each file that shrinks by it, so that the server compresses nothing at run time.

use anyhow::Context;
use std::{fs, io::Write, path::Path};

pub fn beside(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            beside(&path)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        let br = brotli_11(&bytes)?;
        if br.len() < bytes.len() {
            eprintln!("  {}: {} bytes, brotli {}", path.display(), bytes.len(), br.len());
            fs::write(with_suffix(&path, "br"), br)?;
            fs::write(with_suffix(&path, "gz"), gzip_9(&bytes)?)?;
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn brotli_11(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 24);
    writer.write_all(bytes)?;
    writer.flush()?;
    drop(writer);
    Ok(out)
}

fn gzip_9(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}
