//! `SR.probe`: what a storage driver finds. A question that lacks something is answered with an error whose last
//! parameter lists the choices as XML, as the real drivers do.

use super::Outcome;
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

const IQNS: [&str; 2] = [
    "iqn.2010-06.com.purestorage:flasharray.1",
    "iqn.2010-06.com.purestorage:flasharray.2",
];
const LUNS: [(&str, &str, i64); 2] = [("0", "3624a9370", 40 << 40), ("1", "3624a9371", 8 << 40)];
const EXPORTS: [&str; 2] = ["/volume1/vm-store", "/volume1/iso"];

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let db = call.pool.db();
    let (host, config, kind) = (p[0].str(), &p[1], p[2].str());
    db.check("host", host)?;
    if db.find("SM", "type", kind).is_none() {
        return Err(Fault::new("SR_UNKNOWN_DRIVER", [kind]));
    }
    let found = probe(&db, config, kind);
    if name == "probe" {
        let found = found.map_err(|(number, text, xml)| failure(number, text, &xml))?;
        let srs: Vec<String> = found
            .iter()
            .map(|sr| format!("<SR><UUID>{sr}</UUID></SR>"))
            .collect();
        let list = format!("<?xml version=\"1.0\" ?>\n<SRlist>{}</SRlist>\n", srs.concat());
        return Ok(Some(Value::from(list)));
    }
    Ok(Some(match found {
        Ok(srs) => Value::Set(
            srs.iter()
                .map(|sr| result(config, true, Some(&stat(&db, sr))))
                .collect(),
        ),
        // The newer call answers what can be completed instead of failing.
        Err((96, _, _)) => choices(config, "targetIQN", &IQNS),
        Err((107, _, _)) => choices(config, "SCSIid", &LUNS.map(|(_, id, _)| id)),
        Err((101, _, _)) => choices(config, "serverpath", &EXPORTS),
        Err((number, text, xml)) => return Err(failure(number, text, &xml)),
    }))
}

fn failure(number: u32, text: &str, xml: &str) -> Fault {
    Fault::new(&format!("SR_BACKEND_FAILURE_{number}"), ["", text, xml])
}

/// The uuids of the repositories there, or the number of the error with its text and the choices.
fn probe(db: &Db, config: &Value, kind: &str) -> Result<Vec<String>, (u32, &'static str, String)> {
    let given = |key: &str| config.entry(key).is_some_and(|value| !value.str().is_empty());
    match kind {
        "nfs" if !given("server") => Err((100, "The request is missing the server parameter", String::new())),
        "nfs" if !given("serverpath") => Err((
            101,
            "The request is missing the serverpath parameter",
            exports(config.text("server")),
        )),
        "lvmoiscsi" if !given("target") => {
            Err((90, "The request is missing the target parameter", String::new()))
        }
        "lvmoiscsi" if !given("targetIQN") => Err((
            96,
            "The request is missing or has an incorrect target IQN parameter",
            targets(config.text("target")),
        )),
        "lvmoiscsi" | "lvmohba" if !given("SCSIid") => {
            Err((107, "The SCSIid parameter is missing or incorrect", luns(kind)))
        }
        "smb" if !given("server") => Err((111, "SMB mount error [opterr=server missing]", String::new())),
        _ => Ok(there(db, config, kind)),
    }
}

/// Known repositories of that kind whose plugs say the same as the question.
fn there(db: &Db, config: &Value, kind: &str) -> Vec<String> {
    let asked = [
        "server",
        "serverpath",
        "target",
        "targetIQN",
        "SCSIid",
        "device",
        "location",
    ];
    let all = db.refs("SR").into_iter();
    all.filter(|sr| {
        db.get("SR", sr, "type").str() == kind
            && db.get("SR", sr, "PBDs").set().first().is_some_and(|pbd| {
                let known = db.get("PBD", pbd.str(), "device_config");
                asked
                    .iter()
                    .all(|key| config.entry(key).is_none() || config.text(key) == known.text(key))
            })
    })
    .map(|sr| db.text("SR", &sr, "uuid"))
    .collect()
}

fn exports(server: &str) -> String {
    let exports = EXPORTS.map(|path| {
        format!(
            "<Export><Target>{server}</Target><Path>{path}</Path><Accesslist>(everyone)</Accesslist></Export>"
        )
    });
    format!(
        "<?xml version=\"1.0\" ?>\n<nfs-exports>{}</nfs-exports>\n",
        exports.concat()
    )
}

fn targets(address: &str) -> String {
    let targets = IQNS.iter().enumerate().map(|(at, iqn)| {
        format!("<TGT><Index>{at}</Index><IPAddress>{address}</IPAddress><TargetIQN>{iqn}</TargetIQN></TGT>")
    });
    let targets: String = targets.collect();
    format!("<?xml version=\"1.0\" ?>\n<iscsi-target-iqns>{targets}</iscsi-target-iqns>\n")
}

fn luns(kind: &str) -> String {
    if kind == "lvmohba" {
        let devices = LUNS.map(|(lun, id, size)| {
            format!(
                "<BlockDevice><path>/dev/disk/by-id/scsi-{id}</path><SCSIid>{id}</SCSIid><vendor>PURE</vendor>\
                 <serial>{id}</serial><size>{size}</size><adapter>host1</adapter><channel>0</channel><id>0</id>\
                 <lun>{lun}</lun><hba>qla2xxx</hba></BlockDevice>"
            )
        });
        return format!(
            "<?xml version=\"1.0\" ?>\n<Devlist>{}</Devlist>\n",
            devices.concat()
        );
    }
    let luns = LUNS.map(|(lun, id, size)| {
        format!(
            "<LUN><vendor>PURE</vendor><serial>{id}</serial><LUNid>{lun}</LUNid><size>{size}</size>\
             <SCSIid>{id}</SCSIid></LUN>"
        )
    });
    format!(
        "<?xml version=\"1.0\" ?>\n<iscsi-target>{}</iscsi-target>\n",
        luns.concat()
    )
}

fn choices(config: &Value, key: &str, values: &[&str]) -> Value {
    let choices = values.iter().map(|value| {
        let completed = config.with(key, Some(Value::from(*value)));
        result(&completed, false, None)
    });
    Value::Set(choices.collect())
}

fn result(config: &Value, complete: bool, sr: Option<&Value>) -> Value {
    Value::map_of([
        ("configuration", config.clone()),
        ("complete", Value::Bool(complete)),
        ("sr", Value::Set(sr.into_iter().cloned().collect())),
        ("extra_info", Value::empty_map()),
    ])
}

fn stat(db: &Db, uuid: &str) -> Value {
    let sr = db.by_uuid("SR", uuid).unwrap_or_else(|| "".into());
    let used = db.get("SR", &sr, "physical_utilisation").int();
    let free = db.get("SR", &sr, "physical_size").int().saturating_sub(used);
    Value::map_of([
        ("uuid", Value::Set(vec![Value::from(uuid)])),
        ("name_label", db.get("SR", &sr, "name_label").clone()),
        ("name_description", db.get("SR", &sr, "name_description").clone()),
        ("free_space", Value::Int(free)),
        ("total_space", db.get("SR", &sr, "physical_size").clone()),
        ("clustered", Value::Bool(false)),
        ("health", Value::from("healthy")),
    ])
}
