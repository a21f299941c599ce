//! Written by `cargo xtask codegen` from `models/iam.json`.
#![allow(
    clippy::unreadable_literal,
    clippy::too_many_lines,
    clippy::wildcard_imports,
    reason = "numbers as the model writes them; every enum is named"
)]

/// String enumerations.
pub mod enums;
/// The operation table.
pub mod operations;
/// Structures.
pub mod shapes;
