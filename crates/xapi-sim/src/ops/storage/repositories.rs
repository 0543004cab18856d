//! Storage repositories and their plugs: SR and PBD.

use crate::db::Db;
use crate::fault::Fault;
use crate::ops::{Outcome, lifecycle, void};
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

fn sr_record(db: &mut Db, uuid: &str, size: i64, texts: [&Value; 4], shared: bool) -> String {
    let sr = db.create(
        "SR",
        [
            ("uuid", Value::from(uuid)),
            ("name_label", texts[0].clone()),
            ("name_description", texts[1].clone()),
            ("type", texts[2].clone()),
            ("content_type", texts[3].clone()),
            ("shared", Value::Bool(shared)),
            ("physical_size", Value::Int(size)),
        ],
    );
    lifecycle::refresh(db, "SR", &sr);
    sr.to_string()
}

pub async fn create(call: &Call, p: &[Value]) -> Result<Value, Fault> {
    let (host, config, kind, shared) = (p[0].str(), &p[1], p[5].str(), p[7].bool());
    {
        let db = call.pool.db();
        db.check("host", host)?;
        if db.find("SM", "type", kind).is_none() {
            return Err(Fault::new("SR_UNKNOWN_DRIVER", [kind]));
        }
    }
    call.work(2.0).await?;
    Ok(call.write(|db| {
        let size = if p[2].int() > 0 { p[2].int() } else { 500 << 30 };
        let sr = sr_record(db, "", size, [&p[3], &p[4], &p[5], &p[6]], shared);
        let hosts = if shared {
            db.refs("host")
        } else {
            vec![host.into()]
        };
        for host in hosts {
            db.create(
                "PBD",
                [
                    ("host", Value::from(&*host)),
                    ("SR", Value::from(&sr)),
                    ("device_config", config.clone()),
                    ("currently_attached", Value::Bool(true)),
                ],
            );
        }
        lifecycle::refresh(db, "SR", &sr);
        Value::from(sr)
    }))
}

pub fn introduce(call: &Call, p: &[Value]) -> Result<Value, Fault> {
    call.write(|db| {
        if db.by_uuid("SR", p[0].str()).is_some() {
            return Err(Fault::new("SR_UUID_EXISTS", [p[0].str()]));
        }
        Ok(Value::from(sr_record(
            db,
            p[0].str(),
            0,
            [&p[1], &p[2], &p[3], &p[4]],
            p[5].bool(),
        )))
    })
}

pub fn remove(call: &Call, sr: &str, with_data: bool) -> Outcome {
    call.write(|db| {
        db.check("SR", sr)?;
        let pbds = db.members("SR", sr, "PBDs");
        if pbds
            .iter()
            .any(|pbd| db.get("PBD", pbd, "currently_attached").bool())
        {
            return Err(Fault::new("SR_HAS_PBD", [sr]));
        }
        if with_data {
            if pbds.is_empty() {
                return Err(Fault::new("SR_HAS_NO_PBDS", [sr]));
            }
            if db.get("SR", sr, "other_config").text("indestructible") == "true" {
                return Err(Fault::new("SR_INDESTRUCTIBLE", [sr]));
            }
            if db
                .get("SR", sr, "VDIs")
                .set()
                .iter()
                .any(|vdi| db.get("VDI", vdi.str(), "managed").bool())
            {
                return Err(Fault::bare("SR_NOT_EMPTY"));
            }
        }
        for vdi in db.members("SR", sr, "VDIs") {
            super::forget_disk(db, &vdi);
        }
        for pbd in pbds {
            db.destroy("PBD", &pbd);
        }
        db.destroy("SR", sr);
        void()
    })
}

pub fn create_pbd(call: &Call, record: &Value) -> Result<Value, Fault> {
    let (sr, host) = (record.text("SR"), record.text("host"));
    {
        let db = call.pool.db();
        db.check("SR", sr)?;
        db.check("host", host)?;
        for pbd in db.get("SR", sr, "PBDs").set() {
            if db.get("PBD", pbd.str(), "host").str() == host {
                return Err(Fault::new("PBD_EXISTS", [sr, host, pbd.str()]));
            }
            if !db.get("SR", sr, "shared").bool() {
                return Err(Fault::new("SR_NOT_SHARABLE", [sr, host]));
            }
        }
    }
    crate::ops::records::create(call, crate::db::class("PBD"), record)
}

pub async fn plug(call: &Call, pbd: &str, plug: bool) -> Outcome {
    {
        let db = call.pool.db();
        db.check("PBD", pbd)?;
        let (sr, host) = (db.text("PBD", pbd, "SR"), db.text("PBD", pbd, "host"));
        if !plug {
            for vdi in db.get("SR", &sr, "VDIs").set() {
                for vbd in db.get("VDI", vdi.str(), "VBDs").set() {
                    let vm = db.text("VBD", vbd.str(), "VM");
                    if db.get("VBD", vbd.str(), "currently_attached").bool()
                        && db.get("VM", &vm, "resident_on").str() == host
                    {
                        return Err(Fault::new("VDI_IN_USE", [vdi.str(), "PBD.unplug"]));
                    }
                }
            }
        }
    }
    call.work(0.5).await?;
    call.write(|db| {
        db.set("PBD", pbd, "currently_attached", plug);
        let sr = db.text("PBD", pbd, "SR");
        if sr != NULL_REF {
            lifecycle::refresh(db, "SR", &sr);
        }
    });
    void()
}
