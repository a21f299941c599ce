#![no_main]
//! Any text is a query of the cluster query language, or refused with the place of the error in it.

use libfuzzer_sys::fuzz_target;
use longshore_domain::schedule::query::Expression;

fuzz_target!(|text: &str| {
    let _ = Expression::parse(text);
});
