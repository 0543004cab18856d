//! `/account/otp`: one-time codes are turned on with a first code, so that nobody is locked out by a secret that
//! was not taken down.

use super::visit::{Own, OwnForm, Page, Visit, Wrong};
use crate::{
    auth::{otp, tokens::now_ms},
    http::tickets,
};
use ::app::{
    pages::admin::otp::{self as shown, EnrolmentPage, EnrolmentPageProps},
    routes::{self, encoded},
};
use axum::http::StatusCode;
use qrcode::{Color, EcLevel, QrCode};
use serde_json::json;

const COOKIE: &str = "new-otp";
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 160 bits, as RFC 4226 recommends; each character has five.
const LENGTH: usize = 32;

/// A secret that is not confirmed yet.
pub struct Enrolment {
    user_id: String,
    secret: String,
}

pub fn begin(visit: &Visit) -> Page {
    let letters = rand::random::<[u8; LENGTH]>();
    let secret: String = letters
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    let ticket = visit.app.waiting.enrolments.issue(Enrolment {
        user_id: visit.caller.id.clone(),
        secret,
    });
    let mut response = visit.done(routes::ACCOUNT_OTP, "")?;
    let age = i64::try_from(tickets::VALIDITY.as_secs()).unwrap_or(60);
    visit.set_cookie(&mut response, COOKIE, &ticket, age);
    Ok(response)
}

/// The secret that this browser was given for this user.
fn waiting(visit: &Visit) -> Option<String> {
    let ticket = visit.cookie(COOKIE)?;
    let enrolments = &visit.app.waiting.enrolments;
    let found = enrolments.look(&ticket, |enrolment| {
        (enrolment.user_id == visit.caller.id).then(|| enrolment.secret.clone())
    });
    found.flatten()
}

pub async fn show(Own(visit): Own) -> Page {
    page(&visit, Wrong::default())
}

fn page(visit: &Visit, wrong: Wrong) -> Page {
    let Some(secret) = waiting(visit) else {
        return visit.done(routes::ACCOUNT, "");
    };
    let uri = uri(&visit.caller.record.email, &secret);
    let enrolment = shown::Enrolment {
        secret: in_groups(&secret),
        picture: picture(&uri),
        uri,
        entered: wrong.entered.clone(),
    };
    visit.page("One-time codes", routes::ACCOUNT, &wrong, || {
        EnrolmentPage(EnrolmentPageProps { enrolment })
    })
}

fn in_groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

fn uri(name: &str, secret: &str) -> String {
    let issuer = "Xen%20Orchestra";
    format!(
        "otpauth://totp/{issuer}:{}?secret={secret}&issuer={issuer}",
        encoded(name)
    )
}

/// Modules on a side, and a path that draws the dark ones.
fn picture(text: &str) -> Option<(usize, String)> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            path.push_str(&format!("M{} {}h1v1h-1z", index % width, index / width));
        }
    }
    Some((width, path))
}

pub async fn change(OwnForm(visit, form): OwnForm) -> Page {
    if form.get("form") != "confirm" {
        return visit.unknown_form();
    }
    let Some(secret) = waiting(&visit) else {
        return Err(visit.late().into());
    };
    let now = u64::try_from(now_ms()).unwrap_or_default() / 1000;
    if otp::step(&secret, form.get("code"), now).is_none() {
        let words = "This is not the code of now. Is the clock of your device right?";
        return page(&visit, Wrong::field(&form, "code", words));
    }
    let params = json!({ "id": visit.caller.id, "preferences": { "otp": secret } });
    if let Err(error) = visit.call("user.set", params).await {
        return page(&visit, Wrong::of(&error, &form, &[]));
    }
    let used = visit.app.accounts.use_up_otp(&visit.caller.id, form.get("code"));
    if let Err(error) = used.await {
        tracing::warn!(%error, "a code that confirmed an enrolment could not be noted as used");
    }
    if let Some(ticket) = visit.cookie(COOKIE) {
        visit.app.waiting.enrolments.take(&ticket);
    }
    let mut response = visit.done(routes::ACCOUNT, "otp-on")?;
    visit.set_cookie(&mut response, COOKIE, "", 0);
    Ok(response)
}

impl Visit {
    fn late(&self) -> axum::response::Response {
        self.says(
            StatusCode::GONE,
            "This took too long",
            "The secret is not good any more: begin again on your account page.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authenticators_are_told_whose_secret_it_is() {
        assert_eq!(in_groups("ABCDEFGHIJ"), "ABCD EFGH IJ");
        assert_eq!(
            uri("ann b@x", "ABCD"),
            "otpauth://totp/Xen%20Orchestra:ann%20b%40x?secret=ABCD&issuer=Xen%20Orchestra"
        );
        let (side, path) = picture(&uri(&"é".repeat(250), &"A".repeat(32))).expect("the longest name fits");
        assert!(side > 21 && path.starts_with("M0 0h1v1h-1z"));
    }
}
