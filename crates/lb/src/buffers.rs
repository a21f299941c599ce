//! Buffers that are used again, thread by thread: an idle connection holds none.

use std::cell::RefCell;

use crate::limits;

/// Buffers of one size that a thread keeps.
const KEPT: usize = 128;

thread_local! {
    static HEADS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static BODIES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer for heads, filled with whatever was in it.
pub(crate) fn head() -> Vec<u8> {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; limits::HEAD_BUFFER_BYTES])
}

/// A buffer for bodies, filled with whatever was in it.
pub(crate) fn body() -> Vec<u8> {
    BODIES.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; limits::BODY_BUFFER_BYTES])
}

/// Gives a buffer back.
pub(crate) fn give(buffer: Vec<u8>) {
    let keep = |kept: &mut Vec<Vec<u8>>, buffer| {
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    };
    match buffer.len() {
        limits::HEAD_BUFFER_BYTES => HEADS.with_borrow_mut(|kept| keep(kept, buffer)),
        limits::BODY_BUFFER_BYTES => BODIES.with_borrow_mut(|kept| keep(kept, buffer)),
        _ => {}
    }
}
