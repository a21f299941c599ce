//! Words a report as AWS does: `failures[]` of RunTask and StartTask, and service events.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use super::reason::{Reason, Refusal};
use crate::ids::{Arn, ClusterName, Resource, Scope};

/// Why tasks have no place: every instance considered, with all its reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each instance, by id.
    pub refusals: Vec<Refusal>,
    /// Whether only the instances of a capacity provider were considered.
    pub in_capacity_provider: bool,
}

impl Report {
    /// The instance that needs the least to take the task. Reasons are compared from the worst
    /// down; of equals the lower id wins.
    pub fn closest(&self) -> Option<&Refusal> {
        self.refusals.iter().min_by_key(|refusal| {
            let mut distances: Vec<(u8, u64)> =
                refusal.reasons.iter().map(Reason::distance).collect();
            distances.sort_unstable_by(|a, b| b.cmp(a));
            distances
        })
    }

    /// What would help most cheaply, for people: instance, reason and fix.
    pub fn nearest_fix(&self) -> Option<String> {
        let refusal = self.closest()?;
        let fixes: Vec<String> = refusal.reasons.iter().map(Reason::fix).collect();
        Some(format!("container instance {}: {}", refusal.instance, fixes.join("; and ")))
    }

    /// Instances without a reason that outlasts them: neither draining nor deregistered.
    fn active(&self) -> impl Iterator<Item = &Refusal> {
        self.refusals
            .iter()
            .filter(|refusal| !matches!(refusal.reasons[..], [Reason::Status(_), ..]))
    }
}

/// AWS's `Failure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// ARN of the instance; none when there is no instance at all.
    pub arn: Option<String>,
    /// AWS's code, e.g. `RESOURCE:CPU`.
    pub reason: String,
    /// Every reason in words, and the fix.
    pub detail: Option<String>,
}

/// `failures[]`: one for each ACTIVE instance, with its first reason; the detail has all of them.
pub fn aws_failures(report: &Report, scope: &Scope, cluster: &ClusterName) -> Vec<Failure> {
    let failure = |refusal: &Refusal| {
        let resource = Resource::ContainerInstance(cluster.clone(), refusal.instance);
        let words: Vec<String> = refusal.reasons.iter().map(ToString::to_string).collect();
        Failure {
            arn: Some(Arn::new(scope, resource).to_string()),
            reason: refusal.reasons.first().map_or("AGENT", Reason::aws_reason).into(),
            detail: Some(words.join("; ")),
        }
    };
    report.active().map(failure).collect()
}

/// The event of a service that could not place a task; `who` is `(service NAME)`.
pub fn unplaced_event(who: &dyn fmt::Display, report: &Report) -> String {
    let active = Report { refusals: report.active().cloned().collect(), ..*report };
    let why: String = match active.closest().and_then(|r| Some((r.instance, worst(&r.reasons)?))) {
        None if report.in_capacity_provider => {
            "Reason: No Container Instances were found in your capacity provider.".into()
        }
        None => "Reason: No Container Instances were found in your cluster.".into(),
        Some((_, Reason::MemberOf { .. } | Reason::DistinctInstance)) => {
            "Reason: No Container Instances met all of the task's placement constraints.".into()
        }
        Some((instance, reason)) => {
            format!("The closest matching (container-instance {instance}) {}.", phrase(reason))
        }
    };
    format!(
        "{who} was unable to place a task because no container instance met all of \
         its requirements. {why} For more information, see the Troubleshooting section of the \
         Amazon ECS Developer Guide."
    )
}

/// The reason that is hardest to mend; of equally hard ones the first.
fn worst(reasons: &[Reason]) -> Option<&Reason> {
    reasons.iter().min_by_key(|reason| Reverse(reason.distance().0))
}

fn phrase(reason: &Reason) -> String {
    match reason {
        Reason::Cpu(_) => "has insufficient CPU units available".into(),
        Reason::Memory(_) => "has insufficient memory available".into(),
        Reason::PortInUse(_) | Reason::PortReserved(_) => {
            "is already using a port required by your task".into()
        }
        Reason::Attribute { .. } | Reason::LaunchType(_) => {
            "is missing an attribute required by your task".into()
        }
        other => format!("encountered error \"{}\"", other.aws_reason()),
    }
}
