#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xapi::properties::record_input(input));
