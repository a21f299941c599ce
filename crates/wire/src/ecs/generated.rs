//! Written by `cargo xtask codegen` from `models/ecs.json`.
#![expect(clippy::wildcard_imports, reason = "a generated file names every enum")]

/// String enumerations.
pub mod enums;
/// The operation table.
pub mod operations;
/// Structures.
pub mod shapes;
