use alloc::vec;

use super::*;
use crate::record::{Deployment, ServiceBalancer};
use crate::schedule::testing;

const GROUP: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/web/1";

struct Counter(u128);

impl IdSource for Counter {
    fn next_id(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

struct World {
    service: Service,
    is_watched: bool,
    takes_datagrams: bool,
    now: Timestamp,
    told: Vec<String>,
}

use alloc::vec::Vec;

impl World {
    /// A service behind a target group, with two tasks, that is to sleep after 100 seconds.
    fn new() -> Self {
        let mut service = testing::service();
        service.desired_count = 2;
        service.tags.insert(TAG.into(), "100s".into());
        let balancers = vec![ServiceBalancer {
            target_group: GROUP.into(),
            container: "main".into(),
            port: 80,
            advanced: None,
        }];
        service.deployments = vec![Deployment {
            balancers,
            rollout: RolloutState::Completed,
            updated_at: at(0),
            ..testing::deployment(7)
        }];
        Self { service, is_watched: true, takes_datagrams: false, now: at(1000), told: vec![] }
    }

    /// Looks at it; when it is to be looked at again.
    fn look(&mut self) -> Option<Timestamp> {
        let situation = Situation {
            service: &self.service,
            takes_datagrams: self.takes_datagrams,
            is_watched: self.is_watched,
            now: self.now,
        };
        let plan = plan(&situation, &mut Counter(0));
        self.carry_out(&plan);
        plan.next
    }

    fn carry_out(&mut self, plan: &Plan) {
        self.told.extend(plan.event.as_ref().map(|event| event.message.clone()));
        if let Some(service) = &plan.service {
            self.service = service.clone();
        }
    }

    fn hear(&mut self, used_at: Timestamp, is_wanted: bool) -> Plan {
        let plan = heard(&self.service, Heard { used_at, is_wanted }, self.now, &mut Counter(0));
        self.carry_out(&plan);
        plan
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// The same asleep.
    fn asleep() -> Self {
        let mut world = Self::new();
        world.look();
        world.wait(1000);
        world.look();
        assert_eq!(world.service.desired_count, 0);
        world.told.clear();
        world
    }
}

#[test]
fn times_are_read_or_refused() {
    for (text, seconds) in [("5", 5), ("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2_592_000)] {
        assert_eq!(time(text, AFTER), Some(Duration::from_secs(seconds)), "{text}");
        assert_eq!(refusal(TAG, text), None);
    }
    for text in ["", "4s", "31d", "m", "1.5h", "-3m", "15 m", "15M", "99999999999s", "1hs", "é"] {
        assert!(refusal(TAG, text).is_some(), "{text}");
    }
    assert_eq!(refusal("other", ""), None);
    assert!(refusal(HOLD_TAG, "10m").is_some_and(|why| why.contains("between 1 and 300 seconds")));
}

#[test]
fn a_service_sleeps_that_was_not_used_for_long_and_wakes_with_what_it_had() {
    let mut world = World::new();
    assert_eq!(world.look(), None, "its time begins");
    let due = at(1000 + 100 + 25 + 10);
    assert_eq!(world.look(), Some(due));
    world.now = due;
    world.look();
    assert_eq!((world.service.desired_count, given_count(&world.service)), (0, 2));
    assert_eq!(asleep(&world.service), Some((due, 2)));
    world.wait(5);
    assert_eq!(world.look(), None, "there is nothing to do");
    world.hear(world.now, false);
    assert_eq!(world.service.desired_count, 0, "what ends late wakes nobody");
    world.hear(world.now, true);
    assert_eq!((world.service.desired_count, asleep(&world.service)), (2, None));
    assert_eq!(world.look(), Some(world.now + Duration::from_secs(135)));
    let told = [
        "(service web) has had no request for 100 seconds and scales to zero: desired count 0 \
         instead of 2.",
        "(service web) is woken by a request: desired count 2 instead of 0.",
    ];
    assert_eq!(world.told, told);
}

#[test]
fn use_is_written_down_now_and_then_and_keeps_it_awake() {
    let mut world = World::new();
    world.look();
    world.wait(24);
    assert_eq!(world.hear(world.now, false), Plan::default(), "not worth a write");
    world.wait(1);
    world.hear(world.now, false);
    assert_eq!(world.look(), Some(world.now + Duration::from_secs(135)));
    world.hear(world.now + Duration::from_secs(900), false);
    assert_eq!(world.look(), Some(world.now + Duration::from_secs(135)), "nobody sees the future");
    // A request just before what was written down last is told by the next report at the latest.
    let last = world.now + Duration::from_secs(24);
    world.wait(34);
    assert_eq!(world.hear(last, false), Plan::default());
    world.now = last + Duration::from_secs(100);
    assert!(world.look().is_some(), "not before its time is over");
    assert_eq!(world.service.desired_count, 2);
}

#[test]
fn nobody_sleeps_during_a_deployment_or_while_nobody_watches() {
    let mut world = World::new();
    world.look();
    world.wait(1000);
    world.is_watched = false;
    assert_eq!(world.look(), None);
    world.is_watched = true;
    world.service.deployments[0].rollout = RolloutState::InProgress;
    assert_eq!(world.look(), None);
    world.service.deployments[0].rollout = RolloutState::Completed;
    world.service.deployments[0].updated_at = world.now;
    assert!(world.look().is_some(), "the time begins with the end of the deployment");
    assert_eq!(world.service.desired_count, 2);
}

#[test]
fn whoever_sets_the_desired_count_has_the_last_word() {
    let mut world = World::asleep();
    world.service.desired_count = 3;
    world.look();
    assert_eq!(world.look(), Some(world.now + Duration::from_secs(135)), "awake again");
    world.service.desired_count = 0;
    world.look();
    assert_eq!(asleep(&world.service), Some((world.now, 3)));
    assert_eq!(given_count(&world.service), 0);
    world.hear(world.now, true);
    assert_eq!(world.service.desired_count, 3);
    let mut world = World::new();
    world.look();
    world.service.desired_count = 0;
    world.hear(world.now, true);
    assert_eq!(world.service.desired_count, 2, "nobody has looked at it in between");
    let mut world = World::new();
    world.service.desired_count = 0;
    world.hear(world.now, true);
    assert_eq!(world.service.desired_count, 1, "one that never had any");
}

#[test]
fn without_its_tag_a_service_is_what_it_was() {
    let mut world = World::asleep();
    world.service.tags.clear();
    world.look();
    assert_eq!((world.service.desired_count, world.service.idle), (2, None));
    assert_eq!(world.told, ["(service web) does not scale to zero any more: desired count 2."]);
    assert_eq!(world.look(), None);
    let mut world = World::new();
    world.service.desired_count = 0;
    world.look();
    world.service.tags.clear();
    world.look();
    assert_eq!(world.service.desired_count, 0, "somebody wanted it so");
    let before = world.service.clone();
    assert_eq!(world.hear(world.now, true), Plan::default());
    assert_eq!(world.service, before, "no effect on those without the tag");
}

#[test]
fn what_cannot_sleep_says_so_once_and_is_left_alone() {
    let mut world = World::new();
    world.takes_datagrams = true;
    world.look();
    world.look();
    let why = "a target group of it takes UDP, which cannot be held.";
    assert_eq!(
        world.told,
        [format!("(service web) is tagged {TAG}, but cannot scale to zero: {why}")]
    );
    world.wait(10_000);
    assert_eq!(world.look(), None);
    assert_eq!(world.hear(world.now, true), Plan::default());
    world.takes_datagrams = false;
    world.look();
    assert!(world.look().is_some(), "now it can");
    let mut world = World::asleep();
    world.service.deployments[0].balancers.clear();
    world.look();
    assert_eq!(world.service.desired_count, 2, "nobody could wake it");
    let mut world = World::new();
    world.service.scheduling_strategy = SchedulingStrategy::Daemon;
    world.look();
    assert!(world.told[0].ends_with("the DAEMON strategy has no desired count."));
}
