//! The directory of people (Active Directory): whether hosts are members of it, and what it says about somebody. The
//! people in it are those of `PoolConfig::users`.

use super::{Outcome, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::rpc::{Call, rbac};
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "pool.enable_external_auth",
    "pool.disable_external_auth",
    "pool.external_auth_set_ldaps",
    "pool.detect_nonhomogeneous_external_auth",
    "host.enable_external_auth",
    "host.disable_external_auth",
    "host.external_auth_set_ldaps",
    "auth.get_subject_identifier",
    "auth.get_subject_information_from_identifier",
    "auth.get_group_membership",
    "session.get_all_subject_identifiers",
];

/// The group that everybody in the directory belongs to.
const EVERYBODY: &str = "S-1-5-21-1000-2000-3000-513";

pub fn run(call: &Call, class_name: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class_name, name) {
        ("host", "enable_external_auth") => call.write(|db| {
            db.check("host", this)?;
            enable(call, db, this, p).and_then(|()| void())
        }),
        ("pool", "enable_external_auth") => call.write(|db| enable_all(call, db, p)),
        ("host", "disable_external_auth") => call.write(|db| {
            db.check("host", this)?;
            let refused = disable(call, db, this, &p[1]);
            match p[2].bool() {
                true => void(),
                false => refused.and_then(|()| void()),
            }
        }),
        ("pool", "disable_external_auth") => call.write(|db| disable_all(call, db, &p[1])),
        ("host", "external_auth_set_ldaps") => call.write(|db| {
            db.check("host", this)?;
            set_ldaps(db, this, p[1].bool(), p[2].bool()).and_then(|()| void())
        }),
        ("pool", "external_auth_set_ldaps") => call.write(|db| {
            for host in db.refs("host") {
                let set = set_ldaps(db, &host, p[1].bool(), p[2].bool());
                set.map_err(|fault| match fault.code.as_str() {
                    "AUTH_IS_DISABLED" => fault,
                    code => {
                        let why = fault.params.first().map_or(code, String::as_str);
                        Fault::new("AUTH_SET_LDAPS_FAILED", [&*host, why])
                    }
                })?;
            }
            void()
        }),
        ("pool", "detect_nonhomogeneous_external_auth") => call.write(|db| {
            db.check("pool", this)?;
            note_differences(db);
            void()
        }),
        ("auth", _) => ask(call, name, this),
        ("session", "get_all_subject_identifiers") => {
            let db = call.pool.db();
            let sessions = db.refs("session").into_iter();
            let mut people: Vec<String> = sessions
                .map(|session| db.text("session", &session, "auth_user_sid"))
                .filter(|identifier| !identifier.is_empty())
                .collect();
            people.sort();
            people.dedup();
            Ok(Some(Value::set_of(people)))
        }
        ("subject", "create") => {
            let identifier = p[0].text("subject_identifier");
            let known = call.pool.db().find("subject", "subject_identifier", identifier);
            match known.filter(|_| !identifier.is_empty()) {
                Some(_) => Err(Fault::bare("SUBJECT_ALREADY_EXISTS")),
                None => super::records::create(call, class("subject"), &p[0]).map(Some),
            }
        }
        _ => Ok(None),
    }
}

/// Whether people of a directory can log in.
pub fn is_enabled(db: &Db) -> bool {
    !db.text("host", &db.master(), "external_auth_type").is_empty()
}

/// What a host's membership is: type and name of the directory.
pub fn membership(db: &Db, host: &str) -> [String; 2] {
    ["external_auth_type", "external_auth_service_name"].map(|field| db.text("host", host, field))
}

fn enable(call: &Call, db: &mut Db, host: &str, p: &[Value]) -> Result<(), Fault> {
    let (config, service, kind) = (&p[1], p[2].str(), p[3].str());
    let now = membership(db, host);
    if kind != "AD" {
        return Err(Fault::new("AUTH_UNKNOWN_TYPE", [kind]));
    }
    if !now[0].is_empty() {
        return Err(Fault::new("AUTH_ALREADY_ENABLED", now));
    }
    let (user, password) = (config.text("user"), config.text("pass"));
    if service.is_empty() || user.is_empty() || password.is_empty() {
        let why = "enable requires a service name and two config params: user and pass";
        return Err(Fault::new("AUTH_ENABLE_FAILED", [why]));
    }
    if !service.contains('.') {
        let why = format!("cannot find domain {service}");
        return Err(Fault::new("AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED", [why]));
    }
    check_password(call, user, password, "AUTH_ENABLE_FAILED_WRONG_CREDENTIALS")?;
    let kept = config.map().iter().filter(|(key, _)| &**key != "pass");
    let kept = Value::Map(kept.cloned().collect()).with("domain", Some(Value::from(service)));
    db.update(
        "host",
        host,
        [
            ("external_auth_type", Value::from(kind)),
            ("external_auth_service_name", Value::from(service)),
            ("external_auth_configuration", kept),
        ],
    );
    Ok(())
}

/// Only the passwords of those who are in the directory are known; any other account is taken for its administrator's.
fn check_password(call: &Call, user: &str, password: &str, code: &str) -> Result<(), Fault> {
    let known = call
        .pool
        .config
        .users
        .iter()
        .find(|known| known.name == plain(user));
    match known.is_some_and(|known| known.password != password) {
        true => Err(Fault::new(code, [format!("{user}: the password is not right")])),
        false => Ok(()),
    }
}

/// `ann`, `ann@example.org` and `EXAMPLE\ann` are the same person.
fn plain(user: &str) -> &str {
    let user = user.rsplit('\\').next().unwrap_or(user);
    user.split('@').next().unwrap_or(user)
}

/// All hosts or none.
fn enable_all(call: &Call, db: &mut Db, p: &[Value]) -> Outcome {
    db.check("pool", p[0].str())?;
    let hosts = db.refs("host");
    if let Some(host) = hosts.iter().find(|host| !membership(db, host)[0].is_empty()) {
        return Err(Fault::new("POOL_AUTH_ALREADY_ENABLED", [&**host]));
    }
    for (at, host) in hosts.iter().enumerate() {
        let joined = match call.pool.is_up(host) {
            true => enable(call, db, host, p),
            false => Err(Fault::new("AUTH_ENABLE_FAILED", ["the host does not answer"])),
        };
        if let Err(fault) = joined {
            hosts[..at].iter().for_each(|host| leave(db, host));
            return Err(of_host(host, fault));
        }
    }
    void()
}

/// What went wrong with one host of a pool.
fn of_host(host: &str, fault: Fault) -> Fault {
    match fault.code.as_str() {
        "AUTH_UNKNOWN_TYPE" => fault,
        code => {
            let why = fault.params.first().map_or("", String::as_str);
            Fault::new(&format!("POOL_{code}"), [host, why])
        }
    }
}

fn leave(db: &mut Db, host: &str) {
    db.update(
        "host",
        host,
        [
            ("external_auth_type", Value::from("")),
            ("external_auth_service_name", Value::from("")),
            ("external_auth_configuration", Value::empty_map()),
        ],
    );
}

/// The host forgets the directory in any case; with wrong credentials its account there stays, which is an error.
fn disable(call: &Call, db: &mut Db, host: &str, config: &Value) -> Result<(), Fault> {
    // To disable twice is no mistake.
    if membership(db, host)[0].is_empty() {
        return Ok(());
    }
    let code = "AUTH_DISABLE_FAILED_WRONG_CREDENTIALS";
    let refused = check_password(call, config.text("user"), config.text("pass"), code);
    leave(db, host);
    if db.master() == host {
        end_sessions(db);
    }
    refused
}

fn disable_all(call: &Call, db: &mut Db, config: &Value) -> Outcome {
    let mut refused = None;
    for host in db.refs("host") {
        if let Err(fault) = disable(call, db, &host, config) {
            refused.get_or_insert(of_host(&host, fault));
        }
    }
    match refused {
        Some(fault) => Err(fault),
        None => void(),
    }
}

/// Nobody can vouch any more for those who came from the directory.
fn end_sessions(db: &mut Db) {
    for session in db.refs("session") {
        if !db.text("session", &session, "auth_user_sid").is_empty() {
            db.destroy("session", &session);
        }
    }
}

fn set_ldaps(db: &mut Db, host: &str, ldaps: bool, forced: bool) -> Result<(), Fault> {
    if membership(db, host)[0].is_empty() {
        return Err(Fault::bare("AUTH_IS_DISABLED"));
    }
    let trusts =
        |certificate: &crate::db::Ref| db.get("Certificate", certificate, "purpose").contains("ldaps");
    if ldaps && !forced && !db.refs("Certificate").iter().any(trusts) {
        let why = "no trusted certificate has the purpose ldaps";
        return Err(Fault::new("AUTH_NO_TRUSTED_CERTS", [why]));
    }
    let value = Some(Value::from(if ldaps { "true" } else { "false" }));
    db.set_entry("host", host, "external_auth_configuration", "ldaps", value);
    Ok(())
}

/// Hosts that differ from the master in this are told of in an alert.
fn note_differences(db: &mut Db) {
    let master = membership(db, &db.master());
    for host in db.refs("host") {
        if membership(db, &host) != master {
            let uuid = db.text("host", &host, "uuid");
            let body = format!(
                "The external authentication of host {} differs from the pool's",
                db.text("host", &host, "name_label")
            );
            super::alerts::create(db, "EXTAUTH_IN_POOL_IS_NON_HOMOGENEOUS", 3, "Host", &uuid, body);
        }
    }
}

fn ask(call: &Call, question: &str, about: &str) -> Outcome {
    let db = call.pool.db();
    if !is_enabled(&db) {
        return Err(Fault::bare("AUTH_IS_DISABLED"));
    }
    let mut people = call.pool.config.users.iter();
    let person = people.find(|person| match question {
        "get_subject_identifier" => person.name == plain(about),
        _ => rbac::identifier(&person.name) == about,
    });
    let person = person.ok_or_else(|| Fault::bare("SUBJECT_CANNOT_BE_RESOLVED"))?;
    let (name, identifier) = (&*person.name, rbac::identifier(&person.name));
    let service = db.text("host", &db.master(), "external_auth_service_name");
    Ok(Some(match question {
        "get_subject_identifier" => Value::from(identifier),
        "get_group_membership" => Value::set_of([EVERYBODY]),
        _ => Value::map_of([
            ("subject-name", name.to_owned()),
            ("subject-upn", format!("{name}@{service}")),
            ("subject-displayname", name.to_owned()),
            ("subject-gecos", String::new()),
            ("subject-sid", identifier),
            ("subject-is-group", "false".to_owned()),
            ("subject-account-disabled", "false".to_owned()),
            ("subject-account-expired", "false".to_owned()),
            ("subject-account-locked", "false".to_owned()),
            ("subject-password-expired", "false".to_owned()),
        ]),
    }))
}
