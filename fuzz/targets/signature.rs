#![no_main]
//! No request whose signature nobody made verifies, whatever it holds.

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/auth/tests/auth/inputs.rs"]
mod inputs;

fuzz_target!(|bytes: &[u8]| inputs::signature(bytes));
