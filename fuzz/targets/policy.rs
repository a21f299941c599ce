#![no_main]
//! Any text is a policy, or refused; a policy answers any question.

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/auth/tests/auth/inputs.rs"]
mod inputs;

fuzz_target!(|text: &str| inputs::policy(text));
