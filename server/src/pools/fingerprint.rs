//! Fingerprints of certificates, as people type them.

use super::RegistryError;

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
