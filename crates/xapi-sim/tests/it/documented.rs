//! What docs/simulator.md shows is what works.

use xapi_sim::{PoolConfig, SimPool, parse_records};

const PAGE: &str = include_str!("../../../../docs/simulator.md");

/// The blocks of a language on the page.
fn shown(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let begun = PAGE.split(&fence).skip(1);
    begun.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_example_in_rust_is_one_of_these_tests() {
    assert_eq!(shown("rust"), [include_str!("example.rs")]);
}

#[tokio::test]
async fn the_records_that_are_shown_can_be_loaded() {
    let [text] = shown("json")[..] else {
        panic!("one block of records");
    };
    let records = parse_records(text.as_bytes()).expect("records");
    let pool = SimPool::start_from(PoolConfig::default(), &records)
        .await
        .expect("it starts");
    let (state, on) = pool.read(|db| {
        let text = |field: &str| db.text("VM", "OpaqueRef:2", field);
        (text("power_state"), text("resident_on"))
    });
    assert_eq!((&*state, &*on), ("Running", "OpaqueRef:1"));
}
