//! Why an instance does not take a task: what is wanted, what is there, and what would help.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::ids::InstanceId;
use crate::record::{InstanceStatus, LaunchType, PortClaim};

/// One instance with everything that speaks against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The instance.
    pub instance: InstanceId,
    /// At least one reason, in the order in which they are checked.
    pub reasons: Vec<Reason>,
}

/// An amount that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// What one task takes.
    pub wanted: u32,
    /// What is left.
    pub available: u32,
    /// What the instance has in all.
    pub registered: u32,
}

impl Shortfall {
    /// By how much it does not fit.
    pub fn missing(self) -> u32 {
        self.wanted.saturating_sub(self.available)
    }

    /// Whether stopping other tasks would make room.
    pub fn could_fit(self) -> bool {
        self.wanted <= self.registered
    }
}

/// One thing that speaks against an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not ACTIVE.
    Status(InstanceStatus),
    /// Its agent has no session.
    AgentDisconnected,
    /// Its agent is back, and has still to stop tasks that were given up meanwhile.
    Fenced(usize),
    /// A critical managed daemon does not run there yet.
    Daemon {
        /// Name of the daemon.
        name: String,
    },
    /// It is not of the launch type.
    LaunchType(LaunchType),
    /// It lacks an attribute, or has it with another value.
    Attribute {
        /// Name of the attribute.
        name: String,
        /// Value that the task needs, if any will not do.
        wanted: Option<String>,
        /// Value that is there; `None` when the attribute is missing.
        found: Option<String>,
    },
    /// It is in another availability zone than the subnets.
    Location {
        /// Zone of the instance, if known.
        found: Option<String>,
    },
    /// A `memberOf` expression is false.
    MemberOf {
        /// The expression as given.
        expression: String,
    },
    /// A task of the group is there already.
    DistinctInstance,
    /// Not enough CPU units.
    Cpu(Shortfall),
    /// Not enough MiB of memory.
    Memory(Shortfall),
    /// Not enough GPUs.
    Gpu(Shortfall),
    /// A host port is taken by a task.
    PortInUse(PortClaim),
    /// A host port is kept by the agent.
    PortReserved(PortClaim),
}

impl Reason {
    /// AWS's word in `failures[].reason` and `stoppedReason`.
    pub fn aws_reason(&self) -> &'static str {
        match self {
            Self::Status(_) | Self::Daemon { .. } => "INACTIVE",
            Self::AgentDisconnected | Self::Fenced(_) => "AGENT",
            Self::LaunchType(_) | Self::Attribute { .. } => "ATTRIBUTE",
            Self::Location { .. } => "LOCATION",
            Self::MemberOf { .. } => "MemberOf placement constraint unsatisfied",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied",
            Self::Cpu(_) => "RESOURCE:CPU",
            Self::Memory(_) => "RESOURCE:MEMORY",
            Self::Gpu(_) => "RESOURCE:GPU",
            Self::PortInUse(_) | Self::PortReserved(_) => "RESOURCE:PORTS",
        }
    }

    /// What would make this instance take the task.
    pub fn fix(&self) -> String {
        match self {
            Self::Status(InstanceStatus::Draining) => "set the instance back to ACTIVE".into(),
            Self::Status(_) => "register the instance again".into(),
            Self::AgentDisconnected => "start the agent, or its network, on the instance".into(),
            Self::Fenced(_) => "wait until its agent has stopped them".into(),
            Self::Daemon { name } => {
                format!("let the daemon {name} start there, or make it non-critical")
            }
            Self::LaunchType(wanted) => {
                format!("use the instance's own launch type instead of {}", wanted.as_str())
            }
            Self::Attribute { name, wanted: None, .. } => {
                format!("give the instance an agent that registers {name}")
            }
            Self::Attribute { name, wanted: Some(value), .. } => {
                format!("set the attribute {name} to {value}")
            }
            Self::Location { .. } => "add a subnet in the zone of the instance".into(),
            Self::MemberOf { expression } => {
                format!("change the instance's attributes or the constraint {expression}")
            }
            Self::DistinctInstance => "add an instance, or ask for fewer tasks".into(),
            Self::Cpu(amount) => amount_fix(*amount, "CPU units"),
            Self::Memory(amount) => amount_fix(*amount, "MiB of memory"),
            Self::Gpu(amount) => amount_fix(*amount, "GPUs"),
            Self::PortInUse(claim) => {
                format!("stop the task that holds {claim}, or use a dynamic host port")
            }
            Self::PortReserved(claim) => format!("use another host port than {claim}"),
        }
    }

    /// Order of nearness: what passes by itself or by stopping tasks is nearer than what needs
    /// another machine, and less missing, by share of what is wanted, is nearer than more.
    pub(super) fn distance(&self) -> (u8, u64) {
        match self {
            Self::Cpu(amount) | Self::Memory(amount) | Self::Gpu(amount) => {
                let missing = u64::from(amount.missing()) * 1000 / u64::from(amount.wanted).max(1);
                (if amount.could_fit() { 0 } else { 3 }, missing)
            }
            Self::PortInUse(_) | Self::DistinctInstance => (1, 0),
            Self::Daemon { .. } | Self::AgentDisconnected | Self::Fenced(_) => (2, 0),
            Self::PortReserved(_) | Self::MemberOf { .. } | Self::Location { .. } => (4, 0),
            Self::Attribute { .. } | Self::LaunchType(_) => (5, 0),
            Self::Status(_) => (6, 0),
        }
    }
}

fn amount_fix(amount: Shortfall, unit: &str) -> String {
    if amount.could_fit() {
        format!("free {} {unit} on it, or ask for at most {}", amount.missing(), amount.available)
    } else {
        format!(
            "use an instance with at least {} {unit}; it has {}",
            amount.wanted, amount.registered
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |f: &mut fmt::Formatter<'_>, amount: &Shortfall, unit: &str| {
            write!(f, "needs {} {unit}, {} available", amount.wanted, amount.available)
        };
        match self {
            Self::Status(status) => write!(f, "is {}", status.as_str()),
            Self::AgentDisconnected => f.write_str("its agent is not connected"),
            Self::Fenced(tasks) => {
                write!(f, "has still to stop {tasks} tasks that were replaced while it was away")
            }
            Self::Daemon { name } => write!(f, "waits for the daemon {name} to run"),
            Self::LaunchType(wanted) => write!(f, "is not of launch type {}", wanted.as_str()),
            Self::Attribute { name, wanted: None, .. } => write!(f, "lacks the attribute {name}"),
            Self::Attribute { name, wanted: Some(wanted), found: None } => {
                write!(f, "lacks the attribute {name}={wanted}")
            }
            Self::Attribute { name, wanted: Some(wanted), found: Some(found) } => {
                write!(f, "has the attribute {name}={found} instead of {wanted}")
            }
            Self::Location { found } => {
                let zone = found.as_deref().unwrap_or("no known zone");
                write!(f, "is in {zone}, where none of the subnets is")
            }
            Self::MemberOf { expression } => write!(f, "does not satisfy memberOf {expression}"),
            Self::DistinctInstance => f.write_str("runs a task of the group already"),
            Self::Cpu(shortfall) => amount(f, shortfall, "CPU units"),
            Self::Memory(shortfall) => amount(f, shortfall, "MiB of memory"),
            Self::Gpu(shortfall) => amount(f, shortfall, "GPUs"),
            Self::PortInUse(claim) => write!(f, "host port {claim} is in use"),
            Self::PortReserved(claim) => write!(f, "host port {claim} is reserved by the agent"),
        }
    }
}

impl fmt::Display for PortClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.as_str())
    }
}
