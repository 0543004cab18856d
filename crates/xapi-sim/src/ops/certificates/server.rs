//! The certificates that hosts show, and whether hosts look at each other's.

use std::sync::Arc;

use super::{check_dates, described};
use crate::db::Db;
use crate::fault::Fault;
use crate::http::tls::Identity;
use crate::ops::{Outcome, void};
use crate::pem::{self, Certificate};
use crate::pool::Shared;
use crate::rpc::Call;
use crate::value::Value;

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let pool = &call.pool;
    // The emergency calls are about the host that is asked: here the master.
    let host = match p.first() {
        Some(host) => host.str().to_owned(),
        None => pool.db().master(),
    };
    pool.db().check("host", &host)?;
    match name {
        "install_server_certificate" => {
            let identity = read(&pool.db(), p[1].str(), p[2].str(), p[3].str())?;
            show(pool, &host, identity)?;
        }
        "get_server_certificate" => {
            let text = pool
                .identity_of(&host)
                .map_or_else(String::new, |identity| identity.pem());
            return Ok(Some(Value::from(text)));
        }
        "emergency_disable_tls_verification" => set_verification(pool, &host, false)?,
        "emergency_reenable_tls_verification" => set_verification(pool, &host, true)?,
        _ => renew(pool, &host)?,
    }
    void()
}

/// What somebody wants to install: a certificate, its key, and the chain behind it.
fn read(db: &Db, certificate: &str, key: &str, chain: &str) -> Result<Identity, Fault> {
    let leaf = Certificate::read(certificate).ok_or_else(|| Fault::bare("SERVER_CERTIFICATE_INVALID"))?;
    let key = match pem::rsa_key(key) {
        None => return Err(Fault::bare("SERVER_CERTIFICATE_KEY_INVALID")),
        Some(Err(algorithm)) => {
            return Err(Fault::new(
                "SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED",
                [algorithm],
            ));
        }
        Some(Ok(key)) => key,
    };
    check_dates(db, &leaf, "SERVER_CERTIFICATE")?;
    let mut all = vec![leaf.der];
    if !chain.is_empty() {
        let more = pem::chain(chain).ok_or_else(|| Fault::bare("SERVER_CERTIFICATE_CHAIN_INVALID"))?;
        all.extend(more);
    }
    Identity::of(all, key).map_err(|_| Fault::bare("SERVER_CERTIFICATE_KEY_MISMATCH"))
}

/// A new self-signed certificate for one host.
pub fn renew(pool: &Arc<Shared>, host: &str) -> Result<(), Fault> {
    let address = pool.db().text("host", host, "address");
    let identity = Identity::new(&address).map_err(|error| Fault::internal(error.to_string()))?;
    show(pool, host, identity)
}

/// From now on the host shows this certificate; connections end when its TLS proxy restarts, after the answer.
fn show(pool: &Arc<Shared>, host: &str, identity: Identity) -> Result<(), Fault> {
    let unreadable = || Fault::bare("SERVER_CERTIFICATE_INVALID");
    let certificate = Certificate::from_der(identity.der.clone()).ok_or_else(unreadable)?;
    pool.write(|db| {
        for known in db.members("host", host, "certificates") {
            if db.text("Certificate", &known, "type") == "host" {
                db.destroy("Certificate", &known);
            }
        }
        // A new certificate is a new object; what clients see on the wire is in lower case.
        let print = Value::from(&*identity.fingerprint_sha256);
        let own = [("host", Value::from(host)), ("type", Value::from("host"))];
        let made = db.create("Certificate", own.into_iter().chain(described(&certificate)));
        db.update(
            "Certificate",
            &made,
            [("fingerprint", print.clone()), ("fingerprint_sha256", print)],
        );
    });
    if pool.config.tls {
        pool.set_identity(host, identity);
        let (own, at) = (pool.clone(), pool.index_of(host));
        pool.afterwards(move || {
            if let Some(at) = at {
                own.cut_member(at);
            }
        });
    }
    Ok(())
}

pub fn set_verification(pool: &Arc<Shared>, host: &str, verifies: bool) -> Result<(), Fault> {
    pool.write(|db| {
        if verifies && !db.get("pool", &db.pool(), "tls_verification_enabled").bool() {
            return Err(Fault::bare("TLS_VERIFICATION_NOT_ENABLED_IN_POOL"));
        }
        db.set("host", host, "tls_verification_enabled", verifies);
        Ok(())
    })
}
