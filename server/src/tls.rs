//! TLS of our own listeners: certificate and key from files, or self-signed and kept beside the store. New files
//! are taken up while the server runs; what cannot be used is told, and the certificate of before stays.

use crate::{config::Tls, persist::make_folder};
use anyhow::{Context, bail, ensure};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// So often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// A client that does not complete its handshake is given up.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// What we show to clients.
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Identity {
    pub fn open(tls: &Tls, data_dir: &Path) -> anyhow::Result<Self> {
        let (certificate, key) = match tls {
            Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
            Tls::SelfSigned => {
                make_folder(data_dir).with_context(|| data_dir.display().to_string())?;
                let path = data_dir.join("tls.pem");
                if !path.exists() {
                    make_self_signed(&path).with_context(|| path.display().to_string())?;
                }
                (path.clone(), path)
            }
        };
        let current = read(&certificate, &key)?;
        Ok(Self {
            certificate,
            key,
            current: Arc::new(Current(ArcSwap::from_pointee(current))),
        })
    }

    pub fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn changed(&self) -> Option<[SystemTime; 2]> {
        let changed = |path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        Some([changed(&self.certificate)?, changed(&self.key)?])
    }

    /// Takes up what is in the files now.
    fn reload(&self) {
        match read(&self.certificate, &self.key) {
            Ok(key) => {
                self.current.0.store(Arc::new(key));
                tracing::info!(certificate = %self.certificate.display(), "a new certificate is in use");
            }
            // A key that does not fit may be half of a change: it is looked at again when the rest is there.
            Err(error) => tracing::error!(%error, "the certificate of before stays in use"),
        }
    }

    /// Looks after the files until the server stops.
    pub async fn watch(self, cancel: CancellationToken) {
        let mut known = self.changed();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = self.changed();
            if now.is_some() && now != known {
                self.reload();
                known = now;
            }
        }
    }
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("{}: no certificate (PEM) can be read", certificate.display()))?;
    ensure!(
        !chain.is_empty(),
        "{}: there is no certificate in it",
        certificate.display()
    );
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{}: no key (PEM) can be read", key.display()))?;
    match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
        Err(rustls::Error::InconsistentKeys(_)) => {
            bail!("{} is not the key of {}", key.display(), certificate.display())
        }
        other => other.with_context(|| format!("{} and {}", certificate.display(), key.display())),
    }
}

/// For a server that nobody gave a certificate: connections are private, but a browser asks who this is.
fn make_self_signed(path: &Path) -> anyhow::Result<()> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if let Ok(name) = fs::read_to_string("/etc/hostname") {
        names.extend(Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name != "localhost"));
    }
    let made = rcgen::generate_simple_self_signed(names)?;
    let aside = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(made.cert.pem().as_bytes())?;
    file.write_all(made.signing_key.serialize_pem().as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_a_foreign_key_is_refused() {
        let folder = std::env::temp_dir().join(format!("xo-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).expect("made");
        Identity::open(&Tls::SelfSigned, &folder).expect("made");
        let made = fs::read(folder.join("tls.pem")).expect("kept");
        let identity = Identity::open(&Tls::SelfSigned, &folder).expect("read");
        assert_eq!(fs::read(folder.join("tls.pem")).expect("kept"), made);

        let other = folder.join("other.pem");
        make_self_signed(&other).expect("made");
        let mixed = Tls::Files {
            certificate: folder.join("tls.pem"),
            key: other.clone(),
        };
        let error = Identity::open(&mixed, &folder).err().expect("refused");
        assert!(error.to_string().contains("is not the key of"), "{error}");

        let shown = |identity: &Identity| identity.current.0.load().cert[0].clone();
        let before = shown(&identity);
        fs::write(folder.join("tls.pem"), "broken").expect("written");
        identity.reload();
        assert_eq!(shown(&identity), before, "what cannot be used changes nothing");
        fs::rename(&other, folder.join("tls.pem")).expect("renamed");
        identity.reload();
        assert_ne!(shown(&identity), before);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
