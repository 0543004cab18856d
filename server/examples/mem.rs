use server::inventory::{Graph, Store, convert::essence_changed};
use xapi::*;
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn rss() -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines()
        .find(|l| l.starts_with("VmRSS"))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
fn main() {
    println!(
        "vm {} vdi {} vbd {} vif {} metrics {} guest {} task {} message {} node? ",
        size_of::<records::Vm>(),
        size_of::<records::Vdi>(),
        size_of::<records::Vbd>(),
        size_of::<records::Vif>(),
        size_of::<records::VmMetrics>(),
        size_of::<records::VmGuestMetrics>(),
        size_of::<records::Task>(),
        size_of::<records::Message>()
    );
    let body = std::fs::read("/tmp/run/body.json").unwrap();
    let only = std::env::args().nth(1);
    let r0 = rss();
    let v: std::collections::BTreeMap<String, serde_json::value::Value> = Default::default();
    drop(v);
    #[derive(serde::Deserialize)]
    struct E<'a> {
        class: String,
        #[serde(rename = "ref")]
        r: String,
        #[serde(borrow)]
        snapshot: &'a serde_json::value::RawValue,
    }
    #[derive(serde::Deserialize)]
    struct R<'a> {
        #[serde(borrow)]
        events: Vec<E<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct O<'a> {
        #[serde(borrow)]
        result: R<'a>,
    }
    let o: O = serde_json::from_slice(&body).unwrap();
    println!(
        "body {} MB, parse list rss {:.1} (before {:.1})",
        body.len() / 1000000,
        rss(),
        r0
    );
    let mut per = std::collections::BTreeMap::<String, (usize, f64, usize)>::new();
    let mut events = vec![];
    for e in &o.result.events {
        let Some(class) = Class::from_event(&e.class) else {
            continue;
        };
        if only.as_ref().is_some_and(|c| *c != e.class) {
            continue;
        }
        let a = rss_fast();
        let rec = Record::parse(class, e.snapshot.get()).unwrap();
        let p = per.entry(e.class.clone()).or_default();
        p.0 += 1;
        p.1 += rss_fast() - a;
        p.2 += e.snapshot.get().len();
        events.push(watch::Event {
            class,
            reference: OpaqueRef::parse(&e.r),
            operation: watch::Operation::Put(Box::new(rec)),
        });
    }
    for (k, v) in per {
        println!("  {k}: {} json {:.1} MB", v.0, v.2 as f64 / 1e6);
    }
    println!("records {:.1}", rss());
    let mut cache = Cache::default();
    let ch = cache.apply(watch::Batch::new(true, events), essence_changed);
    println!("cache {:.1}", rss());
    let mut g = Graph::default();
    let up = g.update(&mut cache, &ch);
    drop(ch);
    println!("graph + converted {:.1}", rss());
    let js: usize = up.put.iter().map(|(_, c)| c.json.len()).sum();
    let li: usize = up
        .put
        .iter()
        .filter_map(|(_, c)| c.light.as_ref().map(|l| l.len()))
        .sum();
    println!("json {:.1} light {:.1} MB", js as f64 / 1e6, li as f64 / 1e6);
    let s = Store::default();
    s.apply(1, &"p".into(), up);
    println!("store {:.1}", rss());
    drop(g);
    println!("- graph {:.1}", rss());
    drop(cache);
    println!("- cache {:.1}", rss());
}
fn rss_fast() -> f64 {
    0.0
}
