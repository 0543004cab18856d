//! Databases that are no pool's own: copies that a pool keeps on its storage for the day of a disaster, and those of
//! them that somebody has opened. An opened one is asked through its session, as if it were a pool.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{PoolConfig, Shared};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::value::{NULL_REF, Value};
use crate::world;

/// A copy on storage: where it is, and whose. The pool stays readable here when it is stopped, as its storage would.
#[derive(Clone)]
pub struct Replica {
    pub sr: String,
    pub vdi: String,
    pub kind: String,
    pub device_config: Value,
    pub pool: Arc<Shared>,
}

static REPLICAS: Mutex<Vec<Replica>> = Mutex::new(Vec::new());

pub fn replicas() -> MutexGuard<'static, Vec<Replica>> {
    REPLICAS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The databases that are open in a pool, by the session that asks them.
#[derive(Default)]
pub struct Libraries {
    opened: Mutex<BTreeMap<String, Opened>>,
    /// The pool in which this database was opened, if it is one that was.
    home: Weak<Shared>,
}

struct Opened {
    database: Arc<Shared>,
    /// The disk that it is on.
    vdi: String,
}

impl Shared {
    /// The database that a session asks, if it is not the pool's.
    pub fn library(&self, session: &str) -> Option<Arc<Shared>> {
        let mut opened = self.libraries.lock();
        let database = opened.get(session)?.database.clone();
        let lives = database.db().exists("session", session);
        if !lives {
            opened.remove(session);
        }
        lives.then_some(database)
    }

    /// The pool in which this database was opened: itself when it is one.
    pub fn home(self: &Arc<Shared>) -> Arc<Shared> {
        self.libraries.home.upgrade().unwrap_or_else(|| self.clone())
    }

    /// Whether somebody reads the database on a disk.
    pub fn is_open(&self, vdi: &str) -> bool {
        self.libraries.lock().values().any(|opened| opened.vdi == vdi)
    }

    pub fn close_libraries(&self) {
        self.libraries.lock().clear();
    }

    /// Opens a copy of a database. Gives the session that asks it.
    pub fn open_library(self: &Arc<Shared>, records: &serde_json::Value, vdi: &str) -> Result<String, Fault> {
        let failed = |error: anyhow::Error| Fault::new("COULD_NOT_IMPORT_DATABASE", [error.to_string()]);
        let session = self.write(|db| db.seed.reference());
        let mut db = Db::new(self.config.seed.wrapping_add(db_number(&session)));
        world::load::build(&mut db, records, self.address).map_err(failed)?;
        let fields = [
            ("this_host", Value::from(db.master())),
            ("last_active", Value::Date(db.now())),
            ("is_local_superuser", Value::Bool(true)),
        ];
        let session_class = class("session");
        let values = session_class.fields.iter().map(|field| {
            let given = fields.iter().find(|(name, _)| *name == field.name);
            given.map_or_else(|| field.initial(), |(_, value)| value.clone())
        });
        let values = values.collect();
        db.insert(session_class, &session, values);
        let config = PoolConfig {
            churn_per_second: 0.0,
            ..self.config.clone()
        };
        let database = Shared::new(
            config,
            self.address,
            db,
            Libraries {
                home: Arc::downgrade(self),
                ..Libraries::default()
            },
        );
        let opened = Opened {
            database: Arc::new(database),
            vdi: vdi.to_owned(),
        };
        self.libraries.lock().insert(session.clone(), opened);
        Ok(session)
    }
}

/// Each opened database has references of its own.
fn db_number(session: &str) -> u64 {
    session.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Libraries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose database it is.
pub fn pool_uuid(db: &Db) -> String {
    match db.pool() {
        pool if &*pool == NULL_REF => String::new(),
        pool => db.text("pool", &pool, "uuid"),
    }
}
