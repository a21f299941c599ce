//! What a node of balancers tells the control plane.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Health;
use crate::time::Timestamp;

/// What a node says: about targets whose state changed or whose turn it is, and about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The node: a number that it drew when its process started.
    pub node: u64,
    /// Version of the snapshot that it serves.
    pub version: u64,
    /// The targets.
    pub targets: Vec<TargetReport>,
    /// Groups, by ARN, for which requests wait because they have no target.
    pub wanted: Vec<String>,
    /// Groups, by ARN, with the milliseconds since something was under way to them; only those with
    /// [`OnDemand`](super::OnDemand). No times, since clocks differ.
    pub used: Vec<(String, u64)>,
    /// Listeners that it could not open, by ARN, and why.
    pub failed_listeners: Vec<(String, String)>,
    /// Whether it ends: nobody waits for it any more. It says nothing else then.
    #[serde(default)]
    pub leaves: bool,
}

/// What a node says about a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// ARN of its group.
    pub group: String,
    /// As it was registered.
    pub id: String,
    /// As it was registered.
    pub port: u16,
    /// How this node finds it.
    pub health: Health,
    /// The last probe of it.
    pub probe: Option<Probe>,
    /// Requests, or connections on layer 4, that are under way.
    pub in_flight: u32,
}

/// How a target was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it was asked.
    pub at: Timestamp,
    /// Milliseconds until the outcome was known.
    pub took_ms: u32,
    /// The outcome.
    pub outcome: Outcome,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Well; with the code, where there is one.
    Passed(Option<u16>),
    /// Another code.
    WrongCode(u16),
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The connection was closed or reset before an answer, or the answer made no sense.
    Broken(String),
}
