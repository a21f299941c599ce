//! Codecs: bytes to nodes, sink calls to bytes.

pub mod json;
pub mod query;
