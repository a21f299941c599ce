#![no_main]
//! See `longshore_lb::fuzz::request_head`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| longshore_lb::fuzz::request_head(bytes));
