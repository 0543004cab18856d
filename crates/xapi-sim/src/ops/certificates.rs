//! Whom a pool trusts: certificates of authorities, pinned ones, and lists of what is revoked. The texts are files
//! of the pool; certificates have records beside them.

mod exchange;
mod server;

use super::{Outcome, void};
use crate::clock;
use crate::db::{Db, Ref};
use crate::fault::Fault;
use crate::pem::Certificate;
use crate::rpc::Call;
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "pool.install_ca_certificate",
    "pool.certificate_install",
    "pool.uninstall_ca_certificate",
    "pool.certificate_uninstall",
    "pool.certificate_list",
    "pool.crl_install",
    "pool.crl_uninstall",
    "pool.crl_list",
    "pool.install_trusted_certificate",
    "pool.uninstall_trusted_certificate",
    "pool.sync_trusted_certificates_from",
    "pool.exchange_certificates_on_join",
    "pool.exchange_ca_certificates_on_join",
    "pool.exchange_trusted_certificates_on_join",
    "pool.exchange_crls_on_join",
    "host.install_server_certificate",
    "host.reset_server_certificate",
    "host.refresh_server_certificate",
    "host.emergency_reset_server_certificate",
    "host.emergency_disable_tls_verification",
    "host.emergency_reenable_tls_verification",
    "host.get_server_certificate",
];

/// Folders of the pool's files.
const REVOKED: &str = "crl/";
const AUTHORITIES: &str = "ca/";
const TRUSTED: &str = "trusted/";

pub use server::{renew, set_verification};

pub fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    if !MESSAGES.contains(&&*format!("{class}.{name}")) {
        return Ok(None);
    }
    match (class, name) {
        ("host", _) => server::run(call, name, p),
        (_, "install_ca_certificate" | "certificate_install") => call
            .write(|db| install_authority(db, this, p[1].str()))
            .and_then(|_| void()),
        (_, "uninstall_ca_certificate" | "certificate_uninstall") => call.write(|db| {
            check_name(this, "CERTIFICATE_NAME_INVALID")?;
            let missing = || Fault::new("CERTIFICATE_DOES_NOT_EXIST", [this]);
            let known = db.find("Certificate", "name", this).filter(|_| !this.is_empty());
            db.destroy("Certificate", &known.ok_or_else(missing)?);
            db.files.remove(&format!("{AUTHORITIES}{this}"));
            void()
        }),
        (_, "certificate_list") => {
            let db = call.pool.db();
            let all = db.refs("Certificate").into_iter();
            let all = all.filter(|certificate| db.text("Certificate", certificate, "type") == "ca");
            Ok(Some(Value::set_of(all.map(|certificate| {
                db.text("Certificate", &certificate, "name")
            }))))
        }
        (_, "crl_install") => call.write(|db| install_revoked(db, this, p[1].str()).and_then(|()| void())),
        (_, "crl_uninstall") => call.write(|db| {
            check_name(this, "CRL_NAME_INVALID")?;
            match db.files.remove(&format!("{REVOKED}{this}")) {
                Some(_) => void(),
                None => Err(Fault::new("CRL_DOES_NOT_EXIST", [this])),
            }
        }),
        (_, "crl_list") => Ok(Some(Value::set_of(call.pool.db().file_names(REVOKED)))),
        (_, "install_trusted_certificate") => call.write(|db| {
            db.check("pool", this)?;
            trust(db, p[2].str(), p[1].bool(), &p[3]).and_then(|_| void())
        }),
        (_, "uninstall_trusted_certificate") => call.write(|db| {
            let certificate = p[1].str();
            db.check("Certificate", certificate)?;
            if !matches!(&*db.text("Certificate", certificate, "type"), "ca" | "pinned") {
                return Err(Fault::new("NOT_TRUSTED_CERTIFICATE", [certificate]));
            }
            for file in [file_of(db, certificate), format!("{TRUSTED}{certificate}")] {
                db.files.remove(&file);
            }
            db.destroy("Certificate", certificate);
            void()
        }),
        _ => exchange::run(call, name, p),
    }
}

/// Files that the pool keeps are plain names.
fn check_name(name: &str, code: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        true => Err(Fault::new(code, [name])),
        false => Ok(()),
    }
}

/// Refuses what holds no longer, or not yet, with the codes that begin like that.
fn check_dates(db: &Db, certificate: &Certificate, kind: &str) -> Result<(), Fault> {
    let now = db.now();
    let fault = |what: &str, at: i64| {
        let code = format!("{kind}_{what}");
        Err(Fault::new(&code, [clock::basic(now), clock::basic(at)]))
    };
    if certificate.not_after < now {
        return fault("EXPIRED", certificate.not_after);
    }
    match certificate.not_before > now {
        true => fault("NOT_VALID_YET", certificate.not_before),
        false => Ok(()),
    }
}

/// What the record of a certificate says of its text.
fn described(certificate: &Certificate) -> [(&'static str, Value); 5] {
    [
        ("not_before", Value::Date(certificate.not_before)),
        ("not_after", Value::Date(certificate.not_after)),
        ("fingerprint", Value::from(certificate.sha256())),
        ("fingerprint_sha256", Value::from(certificate.sha256())),
        ("fingerprint_sha1", Value::from(certificate.sha1())),
    ]
}

/// A certificate of an authority that the pool trusts, kept as a file of that name.
fn install_authority(db: &mut Db, name: &str, text: &str) -> Result<Ref, Fault> {
    check_name(name, "CERTIFICATE_NAME_INVALID")?;
    if db.find("Certificate", "name", name).is_some() {
        return Err(Fault::new("CERTIFICATE_ALREADY_EXISTS", [name]));
    }
    let certificate = Certificate::read(text).ok_or_else(|| Fault::bare("CA_CERTIFICATE_INVALID"))?;
    check_dates(db, &certificate, "CA_CERTIFICATE")?;
    db.files.insert(format!("{AUTHORITIES}{name}"), text.to_owned());
    let fields = [("name", Value::from(name)), ("type", Value::from("ca"))];
    Ok(db.create("Certificate", fields.into_iter().chain(described(&certificate))))
}

fn install_revoked(db: &mut Db, name: &str, text: &str) -> Result<(), Fault> {
    check_name(name, "CRL_NAME_INVALID")?;
    let file = format!("{REVOKED}{name}");
    if db.files.contains_key(&file) {
        return Err(Fault::new("CRL_ALREADY_EXISTS", [name]));
    }
    if !crate::pem::is_revocation_list(text) {
        return Err(Fault::new("CRL_CORRUPT", [name]));
    }
    db.files.insert(file, text.to_owned());
    Ok(())
}

/// A certificate that is trusted for some purposes, or for all: an authority's, or one that is pinned.
fn trust(db: &mut Db, text: &str, is_authority: bool, purposes: &Value) -> Result<Ref, Fault> {
    let certificate = Certificate::read(text).ok_or_else(|| Fault::bare("TRUSTED_CERTIFICATE_INVALID"))?;
    check_dates(db, &certificate, "TRUSTED_CERTIFICATE")?;
    if !is_authority && purposes.set().is_empty() {
        return Err(Fault::bare("CERTIFICATE_LACKS_PURPOSE"));
    }
    let print = certificate.sha256();
    if trusted(db).any(|known| db.text("Certificate", &known, "fingerprint_sha256") == print) {
        return Err(Fault::new("TRUSTED_CERTIFICATE_ALREADY_EXISTS", [print]));
    }
    let kind = if is_authority { "ca" } else { "pinned" };
    let fields = [("type", Value::from(kind)), ("purpose", purposes.clone())];
    let made = db.create("Certificate", fields.into_iter().chain(described(&certificate)));
    db.files.insert(format!("{TRUSTED}{made}"), text.to_owned());
    Ok(made)
}

fn trusted(db: &Db) -> impl Iterator<Item = Ref> {
    let all = db.refs("Certificate").into_iter();
    all.filter(|known| matches!(&*db.text("Certificate", known, "type"), "ca" | "pinned"))
}

/// Where the text of a certificate is kept.
fn file_of(db: &Db, certificate: &str) -> String {
    match db.text("Certificate", certificate, "name") {
        name if name.is_empty() => format!("{TRUSTED}{certificate}"),
        name => format!("{AUTHORITIES}{name}"),
    }
}

/// The text of a certificate that is trusted. Records from a file have none.
fn text_of(db: &Db, certificate: &str) -> Result<String, Fault> {
    db.check("Certificate", certificate)?;
    let text = db.files.get(&file_of(db, certificate)).cloned();
    text.ok_or_else(|| {
        Fault::new(
            "CERTIFICATE_CORRUPT",
            [db.text("Certificate", certificate, "name")],
        )
    })
}
