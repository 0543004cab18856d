#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| xapi::properties::json_rpc(body));
