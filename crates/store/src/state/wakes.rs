//! Who is woken when there may be news for the agent of a container instance.
//!
//! With one listener per instance, waking all of them at every change would make each change cost
//! as much as there are instances. The rule: a wake-up carries no data and may come without need,
//! and never fails to come once the view shows the change; whoever wakes looks at the view.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::ids::InstanceId;
use tokio::sync::Notify;

use super::{Published, StateError};

/// The listeners of each instance.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<BTreeMap<InstanceId, Vec<Arc<Notify>>>>);

impl Wakes {
    fn listeners(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Vec<Arc<Notify>>>> {
        // A panic cannot leave a list of listeners half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who listen to one of `instances`.
    pub(super) fn wake(&self, instances: impl IntoIterator<Item = InstanceId>) {
        let listeners = self.listeners();
        let found = instances.into_iter().filter_map(|instance| listeners.get(&instance));
        found.flatten().for_each(|listener| listener.notify_one());
    }

    /// Wakes everybody.
    pub(super) fn wake_all(&self) {
        self.listeners().values().flatten().for_each(|listener| listener.notify_one());
    }
}

/// Tells that there may be news for the agent of one instance.
pub struct InstanceChanges {
    published: Arc<Published>,
    instance: InstanceId,
    /// Keeps one wake-up that came while nobody waited.
    listener: Arc<Notify>,
}

impl InstanceChanges {
    pub(super) fn new(published: &Arc<Published>, instance: InstanceId) -> Self {
        let listener = Arc::<Notify>::default();
        let mut listeners = published.wakes.listeners();
        listeners.entry(instance).or_default().push(Arc::clone(&listener));
        drop(listeners);
        Self { published: Arc::clone(published), instance, listener }
    }

    /// Waits until there may be news since the last call (or since this was made): a task of the
    /// instance is new, is to stop, has stopped or is gone, or the instance itself has changed.
    ///
    /// # Errors
    /// [`StateError::Stopped`] when the view follows the store no more.
    pub async fn changed(&self) -> Result<(), StateError> {
        self.listener.notified().await;
        match &self.published.progress.borrow().stopped {
            Some(why) => Err(StateError::Stopped(Arc::clone(why))),
            None => Ok(()),
        }
    }
}

impl Drop for InstanceChanges {
    fn drop(&mut self) {
        let mut listeners = self.published.wakes.listeners();
        if let Some(list) = listeners.get_mut(&self.instance) {
            list.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            if list.is_empty() {
                listeners.remove(&self.instance);
            }
        }
    }
}
