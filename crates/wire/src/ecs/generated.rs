//! Written by `cargo xtask codegen` from `models/ecs.json`.
#![allow(clippy::unreadable_literal, reason = "numbers as the model writes them")]

/// String enumerations.
pub mod enums;
/// The operation table.
pub mod operations;
/// Structures.
pub mod shapes;
