//! Balancers: what they do with connections and requests, as the control plane decided it.
//!
//! The control plane makes a [`Snapshot`] of its records; a balancer holds one, immutable, and
//! serves by it until it has a newer one, whether the control plane can be reached or not. What a
//! balancer sees of its targets goes back in a [`Report`]. Which rule takes a request is decided
//! here, without I/O; bytes are the business of `longshore-lb`.

mod matching;
mod report;
mod rule;
mod snapshot;

pub use matching::{Facts, Rules, SomeHeader};
pub use report::{Outcome, Probe, Report, TargetReport};
pub use rule::{
    Action, AuthenticateOidc, Cidr, Condition, FixedResponse, Forward, Patterns, QueryPair,
    Redirect, Rule, Unauthenticated, Weighted,
};
pub use snapshot::{
    Algorithm, Balancer, BalancerAttributes, BalancerKind, Certificate, ForwardedFor, Health,
    HealthCheck, HealthReason, HealthState, Listener, ListenerAttributes, OnDemand, ProbePort,
    Protocol, ProtocolVersion, Snapshot, Stickiness, Target, TargetGroup, TargetGroupAttributes,
};
