//! The certificate of a host: self-signed, made when the pool starts, or installed by somebody.

use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub struct Identity {
    pub acceptor: TlsAcceptor,
    /// Lower-case hex pairs with colons, as clients show it.
    pub fingerprint_sha256: String,
    pub der: CertificateDer<'static>,
}

impl Identity {
    pub fn new(address: &str) -> anyhow::Result<Identity> {
        let names = vec!["localhost".to_owned(), address.to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        Identity::of(vec![made.cert.der().clone()], key)
    }

    /// The host's own certificate comes first. An error: the key is not its.
    pub fn of(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> anyhow::Result<Identity> {
        let der = chain.first().context("no certificate")?.clone();
        let digest = Sha256::digest(&der);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Identity {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint_sha256: pairs.join(":"),
            der,
        })
    }

    pub fn pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let lines = text.as_bytes().chunks(64);
        let lines: String = lines
            .map(|line| String::from_utf8_lossy(line).into_owned() + "\n")
            .collect();
        format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
    }
}
