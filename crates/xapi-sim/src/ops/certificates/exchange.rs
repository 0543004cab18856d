//! What pools tell each other of their certificates, when a host joins and when one trusts what another trusts.

use super::{AUTHORITIES, REVOKED, install_authority, install_revoked, text_of, trust, trusted};
use crate::db::Db;
use crate::fault::Fault;
use crate::ops::Outcome;
use crate::pem::Certificate;
use crate::pool::neighbours;
use crate::rpc::{Call, sessions};
use crate::value::Value;

/// Certificates of the hosts that are to join.
const JOINING: &str = "joining/";

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    match name {
        "exchange_certificates_on_join" => call.write(|db| {
            let (uuid, text) = (p[0].str(), p[1].str());
            Certificate::read(text).ok_or_else(|| Fault::bare("SERVER_CERTIFICATE_INVALID"))?;
            db.files.insert(format!("{JOINING}{uuid}"), text.to_owned());
            let hosts = db.refs("host").into_iter();
            let shown = hosts.filter_map(|host| {
                let identity = call.pool.identity_of(&host)?;
                Some((db.text("host", &host, "uuid"), identity.pem()))
            });
            Ok(Some(Value::map_of(shown.collect::<Vec<_>>())))
        }),
        "exchange_ca_certificates_on_join" => call.write(|db| {
            let mut told = Vec::new();
            for certificate in p[1].set() {
                let text = text_of(db, certificate.str())?;
                told.push((db.text("Certificate", certificate.str(), "name"), text));
            }
            for (name, text) in p[0].map() {
                take(
                    db,
                    AUTHORITIES,
                    name,
                    text.str(),
                    "POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT",
                )?;
            }
            Ok(Some(Value::map_of(told)))
        }),
        "exchange_crls_on_join" => call.write(|db| {
            let mut told = Vec::new();
            for name in p[2].set() {
                let text = db.files.get(&format!("{REVOKED}{}", name.str())).cloned();
                let text = text.ok_or_else(|| Fault::new("CRL_DOES_NOT_EXIST", [name.str()]))?;
                told.push((name.str().to_owned(), text));
            }
            for (name, text) in p[1].map() {
                take(db, REVOKED, name, text.str(), "CRL_ALREADY_EXISTS")?;
            }
            Ok(Some(Value::map_of(told)))
        }),
        "exchange_trusted_certificates_on_join" => call.write(|db| {
            let mut told = Vec::new();
            for certificate in p[3].set() {
                let text = text_of(db, certificate.str())?;
                told.push((text, db.get("Certificate", certificate.str(), "purpose").clone()));
            }
            for (text, purposes) in p[2].map() {
                known_or(trust(db, text, p[1].bool(), purposes))?;
            }
            Ok(Some(Value::map_of(told)))
        }),
        _ => sync(call, p),
    }
}

/// The same file twice is no conflict; another one of that name is.
fn take(db: &mut Db, folder: &str, name: &str, text: &str, conflict: &str) -> Result<(), Fault> {
    match db.files.get(&format!("{folder}{name}")) {
        Some(known) if known == text => Ok(()),
        Some(_) if conflict.starts_with("POOL") => Err(Fault::bare(conflict)),
        Some(_) => Err(Fault::new(conflict, [name])),
        None if folder == REVOKED => install_revoked(db, name, text),
        None => install_authority(db, name, text).map(drop),
    }
}

/// What is trusted already stays so.
fn known_or<T>(trusted: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match trusted {
        Err(fault) if fault.code == "TRUSTED_CERTIFICATE_ALREADY_EXISTS" => Ok(None),
        trusted => trusted.map(Some),
    }
}

/// What another pool trusts, this one trusts too from now on. Gives what is new here.
fn sync(call: &Call, p: &[Value]) -> Outcome {
    let (address, session, is_authority) = (p[1].str(), p[2].str(), p[4].bool());
    call.pool.db().check("pool", p[0].str())?;
    let unreachable = || Fault::new("CANNOT_CONTACT_HOST", [address]);
    let remote = neighbours::find(address, call.pool.address().port()).ok_or_else(unreachable)?;
    let shown = remote.identity_of(&remote.db().master());
    let expected = Certificate::read(p[3].str());
    // Over plain HTTP nobody shows anything.
    if let Some(shown) = shown
        && expected.is_none_or(|expected| expected.der != shown.der)
    {
        let port = remote.address().port().to_string();
        return Err(Fault::new("TLS_CONNECTION_FAILED", [address, &port]));
    }
    let kind = if is_authority { "ca" } else { "pinned" };
    let found: Vec<(String, Value)> = {
        let db = remote.db();
        sessions::check(&db, session)?;
        let of_kind = trusted(&db).filter(|known| db.text("Certificate", known, "type") == kind);
        let found = of_kind.map(|known| {
            let purposes = db.get("Certificate", &known, "purpose").clone();
            text_of(&db, &known).map(|text| (text, purposes))
        });
        found.collect::<Result<_, _>>()?
    };
    call.write(|db| {
        let mut made = Vec::new();
        for (text, purposes) in &found {
            made.extend(known_or(trust(db, text, is_authority, purposes))?);
        }
        Ok(Some(Value::set_of(made.iter().map(|made| &**made))))
    })
}
