//! Placement constraints and strategies, as tasks and services carry them.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// A rule that a placement must keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementConstraint {
    /// Which rule.
    pub kind: ConstraintKind,
    /// Cluster query expression; only with `MemberOf`.
    pub expression: Option<String>,
}

/// Kind of a placement constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConstraintKind {
    /// Each task of the group on another container instance.
    DistinctInstance,
    /// Only instances for which the expression is true.
    MemberOf,
}

/// A preference among the instances that satisfy all constraints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "field")]
pub enum PlacementStrategy {
    /// Evenly over the values of a field.
    Spread(Spread),
    /// On the instance with the least of a resource left.
    Binpack(StrategyField),
    /// Anywhere.
    Random,
}

/// What `spread` spreads over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Spread {
    /// `instanceId`, with the synonym `host`.
    InstanceId,
    /// `attribute:NAME`.
    Attribute(String),
}

/// The resource that `binpack` packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StrategyField {
    /// CPU units.
    Cpu,
    /// Memory in MiB.
    Memory,
}
