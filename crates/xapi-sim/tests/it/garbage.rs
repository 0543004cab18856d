//! Requests that no client would send: thousands of damaged ones, on both notations. Each gets an answer in HTTP, none
//! makes the simulator fail, and afterwards the pool is what it was. The seed is fixed, so a failure comes again.

use serde_json::{Value as Json, json};
use xapi_sim::consistency::contradictions;

use crate::client::{Client, pool};
use crate::dice::Dice;

const REQUESTS: usize = 3000;

/// Pieces that parsers trip over.
const PIECES: [&str; 22] = [
    "<value>",
    "</value>",
    "<struct>",
    "<member>",
    "<array><data/></array>",
    "<![CDATA[",
    "<!--",
    "&amp;",
    "&#0;",
    "&x;",
    "<?xml",
    "<i8>99999999999999999999</i8>",
    "{",
    "}",
    "[[[[",
    "\"",
    "\\u0000",
    "\\ud800",
    "1e999",
    "-0",
    "null",
    "\u{fffd}é",
];

fn damaged(dice: &mut Dice, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(30)).min(bytes.len());
        match dice.below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            2 => drop(bytes.splice(at..at, PIECES[dice.below(PIECES.len())].bytes())),
            3 => bytes.truncate(at),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.below(128) as u8;
                }
            }
        }
    }
    // A JSON or XML body is text; other bytes are the business of the HTTP tests.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn seeds(session: &str, vm: &str) -> Vec<(&'static str, String)> {
    let json = |method: &str, params: Json| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        ("/jsonrpc", body.to_string())
    };
    let xml = |method: &str, params: &str| {
        let session = format!("<param><value><string>{session}</string></value></param>");
        let body = format!(
            "<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{session}{params}</params></methodCall>"
        );
        ("/", body)
    };
    let record =
        json!({ "name_label": "n", "name_description": "", "MTU": 1500, "other_config": { "a": "b" } });
    vec![
        json("VM.get_record", json!([session, vm])),
        json(
            "VM.get_all_records_where",
            json!([session, "field \"power_state\"=\"Running\" and not (true)"]),
        ),
        json("VM.set_other_config", json!([session, vm, { "k": "v" }])),
        json("VM.set_memory_limits", json!([session, vm, 1, 2, 3, 4])),
        json("network.create", json!([session, record])),
        json(
            "event.from",
            json!([
                session,
                ["vm", "host/OpaqueRef:x"],
                "00000000000000000001,00000000000000000001",
                0.0
            ]),
        ),
        json("host.get_servertime", json!([session, "OpaqueRef:x"])),
        xml("VM.get_record", &format!("<param><value>{vm}</value></param>")),
        xml(
            "VM.set_tags",
            &format!(
                "<param><value>{vm}</value></param><param><value><array><data><value>t</value></data></array></value></param>"
            ),
        ),
        xml(
            "VM.set_other_config",
            &format!(
                "<param><value>{vm}</value></param><param><value><struct><member><name>k</name><value>v</value></member></struct></value></param>"
            ),
        ),
        xml(
            "message.get_since",
            "<param><value><dateTime.iso8601>20240131T12:34:56Z</dateTime.iso8601></value></param>",
        ),
        xml(
            "event.from",
            "<param><value><array><data><value>vm</value></data></array></value></param><param><value/></param><param><value><double>0.0</double></value></param>",
        ),
    ]
}

#[tokio::test]
async fn damaged_requests_are_answered_and_harm_nothing() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = pool.read(|db| db.refs("VM")[0].to_string());
    let requests = seeds(&client.session, &vm);
    let mut dice = Dice(7);
    for number in 0..REQUESTS {
        let (path, whole) = &requests[dice.below(requests.len())];
        let body = damaged(&mut dice, whole);
        let answer = client.request("POST", path, &body).await;
        let answer = answer.unwrap_or_else(|error| panic!("request {number} {body}: {error}"));
        assert!(
            matches!(answer.status, 200 | 500),
            "request {number} {body}: {}",
            answer.status
        );
        assert!(
            !answer.body.contains("the simulator failed"),
            "request {number} {body}: {}",
            answer.body
        );
        if path.ends_with("rpc") && answer.status == 200 {
            serde_json::from_str::<Json>(&answer.body).unwrap_or_else(|error| panic!("{body}: {error}"));
        }
    }
    client.ok("pool.get_all", json!([])).await;
    let found = pool.read(|db| contradictions(db, true));
    assert!(found.is_empty(), "{}", found.join("\n"));
}
