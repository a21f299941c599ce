//! When a request is refused for the sake of others: callers that ask too often, and reads while
//! too much is going on.
//!
//! Buckets are those of ECS: one per caller and kind of call, which holds so many tokens and is filled
//! at so many per second. The rule: a decision is a function of what came before and of `now`; over
//! any time, no more than its burst and what has flowed in since is admitted. What it leaves out: who
//! the caller is, and which call is of which kind (the server's front).

mod attempts;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

pub use attempts::Attempts;

use crate::limits;
use crate::time::Timestamp;

/// A kind of call, as ECS throttles them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// Changes of clusters.
    ClusterModify,
    /// Reads of clusters.
    ClusterRead,
    /// Registering and deregistering task definitions.
    TaskDefinitionModify,
    /// Reads of task definitions.
    TaskDefinitionRead,
    /// Deleting task definitions.
    TaskDefinitionDelete,
    /// Changes of capacity providers.
    CapacityProviderModify,
    /// Reads of capacity providers.
    CapacityProviderRead,
    /// Changes of tags.
    TagModify,
    /// Reads of tags.
    TagRead,
    /// Changes of account settings.
    SettingModify,
    /// Reads of account settings.
    SettingRead,
    /// Changes of what is in a cluster: tasks, instances, attributes.
    ClusterResourceModify,
    /// Reads of what is in a cluster.
    ClusterResourceRead,
    /// What agents register and report.
    AgentModify,
    /// Changes of services.
    ServiceModify,
    /// Reads of services.
    ServiceRead,
    /// Reads of service deployments.
    ServiceDeploymentRead,
    /// Reads of service revisions.
    ServiceRevisionRead,
    /// Task protection.
    TaskProtection,
    /// Services by namespace.
    NamespaceRead,
}

/// How often something may be done: so many at once, and so many per second in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that a bucket holds.
    pub burst: u32,
    /// Tokens that flow in per second.
    pub per_second: u32,
}

impl CallKind {
    /// The rate of ECS.
    pub const fn aws(self) -> Rate {
        let (burst, per_second) = match self {
            Self::ClusterModify | Self::TaskDefinitionModify => (20, 1),
            Self::ClusterRead
            | Self::TaskDefinitionRead
            | Self::CapacityProviderRead
            | Self::TagRead
            | Self::SettingRead
            | Self::ServiceDeploymentRead
            | Self::ServiceRevisionRead => (50, 20),
            Self::TaskDefinitionDelete => (5, 1),
            Self::CapacityProviderModify | Self::SettingModify | Self::NamespaceRead => (10, 1),
            Self::TagModify => (20, 10),
            Self::ClusterResourceModify => (100, 40),
            Self::ClusterResourceRead | Self::ServiceRead => (100, 20),
            Self::AgentModify => (200, 120),
            Self::ServiceModify => (50, 5),
            Self::TaskProtection => (200, 80),
        };
        Rate { burst, per_second }
    }

    /// How it fares when there is too much to do.
    pub const fn urgency(self) -> Urgency {
        match self {
            Self::AgentModify => Urgency::Agent,
            Self::ClusterRead
            | Self::TaskDefinitionRead
            | Self::CapacityProviderRead
            | Self::TagRead
            | Self::SettingRead
            | Self::ClusterResourceRead
            | Self::ServiceRead
            | Self::ServiceDeploymentRead
            | Self::ServiceRevisionRead
            | Self::NamespaceRead => Urgency::Read,
            Self::ClusterModify
            | Self::TaskDefinitionModify
            | Self::TaskDefinitionDelete
            | Self::CapacityProviderModify
            | Self::TagModify
            | Self::SettingModify
            | Self::ClusterResourceModify
            | Self::ServiceModify
            | Self::TaskProtection => Urgency::Change,
        }
    }
}

/// Who gives way when there is too much to do: the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Whoever only wants to know something.
    Read,
    /// Whoever wants something changed.
    Change,
    /// Agents: what they report was done already, and makes room.
    Agent,
}

impl Urgency {
    /// Whether a request is refused while so many `others` are being answered: of agents for an agent, of
    /// everybody else for everybody else.
    pub const fn gives_way(self, others: usize) -> bool {
        others
            >= match self {
                Self::Read => limits::REQUESTS_BEFORE_READS_GIVE_WAY,
                Self::Change => limits::REQUESTS_BEFORE_CHANGES_GIVE_WAY,
                Self::Agent => limits::AGENT_REQUESTS,
            }
    }
}

/// The tokens of one caller for one kind of call, in thousandths: one second's flow of a rate of `n`
/// per second is `n` of them per millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    millitokens: u64,
    at: Timestamp,
}

const TOKEN: u64 = 1000;

impl Bucket {
    fn full(rate: Rate, now: Timestamp) -> Self {
        Self { millitokens: u64::from(rate.burst) * TOKEN, at: now }
    }

    /// With what has flowed in. A clock that was set back lets nothing flow until it has caught up.
    fn filled(self, rate: Rate, now: Timestamp) -> Self {
        let ms = u64::try_from(now.saturating_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let flown = ms.saturating_mul(u64::from(rate.per_second));
        let most = u64::from(rate.burst) * TOKEN;
        let millitokens = self.millitokens.saturating_add(flown).min(most);
        Self { millitokens, at: self.at.max(now) }
    }

    fn is_full(self, rate: Rate) -> bool {
        self.millitokens >= u64::from(rate.burst) * TOKEN
    }
}

/// The buckets of all callers. A caller that is not in it has full ones.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    buckets: BTreeMap<(String, CallKind), Bucket>,
}

impl Throttle {
    /// Takes a token of a caller.
    ///
    /// # Errors
    /// There is none; says after what time there will be one.
    pub fn admit(
        &mut self,
        caller: &str,
        kind: CallKind,
        rate: Rate,
        now: Timestamp,
    ) -> Result<(), Duration> {
        if self.buckets.len() >= limits::THROTTLED_CALLERS {
            self.forget(now);
        }
        let key = (caller.to_owned(), kind);
        let known = self.buckets.get(&key).copied();
        let mut bucket = known.unwrap_or(Bucket::full(rate, now)).filled(rate, now);
        let short = TOKEN.saturating_sub(bucket.millitokens);
        if short == 0 {
            bucket.millitokens -= TOKEN;
        }
        self.buckets.insert(key, bucket);
        if short == 0 {
            return Ok(());
        }
        // What a clock that was set back has to catch up with comes first.
        let behind = bucket.at.saturating_since(now);
        let flow = short.div_ceil(u64::from(rate.per_second).max(1));
        Err(behind + Duration::from_millis(flow))
    }

    /// Forgets those whose buckets are full again; all, when that makes no room.
    fn forget(&mut self, now: Timestamp) {
        self.buckets.retain(|(_, kind), bucket| {
            let rate = kind.aws();
            !bucket.filled(rate, now).is_full(rate)
        });
        if self.buckets.len() >= limits::THROTTLED_CALLERS {
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests;
