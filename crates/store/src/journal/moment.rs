//! The records at a time, from the base and the entries up to then.

use std::collections::BTreeMap;

use longshore_domain::journal;
use longshore_domain::record::{ContainerInstance, Service, ServiceDeployment, Task};
use longshore_domain::time::Timestamp;

use super::fold::BASE;
use super::{Change, Entry, Journal, Sequence, read};
use crate::StateError;
use crate::contract::{Key, Range};

/// Transactions that are read at once.
const PAGE: usize = 1000;

/// Records as they were; those that were over are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    records: BTreeMap<Key, Change>,
}

impl Moment {
    /// Takes in a change.
    pub(super) fn apply(&mut self, change: Change) {
        let Some(key) = change.record_key() else { return };
        if is_over(&change) {
            self.records.remove(&key);
        } else {
            self.records.insert(key, change);
        }
    }

    /// Tasks, by cluster and id.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.records.values().filter_map(|change| match change {
            Change::Task(task) => Some(&**task),
            _ => None,
        })
    }

    /// Container instances, by cluster and id.
    pub fn container_instances(&self) -> impl Iterator<Item = &ContainerInstance> {
        self.records.values().filter_map(|change| match change {
            Change::ContainerInstance(instance) => Some(&**instance),
            _ => None,
        })
    }

    /// Services, by cluster and name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.records.values().filter_map(|change| match change {
            Change::Service(service) => Some(&**service),
            _ => None,
        })
    }

    /// Service deployments that had not ended, by cluster, service and id.
    pub fn service_deployments(&self) -> impl Iterator<Item = &ServiceDeployment> {
        self.records.values().filter_map(|change| match change {
            Change::ServiceDeployment(deployment) => Some(&**deployment),
            _ => None,
        })
    }
}

/// Whether the record of a change needs to be remembered no longer.
pub(super) fn is_over(change: &Change) -> bool {
    match change {
        Change::Task(task) => journal::task_is_over(task),
        Change::ContainerInstance(instance) => journal::instance_is_over(instance),
        Change::Service(service) => journal::service_is_over(service),
        Change::ServiceDeployment(deployment) => deployment.status.is_over(),
        Change::ServiceEvent(_)
        | Change::DeploymentStep(_)
        | Change::HookStep(_)
        | Change::Refused(_)
        | Change::Gone { .. } => true,
    }
}

impl Journal {
    /// The records as they were at `time`.
    ///
    /// # Errors
    /// Those of [`Journal::read`].
    pub async fn at(&self, time: Timestamp) -> Result<Moment, StateError> {
        let mut moment = Moment::default();
        let mut range = Range::prefix(BASE);
        loop {
            let page = self.store.range(range.clone()).await?;
            for kv in &page.kvs {
                let (_, changes) = read(kv)?;
                changes.into_iter().flatten().for_each(|change| moment.apply(change));
            }
            match page.kvs.last().filter(|_| page.more) {
                Some(last) => range = range.after(&last.key),
                None => break,
            }
        }
        // By place and not by the time of each entry, so that a clock that was set back leaves
        // no hole.
        let end = self.before(time + std::time::Duration::from_millis(1)).await?;
        let mut after = Sequence::ZERO;
        loop {
            let page = self.read(after, PAGE).await?;
            for Entry { sequence, change, .. } in page.entries {
                if sequence > end {
                    return Ok(moment);
                }
                moment.apply(change);
            }
            if !page.more {
                return Ok(moment);
            }
            after = page.reached;
        }
    }
}
