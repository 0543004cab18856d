#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| xapi::properties::xml_rpc(body));
