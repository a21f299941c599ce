//! Clearing away: containers and volumes of stopped tasks after a wait, and images that nothing
//! has used for long.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_domain::task::Phase;
use longshore_domain::time::Timestamp;

use super::{Engine, Entry, Event, TaskKey};
use crate::hands::Hands;
use crate::record::TaskRecord;
use crate::{limits, task};

impl Engine {
    /// When a stopped task is cleared away: after the wait, and not before its end was reported,
    /// unless nobody wants to hear of it for days.
    pub(super) fn clear_at(&self, entry: &Entry) -> Option<Timestamp> {
        let stopped_at = entry.record.stopped_at.filter(|_| !entry.clearing)?;
        let wait = self.hands.config.cleanup.task_wait;
        let reported = entry.record.sent.phase == Some(Phase::Stopped);
        Some(stopped_at + if reported { wait } else { wait.max(limits::UNREPORTED_WAIT) })
    }

    /// Removes what a task has left.
    pub(super) fn clear(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.get_mut(key) else { return };
        entry.clearing = true;
        let hands = Arc::clone(&self.hands);
        let (key, record) = (Arc::clone(key), entry.record.clone());
        self.hands.spawn(async move {
            remove(&hands, &record).await;
            // Without an engine there is nobody to tell.
            drop(hands.events.send(Event::Cleared(key)).await);
        });
    }

    /// Forgets a task whose containers are gone.
    pub(super) fn forget(&mut self, key: &TaskKey) {
        let Some(entry) = self.tasks.remove(key) else { return };
        self.unroute(&entry.record);
        self.dirty.remove(key);
        self.by_runtime_id.retain(|_, (task, _)| task != key);
        if let Err(error) = self.store.remove_task(key) {
            tracing::error!(task = %key, %error, "cannot forget a task on disk");
        }
    }

    /// Removes images that no task on this instance refers to and that were unused long enough.
    pub(super) fn clear_images(&self) {
        let cleanup = &self.hands.config.cleanup;
        let used: BTreeSet<&str> = self
            .tasks
            .values()
            .flat_map(|entry| &entry.record.task.containers)
            .map(|container| container.image.as_str())
            .collect();
        let mut unused = self.hands.images.unused_since(cleanup.image_min_age);
        unused.retain(|image| !used.contains(image.as_str()));
        unused.truncate(cleanup.images_per_cycle);
        if unused.is_empty() {
            return;
        }
        let hands = Arc::clone(&self.hands);
        self.hands.spawn(async move {
            let limit = hands.config.timeouts.inspect;
            for image in unused {
                match Hands::within(limit, hands.runtime.remove_image(&image)).await {
                    Ok(()) => {
                        tracing::info!(image, "removed, as nothing has used it");
                        hands.images.remove(&image);
                    }
                    Err(error) => tracing::info!(image, %error, "stays"),
                }
            }
        });
    }

    pub(super) fn route(&self, record: &TaskRecord) {
        if let Some(routes) = &self.routes {
            for id in endpoint_ids(record) {
                routes.add(id);
            }
        }
    }

    fn unroute(&self, record: &TaskRecord) {
        if let Some(routes) = &self.routes {
            for id in endpoint_ids(record) {
                routes.remove(id);
            }
        }
    }
}

/// Ids that containers of a task use in the paths of the metadata endpoint.
fn endpoint_ids(record: &TaskRecord) -> impl Iterator<Item = &str> {
    let roles = [&record.task.role_credentials, &record.task.execution_role_credentials];
    let roles = roles.into_iter().flatten().map(|role| role.credentials_id.as_str());
    record.containers.iter().map(|facts| facts.endpoint_id.as_str()).chain(roles)
}

async fn remove(hands: &Hands, record: &TaskRecord) {
    let limit = hands.config.timeouts.inspect;
    for facts in &record.containers {
        if let Some(id) = &facts.runtime_id
            && let Err(error) = Hands::within(limit, hands.runtime.remove(id)).await
        {
            tracing::warn!(container = id, %error, "cannot be removed and stays behind");
        }
    }
    for volume in task::volume_names(&record.task) {
        if let Err(error) = Hands::within(limit, hands.runtime.remove_volume(&volume)).await {
            tracing::warn!(volume, %error, "cannot be removed and stays behind");
        }
    }
    hands.limits.remove(&record.task);
}
