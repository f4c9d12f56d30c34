#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| scan::fuzz::spans(input));
