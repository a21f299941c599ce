#![no_main]
//! Any form is read as a request to make a rule, or refused.

use libfuzzer_sys::fuzz_target;
use longshore_wire::codec::query::Form;
use longshore_wire::elbv2::{CreateListenerInput, CreateRuleInput, ModifyRuleInput};

fuzz_target!(|bytes: &[u8]| {
    let Ok(form) = Form::parse(bytes) else { return };
    let _ = form.read::<CreateRuleInput>();
    let _ = form.read::<ModifyRuleInput>();
    let _ = form.read::<CreateListenerInput>();
});
