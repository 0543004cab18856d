//! Whom to trust: the system's authorities, one pinned certificate, or anyone.
//!
//! XenServer hosts come with self-signed certificates, so most people switch verification off and then
//! have none. Pinning the fingerprint that was met first is the better third choice.

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// How the certificate of a host is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// As the system's certificate authorities say.
    #[default]
    Authorities,
    /// Exactly the certificate with this fingerprint (see [`fingerprint`]).
    Pinned(String),
    /// Anything goes: on first use, before a fingerprint is pinned, or because the operator said so.
    Anyone,
}

/// SHA-256 of a certificate, as `AA:BB:...`.
pub fn fingerprint(certificate: &[u8]) -> String {
    let hash = Sha256::digest(certificate);
    let mut text = String::with_capacity(hash.len() * 3);
    for (index, byte) in hash.iter().enumerate() {
        if index > 0 {
            text.push(':');
        }
        text.push_str(&format!("{byte:02X}"));
    }
    text
}

/// Remembers the certificate that a host showed last, whether or not it was trusted.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Option<String>>>);

impl Seen {
    pub fn fingerprint(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fingerprint: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
    }
}

/// The TLS configuration for `trust`; certificates met are noted in `seen`.
pub fn client_config(trust: Trust, seen: Seen) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let judge = match trust {
        Trust::Authorities => Judge::Authorities(Verifier::new(provider.clone())?),
        Trust::Pinned(fingerprint) => Judge::Pinned(fingerprint),
        Trust::Anyone => Judge::Anyone,
    };
    let verifier = HostVerifier {
        judge,
        seen,
        provider: provider.clone(),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
enum Judge {
    Authorities(Verifier),
    Pinned(String),
    Anyone,
}

#[derive(Debug)]
struct HostVerifier {
    judge: Judge,
    seen: Seen,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let met = fingerprint(end_entity);
        self.seen.set(met.clone());
        match &self.judge {
            Judge::Authorities(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Judge::Pinned(expected) if *expected != met => Err(Error::General(format!(
                "certificate changed: expected {expected}, met {met}"
            ))),
            Judge::Pinned(_) | Judge::Anyone => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
