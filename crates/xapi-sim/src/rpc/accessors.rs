//! The generated calls: getters, setters, `add_to_`/`remove_from_`, and everything that lists or finds records.

use super::{Call, Reply, filter};
use crate::db::Db;
use crate::fault::Fault;
use crate::model::{Class, Kind, Message};
use crate::value::Value;
use crate::wire::Wire;

pub fn answer(
    call: &Call,
    class: &'static Class,
    message: &Message,
    params: Vec<Value>,
) -> Result<Reply, Fault> {
    let this = || params[0].str();
    match message.kind {
        Kind::Getter(field) => {
            let db = call.pool.db();
            Ok(Reply::Value(db.row(class, this())?.at(field).clone()))
        }
        Kind::Setter(field) => {
            let value = params[1].clone();
            call.write(|db| {
                db.row(class, this())?;
                crate::ops::before_write(db, class, this(), field, &value)?;
                db.set_at(class, this(), field, value);
                crate::ops::after_write(db, class, this(), field);
                done()
            })
        }
        Kind::Adder(field) => call.write(|db| add(db, class, field, &params)),
        Kind::Remover(field) => call.write(|db| remove(db, class, field, &params)),
        _ => generic(call, class, &message.name, &params),
    }
}

/// Calls that find and list; also for `message`, whose calls are declared by hand.
pub fn generic(call: &Call, class: &'static Class, name: &str, params: &[Value]) -> Result<Reply, Fault> {
    let db = call.pool.db();
    let refs = |refs: Vec<Value>| Ok(Reply::Value(Value::Set(refs)));
    match name {
        "get_record" => Ok(Reply::Record(
            db.row(class, params[0].str())?.render(class, call.wire),
        )),
        "get_by_uuid" => {
            let uuid = params[0].str();
            let found = db.by_uuid(&class.name, uuid);
            let found = found.ok_or_else(|| Fault::new("UUID_INVALID", [&*class.name, uuid]))?;
            Ok(Reply::Value(Value::from(&*found)))
        }
        "get_by_name_label" => {
            let label = class.field("name_label").unwrap_or_default();
            let rows = db
                .rows(class)
                .filter(|(_, row)| row.at(label).str() == params[0].str());
            refs(rows.map(|(reference, _)| Value::from(&**reference)).collect())
        }
        "get_all" => refs(
            db.rows(class)
                .map(|(reference, _)| Value::from(&**reference))
                .collect(),
        ),
        "get_all_where" => {
            let expression = filter::parse(class, params[0].str())?;
            let rows = db.rows(class).filter(|(_, row)| expression.accepts(row));
            refs(rows.map(|(reference, _)| Value::from(&**reference)).collect())
        }
        "get_all_records_where" => {
            let expression = filter::parse(class, params[0].str())?;
            Ok(records(&db, class, call.wire, |row| expression.accepts(row)))
        }
        _ => Ok(records(&db, class, call.wire, |_| true)),
    }
}

fn records(db: &Db, class: &Class, wire: Wire, keep: impl Fn(&crate::db::Row) -> bool) -> Reply {
    let rows = db.rows(class).filter(|(_, row)| keep(row));
    Reply::Records(
        rows.map(|(reference, row)| (reference.clone(), row.render(class, wire)))
            .collect(),
    )
}

fn add(db: &mut Db, class: &Class, field: usize, params: &[Value]) -> Result<Reply, Fault> {
    let this = params[0].str();
    let old = db.row(class, this)?.at(field);
    let new = match old {
        Value::Map(_) => {
            let key = map_key(&params[1]);
            if old.entry(&key).is_some() {
                let name = class.fields[field].name.as_str();
                return Err(Fault::new("MAP_DUPLICATE_KEY", [&class.name, name, this, &*key]));
            }
            old.with(&key, Some(params[2].clone()))
        }
        _ => {
            let mut items = old.set().to_vec();
            if !items.contains(&params[1]) {
                items.push(params[1].clone());
            }
            Value::Set(items)
        }
    };
    db.set_at(class, this, field, new);
    crate::ops::after_write(db, class, this, field);
    done()
}

fn remove(db: &mut Db, class: &Class, field: usize, params: &[Value]) -> Result<Reply, Fault> {
    let this = params[0].str();
    let old = db.row(class, this)?.at(field);
    let new = match old {
        Value::Map(_) => old.with(&map_key(&params[1]), None),
        _ => Value::Set(
            old.set()
                .iter()
                .filter(|item| **item != params[1])
                .cloned()
                .collect(),
        ),
    };
    db.set_at(class, this, field, new);
    crate::ops::after_write(db, class, this, field);
    done()
}

fn map_key(key: &Value) -> String {
    key.marshalled()
}

fn done() -> Result<Reply, Fault> {
    Ok(Reply::Value(Value::void()))
}
