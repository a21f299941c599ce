#![no_main]
//! See `longshore_lb::fuzz::chunks`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| longshore_lb::fuzz::chunks(bytes));
