#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| forge::github::fuzz::limit(input));
