#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| xapi::properties::text(text));
