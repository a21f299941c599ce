//! Layer 7: HTTP/1.1 on an engine of our own, HTTP/2 on hyper; decisions are the same for both.

mod chunked;
mod cookie;
mod exchange;
mod forwarded;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub(crate) mod h1;
pub(crate) mod h2;
mod head;
pub(crate) mod plan;
mod pump;
pub(crate) use pump::{Body, Pump};
mod redirect;
mod write;

/// The status of an answer to a probe; `None` when it is not all there.
pub(crate) fn probed_status(buffer: &[u8]) -> Result<Option<u16>, String> {
    match head::response(buffer, false) {
        Ok(head) => Ok(head.map(|head| head.status)),
        Err(_) => Err("the answer is not HTTP".to_owned()),
    }
}
