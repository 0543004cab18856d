//! A browser without scripts, for the pages that the server renders.

use crate::support::*;

pub const READER: &str = "reader@example.net";

/// A browser: it keeps cookies, and sends forms.
pub struct Browser<'a> {
    server: &'a TestServer,
    cookies: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Shown {
    pub status: u16,
    pub location: String,
    /// Values of all `Set-Cookie` headers.
    pub cookies: String,
    pub body: String,
}

fn encoded(form: &[(&str, &str)]) -> String {
    let pairs = form
        .iter()
        .map(|(name, value)| format!("{name}={}", ::app::routes::encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a TestServer) -> Self {
        let cookies = Vec::new();
        Self { server, cookies }
    }

    pub async fn signed_in(server: &'a TestServer, name: &str) -> Self {
        let mut browser = Self::new(server);
        let form = [("username", name), ("password", PASSWORD)];
        let shown = browser.post("/signin/local", &form).await;
        assert_eq!((shown.status, shown.location.as_str()), (303, "/"), "{shown:?}");
        browser
    }

    fn take(&mut self, answer: (u16, Vec<(String, String)>, String)) -> Shown {
        let (status, headers, body) = answer;
        let all = |wanted: &str| -> Vec<String> {
            let found = headers.iter().filter(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).collect()
        };
        for cookie in all("set-cookie") {
            assert!(
                cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
                "{cookie}"
            );
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a pair");
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Shown {
            status,
            location: all("location").pop().unwrap_or_default(),
            cookies: all("set-cookie").join("\n"),
            body,
        }
    }

    pub fn headers(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("Cookie: {}\r\n", pairs.join("; "))
    }

    pub async fn get(&mut self, path: &str) -> Shown {
        let answer = self.server.get(path, &self.headers()).await;
        self.take(answer)
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Shown {
        let answer = self.server.post_form(path, &self.headers(), &encoded(form)).await;
        self.take(answer)
    }

    /// Sends a form that succeeds: the page that comes then, and which says so.
    pub async fn done(&mut self, path: &str, form: &[(&str, &str)], said: &str) -> Shown {
        let shown = self.post(path, form).await;
        assert_eq!(shown.status, 303, "{path} {form:?}: {}", shown.body);
        let after = self.get(&shown.location).await;
        assert_eq!(after.status, 200, "{}: {}", shown.location, after.body);
        assert!(
            after.body.contains(said),
            "{said:?} is not on {}: {}",
            shown.location,
            after.body
        );
        let again = self.get(&shown.location).await;
        assert!(!again.body.contains("said--done"), "it is said once");
        after
    }
}
