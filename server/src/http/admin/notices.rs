//! What is said once, after a change. The cookie holds a name of these, never a text.

use ::app::ui::format;

pub const COOKIE: &str = "notice";

/// The words of a notice; some have a number after a dot.
pub fn said(code: &str) -> Option<String> {
    if let Some(number) = code.strip_prefix("audit-whole.") {
        let records: u32 = number.parse().ok()?;
        let records = format::plural(records as usize, "record");
        return Some(format!("The log is whole: {records} in an unbroken chain."));
    }
    let words = match code {
        "server-added" => "The server was added and is being connected to.",
        "server-set" => "The server was changed.",
        "server-enabled" => "The server is being connected to.",
        "server-disabled" => "The server was disconnected.",
        "server-removed" => "The server was removed.",
        "user-created" => "The user was created.",
        "user-set" => "The user was changed.",
        "user-deleted" => "The user was deleted.",
        "password-set" => "The password was changed.",
        "otp-on" => "One-time codes are asked for from now on.",
        "otp-off" => "One-time codes are not asked for any more.",
        "provider-removed" => "The provider was removed.",
        "group-created" => "The group was created.",
        "group-set" => "The group was changed.",
        "group-deleted" => "The group was deleted.",
        "members-set" => "The members were changed.",
        "right-added" => "The right was added.",
        "right-removed" => "The right was removed.",
        "token-made" => "The token was created.",
        "token-revoked" => "The token was revoked.",
        "connection-closed" => "The connection was closed.",
        "connections-closed" => "The connections were closed.",
        _ => return None,
    };
    Some(words.to_owned())
}
