//! `/host_rrd` and `/vm_rrd`: everything that is kept of one object.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{
    ARCHIVES, Column, FUNCTIONS, Function, STEP, column, host_columns, number, vm_columns, wants_json,
};
use crate::http::{Request, Response};
use crate::pool::Shared;
use crate::rpc::sessions;

/// `/host_rrd`, `/vm_rrd`, `/sr_rrd`: everything that is kept of one object. `host` is the number of the host asked.
pub fn dump(request: &Request, pool: &Arc<Shared>, host: usize) -> Response {
    let db = pool.db();
    if sessions::check(&db, request.session().unwrap_or_default()).is_err() {
        return Response::error(401, "unauthorised");
    }
    let own = pool.member(host).unwrap_or_else(|| "".into());
    let mut columns: Vec<Column> = Vec::new();
    let mut add = |owner: &str, uuid: &str, name: &str, low: f64, high: f64| {
        columns.push(column(owner, uuid, name, low, high));
    };
    let is_host = request.path.starts_with("/host");
    if is_host {
        host_columns(&db, &own, &mut add);
    } else if request.path == "/sr_rrd" {
        return Response::error(500, "no measurements of this repository");
    } else {
        let Some(uuid) = request.parameter("uuid") else {
            return Response::error(400, "uuid is required");
        };
        let Some(vm) = db.by_uuid("VM", uuid) else {
            return Response::error(404, "no such VM");
        };
        let resident = db.text("VM", &vm, "resident_on");
        let elsewhere = match db.exists("host", &resident) {
            true => resident,
            // Of one that rests the master has what was kept.
            false => db.master(),
        };
        if elsewhere != *own {
            let address = pool.index_of(&elsewhere).and_then(|at| pool.list_address(at));
            return match address {
                Some(address) => Response::redirect(format!("{}{}", pool.url(address), request.target)),
                None => Response::error(404, "the host of this VM has no address"),
            };
        }
        vm_columns(&db, &vm, uuid, &mut add);
    }
    let now = db.now();
    drop(db);
    let functions: &[_] = if is_host { &FUNCTIONS } else { &FUNCTIONS[..1] };
    let archives = ARCHIVES.iter().flat_map(|(rows, per_row)| {
        let kept = functions
            .iter()
            .filter(move |(_, function)| *function == Function::Average || *per_row > 1);
        kept.map(move |(name, function)| Archive {
            name,
            function: *function,
            rows: *rows,
            per_row: *per_row,
            extremes: is_host,
        })
    });
    let archives: Vec<Archive> = archives.collect();
    match wants_json(request) {
        true => Response::new(
            "application/json",
            dumped_json(&columns, &archives, now).to_string(),
        ),
        false => Response::new("text/xml", dumped_xml(&columns, &archives, now)),
    }
}

struct Archive {
    name: &'static str,
    function: Function,
    rows: i64,
    per_row: i64,
    /// Whether the object's archives have lowest and highest values too.
    extremes: bool,
}

impl Archive {
    /// Values of all rows, the oldest first.
    fn values<'a>(&'a self, columns: &'a [Column], now: i64) -> impl Iterator<Item = Vec<String>> + 'a {
        let step = self.per_row * STEP;
        let end = now / step * step;
        (0..self.rows).rev().map(move |back| {
            let of = |column: &Column| {
                number(
                    column
                        .consolidated(self.name, self.function)
                        .value(end - back * step),
                )
            };
            columns.iter().map(of).collect()
        })
    }

    fn xff(&self) -> &'static str {
        if self.extremes && self.per_row > 1 {
            "1.0"
        } else {
            "0.5"
        }
    }
}

fn dumped_xml(columns: &[Column], archives: &[Archive], now: i64) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\"?><rrd><version>0003</version><step>{STEP}</step><lastupdate>{now}</lastupdate>"
    );
    for column in columns {
        out.push_str(&format!(
            "<ds><name>{}</name><type>GAUGE</type><minimal_heartbeat>300.0</minimal_heartbeat><min>0.0</min><max>Infinity</max><last_ds>{}</last_ds><value>0.0</value><unknown_sec>0</unknown_sec></ds>",
            column.name,
            number(column.value(now))
        ));
    }
    for archive in archives {
        out.push_str(&format!(
            "<rra><cf>{}</cf><pdp_per_row>{}</pdp_per_row><params><xff>{}</xff></params><cdp_prep>",
            archive.name,
            archive.per_row,
            archive.xff()
        ));
        let prepared = "<ds><primary_value>0.0</primary_value><secondary_value>0.0</secondary_value><value>0.0</value><unknown_datapoints>0</unknown_datapoints></ds>";
        out.push_str(&prepared.repeat(columns.len()));
        out.push_str("</cdp_prep><database>");
        for row in archive.values(columns, now) {
            out.push_str("<row>");
            for value in row {
                out.extend(["<v>", &value, "</v>"]);
            }
            out.push_str("</row>");
        }
        out.push_str("</database></rra>");
    }
    out.push_str("</rrd>");
    out
}

fn dumped_json(columns: &[Column], archives: &[Archive], now: i64) -> Json {
    let sources = columns.iter().map(|column| {
        json!({ "name": column.name, "type": "GAUGE", "minimal_heartbeat": "300.0", "min": "0.0", "max": "Infinity",
            "last_ds": number(column.value(now)), "value": "0.0", "unknown_sec": "0", "last_updated": now.to_string() })
    });
    let prepared = || json!({ "primary_value": "0.0", "secondary_value": "0.0", "value": "0.0", "unknown_datapoints": "0" });
    let archives = archives.iter().map(|archive| {
        let prepared: Vec<Json> = columns.iter().map(|_| prepared()).collect();
        json!({ "cf": archive.name, "pdp_per_row": archive.per_row.to_string(), "params": { "xff": archive.xff() },
            "cdp_prep": { "ds": prepared }, "database": archive.values(columns, now).collect::<Vec<_>>() })
    });
    json!({ "version": "0003", "step": STEP.to_string(), "lastupdate": now.to_string(),
        "ds": sources.collect::<Vec<_>>(), "rra": archives.collect::<Vec<_>>() })
}
