//! Clocks that are set back, and times at which nothing else would wake the scheduler.

use core::time::Duration;

use super::world::World;
use crate::record::Protection;

#[test]
fn tasks_that_started_in_the_future_still_serve() {
    let mut world = World::steady(2, 2);
    world.now = world.now - Duration::from_secs(20);
    world.deploy();
    let plan = world.pass();
    assert_eq!(plan.last.start.map(|start| start.assigned.len()), Some(2));
    assert!(
        plan.last.stop.is_empty(),
        "the clock was set back; the tasks are as healthy as before"
    );
}

#[test]
fn a_daemon_looks_again_when_a_protection_ends() {
    let mut world = World::daemon(1);
    world.settle();
    let ends = world.now + Duration::from_secs(60);
    world.tasks[0].protection = Some(Protection { expires_at: ends });
    world.deploy();
    let plan = world.pass();
    assert!(plan.last.stop.is_empty());
    assert_eq!(plan.next, Some(ends));
    let held = "was unable to scale in due to (reason 1 tasks under protection)";
    assert!(world.events.iter().any(|text| text.ends_with(held)), "{:?}", world.events);
    world.now = ends;
    assert_eq!(world.pass().last.stop.len(), 1);
}
