//! Requests that wait for a target of a group whose service is started on demand.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::group::Group;
use crate::node::Node;

/// A place among those that wait; given back when dropped.
struct Place<'a>(&'a Group);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.live.waiting.fetch_sub(1, Relaxed);
    }
}

/// Until when a request may wait, if its group starts on demand.
pub(crate) fn deadline(group: &Group) -> Option<Instant> {
    let hold = group.record.on_demand?.hold_ms;
    Some(Instant::now() + Duration::from_millis(hold.into()))
}

/// Waits until a group has a target, as the newest table has it; `None` when it is too late or too
/// many wait.
pub(crate) async fn target(
    node: &Node,
    group: &Arc<Group>,
    deadline: Instant,
) -> Option<Arc<Group>> {
    let queue = group.record.on_demand?.queue;
    if group.live.waiting.fetch_add(1, Relaxed) >= queue {
        group.live.waiting.fetch_sub(1, Relaxed);
        return None;
    }
    let _place = Place(group);
    loop {
        let mut ready = std::pin::pin!(group.live.ready.notified());
        ready.as_mut().enable();
        let newest = node.table.load().groups.get(&group.record.arn).map(Arc::clone)?;
        if newest.has_target() {
            return Some(newest);
        }
        node.want(group);
        timeout_at(deadline, ready).await.ok()?;
    }
}
