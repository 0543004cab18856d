//! Roles: who may call what. Local root may do everything; others have a `subject` with roles, and a role has the
//! rights of all below it.

use crate::db::{Db, Ref};
use crate::fault::Fault;
use crate::model::{Class, Message, model};
use crate::value::Value;

/// From the most to the least powerful.
pub const ROLES: [(&str, &str); 6] = [
    (
        "pool-admin",
        "The Pool Administrator role has full access to all features and settings",
    ),
    (
        "pool-operator",
        "The Pool Operator role manages host- and pool-wide resources",
    ),
    (
        "vm-power-admin",
        "The VM Power Administrator role has full access to VM management",
    ),
    ("vm-admin", "The VM Administrator role can manage VMs"),
    (
        "vm-operator",
        "The VM Operator role can use VMs and manage start/stop",
    ),
    (
        "read-only",
        "The Read-Only role can log in with basic read-only access",
    ),
];

/// The directory of a made-up pool.
const DOMAIN: &str = "sim.example";

/// The account of somebody who is not root, as a directory would know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    /// One of the six roles; empty = known to the directory, but without a role in this pool.
    pub role: String,
}

/// The records of the roles and of the users that have one.
pub fn seed(db: &mut Db, users: &[User]) {
    for (name, text) in ROLES {
        if db.find("role", "name_label", name).is_none() {
            let fields = [
                ("name_label", Value::from(name)),
                ("name_description", Value::from(text)),
            ];
            db.create("role", fields);
        }
    }
    // Who is not root comes from a directory.
    for host in if users.is_empty() { vec![] } else { db.refs("host") } {
        if db.text("host", &host, "external_auth_type").is_empty() {
            let known = Value::map_of([("domain", DOMAIN), ("user", "administrator")]);
            db.update(
                "host",
                &host,
                [
                    ("external_auth_type", Value::from("AD")),
                    ("external_auth_service_name", Value::from(DOMAIN)),
                    ("external_auth_configuration", known),
                ],
            );
        }
    }
    for user in users.iter().filter(|user| !user.role.is_empty()) {
        // Records from a file may know them already.
        if subject_of(db, &user.name).is_some() {
            continue;
        }
        let roles = db.find("role", "name_label", &user.role);
        let roles = Value::set_of(roles.iter().map(|role| &**role));
        let config = Value::map_of([
            ("subject-name", user.name.as_str()),
            ("subject-upn", user.name.as_str()),
            ("subject-is-group", "false"),
        ]);
        db.create(
            "subject",
            [
                ("subject_identifier", Value::from(identifier(&user.name))),
                ("other_config", config),
                ("roles", roles),
            ],
        );
    }
}

/// The security identifier that a directory gives, always the same for a name.
pub fn identifier(name: &str) -> String {
    let hash = name
        .bytes()
        .fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
    format!("S-1-5-21-1000-2000-3000-{hash}")
}

pub fn subject_of(db: &Db, name: &str) -> Option<Ref> {
    db.find("subject", "subject_identifier", &identifier(name))
}

/// The calls that a role allows, as permissions are spelled.
pub fn permissions(role: &str) -> Vec<String> {
    let Some(has) = rank(role) else { return vec![] };
    let classes = model().classes.iter();
    classes
        .flat_map(|class| class.messages.iter().map(move |message| (class, message)))
        .filter(|(_, message)| rank(&message.min_role).is_some_and(|needs| has <= needs))
        .map(|(class, message)| format!("{}.{}", class.name, message.name).to_lowercase())
        .collect()
}

/// How powerful a role is: 0 is the most powerful.
fn rank(role: &str) -> Option<usize> {
    ROLES.iter().position(|(name, _)| *name == role)
}

fn best_rank(db: &Db, subject: &str) -> Option<usize> {
    let roles = db.get("subject", subject, "roles").set().iter();
    roles
        .filter_map(|role| rank(db.get("role", role.str(), "name_label").str()))
        .min()
}

/// RBAC_PERMISSION_DENIED unless the session's roles allow the call, with that key if it is about one of a map.
/// The session was checked before.
pub fn check(db: &Db, session: &str, class: &Class, message: &Message, key: &str) -> Result<(), Fault> {
    let fits = |wanted: &str| match wanted.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == wanted,
    };
    let mut permission = format!("{}.{}", class.name, message.name).to_lowercase();
    let mut role = &message.min_role;
    if let Some((wanted, special)) = message.key_roles.iter().find(|(wanted, _)| fits(wanted)) {
        permission.push_str(&format!("/key:{}", wanted.to_lowercase()));
        role = special;
    }
    need(db, session, &permission, role)
}

/// RBAC_PERMISSION_DENIED unless the session has that role or a more powerful one.
pub fn need(db: &Db, session: &str, permission: &str, role: &str) -> Result<(), Fault> {
    if db.get("session", session, "is_local_superuser").bool() {
        return Ok(());
    }
    let has = best_rank(db, db.get("session", session, "subject").str());
    // Calls for local root only have a role of no rank.
    let needs = rank(role);
    if has.zip(needs).is_some_and(|(has, needs)| has <= needs) {
        return Ok(());
    }
    let allowed: Vec<&str> = needs
        .map(|needs| ROLES[..=needs].iter().map(|(name, _)| *name).collect())
        .unwrap_or_default();
    let text = format!(
        "No permission in user session. (Roles with this permission: {})",
        allowed.join(", ")
    );
    Err(Fault::new("RBAC_PERMISSION_DENIED", [permission, &text]))
}
