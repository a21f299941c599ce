//! The simulator, simulated.
