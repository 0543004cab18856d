//! One-time passwords: TOTP with SHA-1, six digits, 30 s, one step of tolerance, as every authenticator does it.

use totp_rs::{Builder, Secret};

/// Steps before and after the present one that are accepted.
const TOLERANCE: u16 = 1;
/// 80 bits, as authenticators make them at least.
const SHORTEST: usize = 10;
const LONGEST_TEXT: usize = 512;

fn key(secret: &str) -> Option<Secret> {
    let text: String = secret
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '=')
        .collect();
    let key = Secret::try_from_base32(text.to_ascii_uppercase()).ok()?;
    (key.as_ref().len() >= SHORTEST).then_some(key)
}

/// A base32 text of a useful length.
pub fn is_secret(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && key(text).is_some()
}

/// The number of the step whose password this is. A step's password is good for once: whoever keeps the number
/// refuses the same or an earlier one.
pub fn step(secret: &str, code: &str, now: u64) -> Option<u64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    // Shorter secrets than the standard wants are in use everywhere.
    let totp = Builder::new()
        .with_secret(key(secret)?)
        .with_skew(TOLERANCE)
        .build_noncompliant();
    totp.check(&code, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six of its eight digits. The key is `12345678901234567890`.
    const SECRET: &str = "GEZD GNBV GY3T QOJQ gezdgnbvgy3tqojq";

    #[test]
    fn the_passwords_of_the_standard() {
        for (now, code) in [
            (59, "287082"),
            (1_111_111_109, "081 804"),
            (1_234_567_890, "005924"),
        ] {
            assert_eq!(step(SECRET, code, now), Some(now / 30), "{now}");
            assert_eq!(step(SECRET, code, now + 30), Some(now / 30), "a step late");
            assert_eq!(step(SECRET, code, now + 61), None, "too late");
        }
        assert_eq!(step(SECRET, "000000", 59), None);
        assert_eq!(step(SECRET, "87082", 59), None);
    }

    #[test]
    fn secrets_are_base32_and_long_enough() {
        assert!(is_secret(SECRET));
        for bad in ["", "GEZDGNBV", "1189 0000 1111 8888", "GEZDGNBVGY3TQOJQ!"] {
            assert!(!is_secret(bad), "{bad}");
        }
    }
}
