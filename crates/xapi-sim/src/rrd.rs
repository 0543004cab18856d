//! `GET /rrd_updates`: the measurements of hosts and guests, made up but steady: the same second always gives the
//! same value, so that overlapping answers agree.

mod archives;

use std::sync::Arc;

use crate::db::Db;
use crate::http::{Request, Response};
use crate::pool::Shared;
use crate::rpc::sessions;
use crate::value::Value;

/// Rows and base steps per row of the four archives.
const ARCHIVES: [(i64, i64); 4] = [(120, 1), (120, 12), (168, 720), (366, 17_280)];
const STEP: i64 = 5;

pub use archives::dump;

/// How the values of a row become one.
#[derive(Clone, Copy, PartialEq)]
enum Function {
    Average,
    Min,
    Max,
}

const FUNCTIONS: [(&str, Function); 3] = [
    ("AVERAGE", Function::Average),
    ("MIN", Function::Min),
    ("MAX", Function::Max),
];

/// One column: what it is called, and where its values lie.
#[derive(Clone)]
struct Column {
    name: String,
    function: Function,
    legend: String,
    seed: u64,
    low: f64,
    high: f64,
}

/// `host` is the number of the host that was asked: each one knows only its own.
pub fn updates(request: &Request, pool: &Arc<Shared>, host: usize) -> Response {
    let db = pool.db();
    if sessions::check(&db, request.session().unwrap_or_default()).is_err() {
        return Response::error(401, "unauthorised");
    }
    let number = |name: &str| request.parameter(name).and_then(|text| text.parse::<i64>().ok());
    let Some(start) = number("start") else {
        return Response::error(400, "start is required");
    };
    let now = db.now();
    let start = if start < 0 { now + start } else { start };
    let wanted = number("interval").unwrap_or_default() / STEP;
    let fits = |(rows, per_row): &&(i64, i64)| *per_row >= wanted && start > now - rows * per_row * STEP;
    let (rows, per_row) = *ARCHIVES.iter().find(fits).unwrap_or(&ARCHIVES[3]);
    let step = per_row * STEP;
    let end = now / step * step;
    let first = (start / step * step + step).max(end - rows * step);
    let columns = columns(&db, request, &pool.member(host).unwrap_or_else(|| "".into()));
    drop(db);
    // Without a known one all of them; extremes are kept of hosts only, and not of the finest rows.
    let named = FUNCTIONS
        .iter()
        .find(|(name, _)| request.parameter("cf") == Some(name));
    let columns: Vec<Column> = FUNCTIONS
        .iter()
        .filter(|(name, _)| named.is_none_or(|(wanted, _)| wanted == name))
        .flat_map(|(name, function)| {
            let of_host = |column: &&Column| column.legend.starts_with("AVERAGE:host:") && per_row > 1;
            let kept = columns
                .iter()
                .filter(move |column| *function == Function::Average || of_host(column));
            kept.map(|column| column.consolidated(name, *function))
        })
        .collect();
    if columns.is_empty() {
        return Response::error(500, "No_RRA_Available");
    }
    // Newest first.
    let times: Vec<i64> = (0..rows)
        .map(|at| end - at * step)
        .take_while(|at| *at >= first)
        .collect();
    let meta = Meta {
        first,
        step,
        end,
        times: &times,
        columns: &columns,
    };
    match wants_json(request) {
        true => Response::new("application/json", meta.json()),
        false => Response::new("text/xml", meta.xml()),
    }
}

fn columns(db: &Db, request: &Request, host: &str) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut add = |owner: &str, uuid: &str, name: &str, low: f64, high: f64| {
        columns.push(column(owner, uuid, name, low, high));
    };
    if request.parameter("host") == Some("true") {
        host_columns(db, host, &mut add);
    }
    let chosen: Vec<&str> = request
        .query
        .iter()
        .filter(|(name, _)| name == "vm_uuid")
        .map(|(_, uuid)| uuid.as_str())
        .collect();
    for vm in db.get("host", host, "resident_VMs").set() {
        let uuid = db.get("VM", vm.str(), "uuid").str();
        if chosen.is_empty() || chosen.contains(&uuid) {
            vm_columns(db, vm.str(), uuid, &mut add);
        }
    }
    columns
}

fn column(owner: &str, uuid: &str, name: &str, low: f64, high: f64) -> Column {
    let legend = format!("AVERAGE:{owner}:{uuid}:{name}");
    let seed = legend.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Column {
        name: name.to_owned(),
        function: Function::Average,
        legend,
        seed,
        low,
        high,
    }
}

/// The measurements of a host, a guest or a repository as `data_source` records.
pub fn data_sources(db: &Db, class: &str, reference: &str) -> Vec<Value> {
    let now = db.now();
    let mut sources = Vec::new();
    let mut add = |owner: &str, uuid: &str, name: &str, low: f64, high: f64| {
        let value = column(owner, uuid, name, low, high).value(now);
        sources.push(Value::map_of([
            ("name_label", Value::from(name)),
            ("name_description", Value::from(format!("{name} of the {owner}"))),
            ("enabled", Value::Bool(true)),
            ("standard", Value::Bool(true)),
            ("units", Value::from("unknown")),
            ("min", Value::Float(0.0)),
            ("max", Value::Float(high)),
            ("value", Value::Float(value)),
        ]));
    };
    let uuid = db.get(class, reference, "uuid").str();
    match class {
        "host" => host_columns(db, reference, &mut add),
        "VM" if db.get("VM", reference, "power_state").str() == "Running" => {
            vm_columns(db, reference, uuid, &mut add);
        }
        "SR" => {
            let size = |field: &str| db.get("SR", reference, field).int() as f64;
            for name in ["physical_utilisation", "size"] {
                let now = size(if name == "size" { "physical_size" } else { name });
                add("sr", uuid, name, now, now);
            }
        }
        _ => {}
    }
    sources
}

fn host_columns(db: &Db, host: &str, add: &mut impl FnMut(&str, &str, &str, f64, f64)) {
    let uuid = db.get("host", host, "uuid").str();
    let metrics = db.get("host", host, "metrics").str();
    let kib = |field: &str| db.get("host_metrics", metrics, field).int() as f64 / 1024.0;
    let (total, free) = (kib("memory_total"), kib("memory_free"));
    let mut add = |name: &str, low: f64, high: f64| add("host", uuid, name, low, high);
    add("memory_total_kib", total, total);
    add("memory_free_kib", free * 0.98, free);
    add("memory_reclaimed", 0.0, 0.0);
    add("memory_reclaimed_max", 0.0, 0.0);
    for number in 0..db.get("host", host, "host_CPUs").set().len() {
        add(&format!("cpu{number}"), 0.02, 0.6);
    }
    add("cpu_avg", 0.05, 0.5);
    add("loadavg", 0.05, 1.2);
    for pif in db.get("host", host, "PIFs").set() {
        if db.get("PIF", pif.str(), "physical").bool() {
            let device = db.get("PIF", pif.str(), "device").str();
            add(&format!("pif_{device}_rx"), 1e4, 4e7);
            add(&format!("pif_{device}_tx"), 1e4, 3e7);
        }
    }
    add("pif_aggr_rx", 4e4, 9e7);
    add("pif_aggr_tx", 4e4, 8e7);
    for pbd in db.get("host", host, "PBDs").set() {
        let sr = db.get("PBD", pbd.str(), "SR").str();
        if matches!(db.get("SR", sr, "type").str(), "iso" | "udev") {
            continue;
        }
        let short = db.get("SR", sr, "uuid").str().get(..8).unwrap_or_default();
        for (name, high) in [
            ("iops_read", 800.0),
            ("iops_write", 600.0),
            ("iops_total", 1400.0),
        ] {
            add(&format!("{name}_{short}"), 5.0, high);
        }
        for name in ["io_throughput_read", "io_throughput_write", "io_throughput_total"] {
            add(&format!("{name}_{short}"), 0.1, 60.0);
        }
        for name in ["read_latency", "write_latency", "latency"] {
            add(&format!("{name}_{short}"), 300.0, 9000.0);
        }
        add(&format!("iowait_{short}"), 0.0, 0.3);
    }
}

fn vm_columns(db: &Db, vm: &str, uuid: &str, add: &mut impl FnMut(&str, &str, &str, f64, f64)) {
    let mut add = |name: &str, low: f64, high: f64| add("vm", uuid, name, low, high);
    for number in 0..db.get("VM", vm, "VCPUs_at_startup").int() {
        add(&format!("cpu{number}"), 0.01, 0.8);
    }
    add("cpu_usage", 0.02, 0.7);
    let memory = db.get("VM", vm, "memory_target").int() as f64;
    add("memory", memory, memory);
    add("memory_target", memory, memory);
    if db.exists("VM_guest_metrics", db.get("VM", vm, "guest_metrics").str()) {
        add(
            "memory_internal_free",
            memory / 1024.0 * 0.2,
            memory / 1024.0 * 0.6,
        );
    }
    for vif in db.get("VM", vm, "VIFs").set() {
        let device = db.get("VIF", vif.str(), "device").str();
        add(&format!("vif_{device}_rx"), 500.0, 2e6);
        add(&format!("vif_{device}_tx"), 500.0, 2e6);
    }
    for vbd in db.get("VM", vm, "VBDs").set() {
        let device = db.get("VBD", vbd.str(), "device").str();
        if device.is_empty() || db.get("VBD", vbd.str(), "type").str() != "Disk" {
            continue;
        }
        for (name, low, high) in [
            ("read", 0.0, 6e6),
            ("write", 1e3, 8e6),
            ("iops_read", 0.0, 120.0),
            ("iops_write", 0.5, 150.0),
            ("iops_total", 0.5, 270.0),
            ("io_throughput_read", 0.0, 6.0),
            ("io_throughput_write", 0.0, 8.0),
            ("io_throughput_total", 0.0, 14.0),
            ("read_latency", 200.0, 6000.0),
            ("write_latency", 200.0, 9000.0),
            ("latency", 200.0, 8000.0),
            ("iowait", 0.0, 0.2),
            ("inflight", 0.0, 3.0),
            ("avgqu_sz", 0.0, 2.0),
        ] {
            add(&format!("vbd_{device}_{name}"), low, high);
        }
    }
}

impl Column {
    fn consolidated(&self, name: &str, function: Function) -> Column {
        Column {
            legend: self.legend.replacen("AVERAGE", name, 1),
            function,
            ..self.clone()
        }
    }

    /// A slow wave with a faster one on it: looks like load, repeats exactly.
    fn value(&self, at: i64) -> f64 {
        let phase = (self.seed % 6283) as f64 / 1000.0;
        let seconds = at as f64;
        let slow = (seconds / 900.0 + phase).sin();
        let fast = (seconds / (31.0 + (self.seed % 17) as f64) + phase * 3.0).sin();
        let most = match self.function {
            Function::Average => 0.0,
            Function::Min => -0.15,
            Function::Max => 0.15,
        };
        let share = (0.5 + 0.3 * slow + 0.2 * fast + most).clamp(0.0, 1.0);
        self.low + (self.high - self.low) * share
    }
}

/// What the client accepts decides, then whether it says `json` at all.
fn wants_json(request: &Request) -> bool {
    match request.header("accept") {
        Some(accept) if accept.contains("json") || accept.contains("*/*") => true,
        Some(accept) if accept.contains("xml") => false,
        _ => request.parameter("json").is_some(),
    }
}

struct Meta<'a> {
    first: i64,
    step: i64,
    end: i64,
    times: &'a [i64],
    columns: &'a [Column],
}

impl Meta<'_> {
    /// Present-day form: valid JSON, every scalar a string.
    fn json(&self) -> String {
        let legend: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("\"{}\"", column.legend))
            .collect();
        let rows: Vec<String> = self
            .times
            .iter()
            .map(|at| {
                let values: Vec<String> = self
                    .columns
                    .iter()
                    .map(|column| format!("\"{}\"", number(column.value(*at))))
                    .collect();
                format!("{{\"t\":\"{at}\",\"values\":[{}]}}", values.join(","))
            })
            .collect();
        format!(
            "{{\"meta\":{{\"start\":\"{}\",\"step\":\"{}\",\"end\":\"{}\",\"rows\":\"{}\",\"columns\":\"{}\",\"legend\":[{}]}},\"data\":[{}]}}",
            self.first,
            self.step,
            self.end,
            self.times.len(),
            self.columns.len(),
            legend.join(","),
            rows.join(",")
        )
    }

    fn xml(&self) -> String {
        let legend: String = self
            .columns
            .iter()
            .map(|column| format!("<entry>{}</entry>", column.legend))
            .collect();
        let row = |at: &i64| {
            let values: String = self
                .columns
                .iter()
                .map(|column| format!("<v>{}</v>", number(column.value(*at))))
                .collect();
            format!("<row><t>{at}</t>{values}</row>")
        };
        let rows: String = self.times.iter().map(row).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xport><meta><start>{}</start><step>{}</step><end>{}</end><rows>{}</rows><columns>{}</columns><legend>{legend}</legend></meta><data>{rows}</data></xport>",
            self.first,
            self.step,
            self.end,
            self.times.len(),
            self.columns.len()
        )
    }
}

fn number(value: f64) -> String {
    if value == 0.0 {
        "0.0".to_owned()
    } else {
        value.to_string()
    }
}
