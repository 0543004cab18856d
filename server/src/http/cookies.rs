//! Cookies: the sign-in token, and the page to come back to.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

pub const TOKEN: &str = "token";
pub const RETURN_TO: &str = "return-url";

/// The value of a cookie.
pub fn get(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

/// A cookie that scripts cannot read and other sites cannot send along. Without `max_age` it ends with
/// the browser; a `secure` one is never sent in clear.
pub fn set(name: &str, value: &str, max_age_s: Option<i64>, secure: bool) -> Option<HeaderValue> {
    let age = max_age_s
        .map(|seconds| format!("; Max-Age={seconds}"))
        .unwrap_or_default();
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}"
    ))
    .ok()
}

pub fn clear(name: &str, secure: bool) -> Option<HeaderValue> {
    set(name, "", Some(0), secure)
}

/// Whether the request comes from a page of this server, or from no page at all. A browser that says so
/// itself is believed (no page can set that header): behind a proxy the host is another than the page's.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn cookies_are_found_among_others() {
        let headers = headers(&[(header::COOKIE, "a=1; token=x_y-z; b=2")]);
        assert_eq!(get(&headers, TOKEN).as_deref(), Some("x_y-z"));
        assert_eq!(get(&headers, "tok"), None);
    }

    #[test]
    fn another_site_is_another_origin() {
        let of = |origin| {
            is_same_origin(&headers(&[
                (header::HOST, "xo.example:8080"),
                (header::ORIGIN, origin),
            ]))
        };
        assert!(of("http://xo.example:8080") && of("https://xo.example:8080"));
        assert!(!of("http://xo.example") && !of("https://evil.example") && !of("null"));
        assert!(
            is_same_origin(&headers(&[(header::HOST, "x")])),
            "a program sends no origin"
        );
        let site = HeaderName::from_static("sec-fetch-site");
        let told = |told| {
            is_same_origin(&headers(&[
                (header::HOST, "127.0.0.1:8080"),
                (header::ORIGIN, "http://127.0.0.1:3002"),
                (site.clone(), told),
            ]))
        };
        assert!(told("same-origin") && told("none"), "through a proxy");
        assert!(!told("cross-site") && !told("same-site"));
    }
}
