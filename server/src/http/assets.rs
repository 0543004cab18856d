//! The web client's files: inside the program when it was built with them, else from a folder.

use axum::{
    body::Body,
    http::{HeaderMap, Response, StatusCode, header},
};
use std::{
    borrow::Cow,
    path::{Component, Path, PathBuf},
};

#[cfg(feature = "embed")]
#[derive(rust_embed::RustEmbed)]
#[folder = "$XO_SITE_BUILD"]
struct Embedded;

/// A file and how it is encoded.
struct Asset {
    content: Cow<'static, [u8]>,
    encoding: Option<&'static str>,
}

fn read(path: &str, site_dir: Option<&Path>) -> Option<Cow<'static, [u8]>> {
    if let Some(folder) = site_dir {
        return std::fs::read(folder.join(path)).ok().map(Cow::Owned);
    }
    #[cfg(feature = "embed")]
    return Embedded::get(path).map(|file| file.data);
    #[cfg(not(feature = "embed"))]
    None
}

/// The best form of a file that the client accepts.
fn find(path: &str, accepted: &str, site_dir: Option<&Path>) -> Option<Asset> {
    for (encoding, ending) in [("br", ".br"), ("gzip", ".gz")] {
        let accepts = accepted
            .split(',')
            .any(|token| token.trim().split(';').next() == Some(encoding));
        if accepts && let Some(content) = read(&format!("{path}{ending}"), site_dir) {
            return Some(Asset {
                content,
                encoding: Some(encoding),
            });
        }
    }
    read(path, site_dir).map(|content| Asset {
        content,
        encoding: None,
    })
}

/// A path below the site that climbs nowhere.
fn clean(path: &str) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
        .then(|| path.to_owned())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "json" | "webmanifest" => "application/json",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The file at a path of the site, if there is one.
pub fn serve(path: &str, headers: &HeaderMap, site_dir: Option<&Path>) -> Option<Response<Body>> {
    let path = clean(path)?;
    let path = path.to_str().filter(|path| path.contains('.'))?;
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let asset = find(path, header(header::ACCEPT_ENCODING), site_dir)?;
    let tag = entity_tag(&asset.content);
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, content_type(path))
        // Names do not change with contents: ask each time, and mostly hear "not modified".
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::VARY, "accept-encoding")
        .header(header::ETAG, &tag);
    if header(header::IF_NONE_MATCH)
        .split(',')
        .any(|known| known.trim() == tag)
    {
        return response.status(StatusCode::NOT_MODIFIED).body(Body::empty()).ok();
    }
    if let Some(encoding) = asset.encoding {
        response = response.header(header::CONTENT_ENCODING, encoding);
    }
    let body = match asset.content {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    response.body(body).ok()
}

fn entity_tag(content: &[u8]) -> String {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(content);
    format!("\"{:x}-{:x}\"", content.len(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_site() {
        for path in ["/../etc/passwd.txt", "/pkg/../../x.js", "//etc/x.conf"] {
            let cleaned = clean(path);
            assert!(
                cleaned.is_none_or(|path| path.is_relative() && !path.to_string_lossy().contains("..")),
                "{path}"
            );
        }
        assert_eq!(clean("/pkg/xo.js"), Some(PathBuf::from("pkg/xo.js")));
    }
}
