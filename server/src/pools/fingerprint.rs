//! Fingerprints of certificates, as people type them and as pools tell them.

use super::RegistryError;
use std::collections::BTreeMap;
use xapi::Endpoint;

/// Stands for the certificate that will be met first.
pub(super) const FIRST_USE: &str = "first-use";

/// The form in which fingerprints are compared; empty means none.
pub(super) fn normal_fingerprint(text: &str) -> Result<Option<String>, RegistryError> {
    if text.is_empty() || text == FIRST_USE {
        return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
    }
    let digits: Vec<char> = text
        .chars()
        .filter(|character| !matches!(character, ':' | ' '))
        .collect();
    if digits.len() != 64 || !digits.iter().all(char::is_ascii_hexdigit) {
        return Err(RegistryError::InvalidFingerprint);
    }
    let pairs: Vec<String> = digits
        .chunks(2)
        .map(|pair| pair.iter().collect::<String>().to_uppercase())
        .collect();
    Ok(Some(pairs.join(":")))
}

/// The one that a pool told of its host behind `url`; `members` are addresses with fingerprints, reached as `other` is.
pub(super) fn of_member(members: &BTreeMap<String, String>, other: &str, url: &str) -> Option<String> {
    let is_meant = |address: &str| Endpoint::on_host(other, address).as_deref() == Some(url);
    let (_, fingerprint) = members.iter().find(|(address, _)| is_meant(address))?;
    Some(fingerprint.clone()).filter(|fingerprint| !fingerprint.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_compared_in_one_form() {
        let typed = "ab".repeat(32);
        let normal = normal_fingerprint(&typed).expect("valid").expect("one");
        assert!(normal.starts_with("AB:AB:") && normal.len() == 95);
        assert_eq!(normal_fingerprint(&normal).expect("valid"), Some(normal));
        assert_eq!(normal_fingerprint("").expect("none"), None);
        assert!(normal_fingerprint("AB:CD").is_err());
    }
}
