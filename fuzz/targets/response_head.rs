#![no_main]
//! See `longshore_lb::fuzz::response_head`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| longshore_lb::fuzz::response_head(bytes));
