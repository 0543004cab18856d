//! Redis behind TLS. Not every redis-server can do it: here it is ended in front of one.

use crate::{
    contract::{USERS, put, redis},
    redis_server::{Folder, RedisServer},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use server::persist::{Backend, redis::Place};
use std::{path::PathBuf, sync::Arc};
use tokio::net::{TcpListener, UnixStream};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a root");
        roots
    }
}

/// Ends TLS in front of a redis-server; returns its port.
async fn terminate(server: &RedisServer, authority: &Authority, asks: bool) -> u16 {
    let (certificate, key) = authority.sign("localhost");
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder();
    let config = if asks {
        let verifier = WebPkiClientVerifier::builder(Arc::new(authority.roots())).build();
        config.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        config.with_no_client_auth()
    };
    let config = config.with_single_cert(chain, key).expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let socket = server.socket();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let mut client = acceptor.accept(stream).await?;
                let mut server = UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

#[tokio::test]
async fn redis_is_spoken_to_over_tls_and_only_when_it_is_trusted() {
    let server = RedisServer::start().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    let file = |name: &str, text: String| -> Option<PathBuf> {
        let path = folder.0.join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    let port = terminate(&server, &authority, false).await;
    let place = |uri: String, ca: Option<PathBuf>| Place {
        uri: Some(uri),
        tls_ca: ca,
        ..Place::default()
    };
    let ca = file("ca.pem", authority.certificate.pem());
    let store = redis(&place(format!("rediss://localhost:{port}"), ca.clone()))
        .await
        .expect("opened");
    store
        .commit(vec![put(USERS, "a", b"over TLS")])
        .await
        .expect("made");
    assert_eq!(
        store.get(USERS, "a").await.expect("read").as_deref(),
        Some(&b"over TLS"[..])
    );
    assert_eq!(store.status().place, format!("rediss://localhost:{port}/0"));
    store.close().await.expect("closed");
    drop(store);

    let other = file("other.pem", stranger.certificate.pem());
    for (uri, ca) in [
        (format!("rediss://localhost:{port}"), other),
        (format!("rediss://localhost:{port}"), None),
        // The certificate is for another name.
        (format!("rediss://127.0.0.1:{port}"), ca.clone()),
    ] {
        let error = redis(&place(uri, ca)).await.err().expect("refused").to_string();
        assert!(error.contains("certificate"), "{error}");
    }

    let port = terminate(&server, &authority, true).await;
    let uri = format!("rediss://localhost:{port}");
    assert!(
        redis(&place(uri.clone(), ca.clone())).await.is_err(),
        "it asks for a certificate"
    );
    let (certificate, key) = authority.sign("xo.example");
    let mutual = Place {
        tls_certificate: file("own.pem", certificate.pem()),
        tls_key: file("own.key", key.serialize_pem()),
        ..place(uri, ca)
    };
    let store = redis(&mutual).await.expect("opened");
    assert_eq!(
        store.get(USERS, "a").await.expect("read").as_deref(),
        Some(&b"over TLS"[..])
    );
}
