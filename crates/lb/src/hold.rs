//! Requests that wait for a target of a group whose service is started on demand.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use longshore_domain::route::{Action, Weighted};
use tokio::time::{Instant, timeout_at};

use crate::group::Group;
use crate::node::Node;
use crate::table::{Listening, Table};

/// A moment, after which a target that has only just been started is tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

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

/// Waits until a group has a target, as the newest table has it, or the one that the listener has given its
/// traffic to meanwhile; `None` when it is too late or too many wait.
pub(crate) async fn target(
    node: &Node,
    listening: &Listening,
    group: &Arc<Group>,
    deadline: Instant,
) -> Option<Arc<Group>> {
    let queue = group.record.on_demand?.queue;
    if group.live.waiting.fetch_add(1, Relaxed) >= queue {
        group.live.waiting.fetch_sub(1, Relaxed);
        return None;
    }
    let _place = Place(group);
    let mut wanted = Arc::clone(group);
    loop {
        let live = Arc::clone(&wanted.live);
        let mut ready = std::pin::pin!(live.ready.notified());
        ready.as_mut().enable();
        let table = node.table.load_full();
        let arn = heir(&table, &listening.record.arn, &wanted.record.arn);
        let newest = table.groups.get(arn.unwrap_or(&wanted.record.arn)).map(Arc::clone)?;
        if newest.has_target() {
            return Some(newest);
        }
        node.want(&newest);
        if arn.is_some() {
            // What tells of its targets is its own.
            wanted = newest;
            continue;
        }
        timeout_at(deadline, ready).await.ok()?;
    }
}

/// The group that gets the traffic of one whose weight has become 0 in every rule of its listener: a deployment
/// has shifted it away, and no task will come there.
fn heir<'a>(table: &'a Table, listener: &str, group: &str) -> Option<&'a str> {
    let listening = table.listeners.values().find(|one| one.record.arn == listener)?;
    let rules = listening.record.rules.iter();
    let forwards = rules.flat_map(|rule| &rule.actions).filter_map(|action| match action {
        Action::Forward(forward) if forward.groups.iter().any(|one| one.group == group) => {
            Some(forward)
        }
        _ => None,
    });
    let mut heir: Option<&Weighted> = None;
    for one in forwards.flat_map(|forward| &forward.groups).filter(|one| one.weight > 0) {
        if one.group == group {
            return None;
        }
        heir = heir.filter(|heir| heir.weight >= one.weight).or(Some(one));
    }
    heir.map(|heir| heir.group.as_str())
}
