//! Certificates as text: what they hold, as far as the API tells of it. DER is read by hand; it is little.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::clock;

pub struct Certificate {
    pub der: CertificateDer<'static>,
    pub not_before: i64,
    pub not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
/// The field of a certificate that old ones leave out: its version.
const VERSION: u8 = 0xa0;

impl Certificate {
    /// The first certificate of a text.
    pub fn read(text: &str) -> Option<Certificate> {
        Certificate::from_der(CertificateDer::from_pem_slice(text.as_bytes()).ok()?)
    }

    pub fn from_der(der: CertificateDer<'static>) -> Option<Certificate> {
        let (body, _) = part(&der, SEQUENCE)?;
        let (body, _) = part(body, SEQUENCE)?;
        let body = part(body, VERSION).map_or(body, |(_, rest)| rest);
        // Serial number, algorithm, issuer.
        let rest = [0x02, SEQUENCE, SEQUENCE];
        let rest = rest
            .iter()
            .try_fold(body, |rest, tag| Some(part(rest, *tag)?.1))?;
        let (validity, _) = part(rest, SEQUENCE)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Certificate {
            der,
            not_before,
            not_after,
        })
    }

    pub fn sha256(&self) -> String {
        pairs(&Sha256::digest(&self.der))
    }

    pub fn sha1(&self) -> String {
        pairs(&Sha1::digest(&self.der))
    }
}

fn pairs(digest: &[u8]) -> String {
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// All certificates of a text; `None` when one of them cannot be read, or there is none.
pub fn chain(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(text.as_bytes());
    let all: Vec<_> = all.collect::<Result<_, _>>().ok()?;
    let readable = |der: &CertificateDer<'static>| Certificate::from_der(der.clone()).is_some();
    (!all.is_empty() && all.iter().all(readable)).then_some(all)
}

pub fn is_revocation_list(text: &str) -> bool {
    let list = CertificateRevocationListDer::from_pem_slice(text.as_bytes());
    list.is_ok_and(|list| part(&list, SEQUENCE).is_some_and(|(body, _)| part(body, SEQUENCE).is_some()))
}

/// A private key, or the identifier of its algorithm when it is not RSA: hosts take no other.
pub fn rsa_key(text: &str) -> Option<Result<PrivateKeyDer<'static>, String>> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    const RSA: &str = "1.2.840.113549.1.1.1";
    let algorithm = match &key {
        PrivateKeyDer::Pkcs1(_) => RSA.to_owned(),
        PrivateKeyDer::Pkcs8(key) => {
            let (body, _) = part(key.secret_pkcs8_der(), SEQUENCE)?;
            let (_, rest) = part(body, 0x02)?;
            let (algorithm, _) = part(rest, SEQUENCE)?;
            dotted(part(algorithm, OBJECT)?.0)
        }
        _ => "1.2.840.10045.2.1".to_owned(),
    };
    Some(match algorithm == RSA {
        true => Ok(key),
        false => Err(algorithm),
    })
}

/// The part with that tag at the start, and what follows it.
fn part(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*length) {
        length @ 0..0x80 => (length, rest),
        length => {
            let (bytes, rest) = rest.split_at_checked(length & 0x7f)?;
            if bytes.len() > 4 {
                return None;
            }
            let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` or with four digits for the year.
fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest) = part(der, 0x17).or_else(|| part(der, 0x18))?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match text.len() {
        13 if text.starts_with(['5', '6', '7', '8', '9']) => format!("19{text}"),
        13 => format!("20{text}"),
        _ => text.to_owned(),
    };
    let (date, clock) = text.split_at_checked(8)?;
    Some((clock::parse(&format!("{date}T{clock}"))?, rest))
}

/// An object identifier as people write it.
fn dotted(bytes: &[u8]) -> String {
    let (mut numbers, mut now) = (Vec::new(), 0_u64);
    for byte in bytes {
        now = now << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut now));
        }
    }
    if let Some(first) = numbers.first().copied() {
        let group = (first / 40).min(2);
        numbers.splice(..1, [group, first - group * 40]);
    }
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_when_a_certificate_holds_and_what_kind_of_key_it_has() {
        let made = rcgen::generate_simple_self_signed(vec!["sim".to_owned()]).expect("a certificate");
        let read = Certificate::read(&made.cert.pem()).expect("readable");
        // What rcgen gives certificates when it is not told otherwise.
        assert_eq!(clock::basic(read.not_before), "19750101T00:00:00Z");
        assert_eq!(clock::basic(read.not_after), "40960101T00:00:00Z");
        assert_eq!(read.sha256().len(), 95);
        assert!(Certificate::read("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----").is_none());
        let algorithm = rsa_key(&made.signing_key.serialize_pem()).expect("a key");
        assert_eq!(algorithm.expect_err("not RSA"), "1.2.840.10045.2.1");
        assert!(rsa_key("nothing").is_none());
    }

    #[test]
    fn what_ends_early_is_not_read_past_its_end() {
        let made = rcgen::generate_simple_self_signed(vec!["sim".to_owned()]).expect("a certificate");
        let der = made.cert.der();
        for length in 0..der.len() {
            assert!(
                Certificate::from_der(der[..length].to_vec().into()).is_none(),
                "{length}"
            );
        }
        assert_eq!(part(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff], SEQUENCE), None);
        assert_eq!(part(&[SEQUENCE, 0x85, 1, 1, 1, 1, 1], SEQUENCE), None);
    }
}
