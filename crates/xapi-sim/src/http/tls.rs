//! The self-signed certificate of a pool, made when it starts and kept until it stops.

use std::sync::Arc;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub struct Identity {
    pub acceptor: TlsAcceptor,
    /// Lower-case hex pairs with colons, as clients show it.
    pub fingerprint_sha256: String,
}

impl Identity {
    pub fn new(address: &str) -> anyhow::Result<Identity> {
        let names = vec!["localhost".to_owned(), address.to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let certificate = made.cert.der().clone();
        let digest = Sha256::digest(&certificate);
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        Ok(Identity {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            fingerprint_sha256: pairs.join(":"),
        })
    }
}
