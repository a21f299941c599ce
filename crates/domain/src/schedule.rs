//! Which container instance a task runs on, and which task of a service stops first.
//!
//! [`place`] puts any number of identical tasks on a [`Fleet`] in one pass: instances that are
//! ready, have the required attributes, satisfy the constraints and have room are candidates;
//! strategies order them. What could not be placed comes with the reasons of every instance
//! ([`Report`]), from which `failures[]` and service events are worded. [`refusals`] asks the same
//! questions of one instance, for StartTask and daemons. [`stop_order`] is the other direction.
//!
//! The rule it keeps: constraints bind, strategies prefer. `domain::check::placement` judges every
//! placement with code of its own.
//!
//! What it leaves out: network interfaces (`RESOURCE:ENI`), and which GPU of an instance a task
//! gets; it counts them.

mod attributes;
mod constraint;
mod explain;
mod fleet;
mod place;
pub mod query;
mod rank;
mod reason;
mod resource;
mod stop;
#[cfg(test)]
pub(crate) mod testing;

pub use attributes::required_attributes;
pub use constraint::{ConstraintError, Constraints};
pub use explain::{Failure, Report, aws_failures, unplaced_event};
pub use fleet::{Fleet, Node};
pub use place::ZONE;
pub use place::{Placement, PlacementRequest, launch_type_of, place, refusals};
pub use rank::DEFAULT_STRATEGY_ATTRIBUTE;
pub use reason::{Reason, Refusal, Shortfall};
pub use resource::{Amount, demand_of};
pub use stop::{StopRequest, stop_order};
