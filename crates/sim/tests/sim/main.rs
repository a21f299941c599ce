//! The simulator: fixed seeds, scenarios, and a planted defect for each checker.

mod defects;
mod scenarios;
mod seeds;
