//! One-time passwords: TOTP with SHA-1, six digits, 30 s, one step of tolerance, as every authenticator does it.

use totp_rs::{Algorithm, Secret, TOTP};

const DIGITS: usize = 6;
const STEP: u64 = 30;
/// Steps before and after that are accepted.
const TOLERANCE: u64 = 1;
/// 80 bits, as authenticators make them at least.
const SHORTEST: usize = 10;

fn key(secret: &str) -> Option<Vec<u8>> {
    let text: String = secret.chars().filter(|c| !c.is_whitespace() && *c != '=').collect();
    let key = Secret::Encoded(text.to_ascii_uppercase()).to_bytes().ok()?;
    (key.len() >= SHORTEST).then_some(key)
}

/// A base32 text of a useful length.
pub fn is_secret(text: &str) -> bool {
    text.len() <= 512 && key(text).is_some()
}

/// The number of the step whose password this is. A step's password is good for once: whoever keeps the number
/// refuses the same or an earlier one.
pub fn step(secret: &str, code: &str, now: u64) -> Option<u64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if code.len() != DIGITS {
        return None;
    }
    // The key's length was checked when it was set, by today's product perhaps less strictly.
    let totp = TOTP::new_unchecked(Algorithm::SHA1, DIGITS, 0, STEP, key(secret)?);
    let current = now / STEP;
    (current.saturating_sub(TOLERANCE)..=current + TOLERANCE)
        .find(|step| same(&totp.generate(step * STEP), &code))
}

/// Takes the same time wherever they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six of its eight digits. The key is `12345678901234567890`.
    const SECRET: &str = "GEZD GNBV GY3T QOJQ gezdgnbvgy3tqojq";

    #[test]
    fn the_passwords_of_the_standard() {
        for (now, code) in [(59, "287082"), (1_111_111_109, "081 804"), (1_234_567_890, "005924")] {
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
