//! The simulator: fixed seeds, scenarios, and a planted defect for each checker.

mod defects;
mod hollow;
mod scenarios;
mod seeds;
