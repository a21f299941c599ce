//! Deployments that shift traffic: the stages and the weights that go with them, ways back from
//! everywhere, and what happens in the middle.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::properties::{Happening, any_happening, happen};
use super::world::World;
use crate::deploy::{self, HookAnswer};
use crate::journal;
use crate::limits;
use crate::record::{
    Document, HookAction, LifecycleStage as Stage, PauseHook, ServiceDeployment,
    ServiceDeploymentStatus as Status, Share, ShiftStrategy, Webhook,
};
use crate::route::{HealthState, Weighted};

fn process(world: &World) -> &ServiceDeployment {
    world.deployment.as_ref().expect("a service deployment")
}

fn share(tenths: u32) -> Share {
    Share::from_tenths(tenths).expect("at most all")
}

/// One pass; agents and balancers are quick.
fn pass(world: &mut World) {
    world.pass();
    world.agents();
    world.find_all_healthy();
}

/// Goes on until the deployment is in this stage.
fn reach(world: &mut World, stage: Stage) {
    for _ in 0..60 {
        if process(world).stage == stage {
            return;
        }
        pass(world);
    }
    panic!("{stage:?} never comes: {:?}", process(world));
}

/// Stages with the shares of group B in production and test traffic, as they come one after another.
fn story(world: &mut World) -> Vec<(Stage, u32, u32)> {
    let mut told = Vec::new();
    for _ in 0..300 {
        pass(world);
        let now = (process(world).stage, world.shares("PROD").1, world.shares("TEST").1);
        if told.last() != Some(&now) {
            told.push(now);
        }
        if process(world).status.is_over() {
            return told;
        }
        world.advance(30);
    }
    panic!("it never ends: {told:?}");
}

#[test]
fn the_first_deployment_goes_where_nothing_serves() {
    let world = World::shifting(ShiftStrategy::BlueGreen, 0);
    assert_eq!(world.shares("PROD"), (0, 100));
    assert_eq!(world.service.deployments[0].balancers[0].target_group, "B");
    assert_eq!(world.service.balancers[0].target_group, "A", "as it was given");
}

#[test]
fn stages_come_in_order_and_groups_change_places() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 1);
    world.deploy();
    assert_eq!(
        story(&mut world),
        [
            (Stage::PreScaleUp, 100, 100),
            (Stage::ScaleUp, 100, 100),
            (Stage::PostScaleUp, 100, 100),
            (Stage::TestTrafficShift, 100, 0),
            (Stage::PostTestTrafficShift, 100, 0),
            (Stage::PreProductionTrafficShift, 100, 0),
            (Stage::ProductionTrafficShift, 0, 0),
            (Stage::PostProductionTrafficShift, 0, 0),
            (Stage::BakeTime, 0, 0),
            (Stage::CleanUp, 0, 0),
        ]
    );
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!(world.service.deployments.len(), 1);
    assert_eq!(world.service.deployments[0].balancers[0].target_group, "A");
    assert_eq!(world.counts(), (2, 0));
    world.deploy();
    story(&mut world);
    assert_eq!(world.shares("PROD"), (0, 100), "and back");
}

#[test]
fn production_traffic_shifts_in_steps_with_time_between_them() {
    let mut world = World::shifting(ShiftStrategy::Linear { step: share(400), bake_min: 2 }, 0);
    world.deploy();
    let mut told = Vec::new();
    while !process(&world).status.is_over() {
        pass(&mut world);
        let now = (world.shares("PROD").0, world.now);
        if told.last().map(|(share, _)| *share) != Some(now.0) {
            told.push(now);
        }
        world.advance(10);
    }
    let shares: Vec<u32> = told.iter().map(|(share, _)| *share).collect();
    assert_eq!(shares, [0, 40, 80, 100]);
    for pair in told[1..].windows(2) {
        assert!(pair[1].1.saturating_since(pair[0].1) >= Duration::from_secs(120));
    }
    let mut world = World::shifting(ShiftStrategy::Canary { first: share(5), bake_min: 1 }, 0);
    world.deploy();
    reach(&mut world, Stage::ProductionTrafficShift);
    let groups = world.rules.get("PROD").expect("a rule");
    let weights: Vec<u32> = groups.iter().map(|weighted| weighted.weight).collect();
    assert_eq!(weights, [5, 995], "tenths of a percent");
    world.serve();
    assert_eq!(world.shares("PROD"), (100, 0));
}

#[test]
fn from_every_stage_the_way_back_ends_with_all_traffic_at_the_old_revision() {
    let stages = [
        Stage::PreScaleUp,
        Stage::ScaleUp,
        Stage::PostScaleUp,
        Stage::TestTrafficShift,
        Stage::PostTestTrafficShift,
        Stage::PreProductionTrafficShift,
        Stage::ProductionTrafficShift,
        Stage::PostProductionTrafficShift,
        Stage::BakeTime,
    ];
    for stage in stages {
        let mut world = World::shifting(ShiftStrategy::Linear { step: share(500), bake_min: 1 }, 1);
        let blue = world.service.deployments[0].id;
        world.deploy();
        for _ in 0..60 {
            if process(&world).stage == stage {
                break;
            }
            pass(&mut world);
            world.advance(30);
        }
        assert_eq!(process(&world).stage, stage);
        world.deployment.as_mut().expect("one").status = Status::RollbackRequested;
        world.pass();
        assert_eq!(world.shares("PROD"), (0, 100), "at once, at {stage:?}");
        assert!(
            world
                .running()
                .filter(
                    |task| task.started_by.as_deref() == Some(&*alloc::format!("ecs-svc/{blue}"))
                )
                .count()
                == 2
        );
        world.serve();
        assert_eq!(process(&world).status, Status::RollbackSuccessful, "{stage:?}");
        assert_eq!((world.shares("PROD"), world.shares("TEST")), ((0, 100), (0, 100)));
        let left: Vec<u64> = world.service.deployments.iter().map(|d| d.id).collect();
        assert_eq!(left, [blue]);
        assert_eq!(world.counts(), (2, 0));
        // And the next one can go.
        world.deploy();
        world.serve();
        assert_eq!(process(&world).status, Status::Successful);
        assert_eq!(world.shares("PROD"), (100, 0));
    }
}

#[test]
fn a_revision_that_becomes_sick_loses_its_traffic() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 10);
    world.service.deployment_configuration.circuit_breaker.enable = true;
    world.service.deployment_configuration.circuit_breaker.rollback = true;
    world.deploy();
    reach(&mut world, Stage::BakeTime);
    assert_eq!(world.shares("PROD"), (100, 0));
    let label = world.service.deployments[0].label();
    for _ in 0..40 {
        let own = |task: &&crate::record::Task| task.started_by.as_ref() == Some(&label);
        for task in world.running().filter(own).map(|task| task.id).collect::<Vec<_>>() {
            world.find(task, HealthState::Unhealthy);
        }
        world.pass();
        world.agents();
    }
    world.serve();
    assert_eq!(process(&world).status, Status::RollbackSuccessful);
    assert_eq!(world.shares("PROD"), (0, 100));
    assert!(process(&world).breaker.triggered);
}

#[test]
fn no_traffic_shifts_to_a_revision_that_does_not_serve() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 0);
    world.deploy();
    reach(&mut world, Stage::PreProductionTrafficShift);
    let new = world.tasks.last().expect("a task").id;
    world.find(new, HealthState::Initial);
    world.pass();
    assert_eq!(process(&world).stage, Stage::PreProductionTrafficShift);
    assert_eq!(world.shares("PROD"), (0, 100));
    world.find(new, HealthState::Healthy);
    world.pass();
    assert_eq!(world.shares("PROD"), (100, 0));
}

#[test]
fn a_rule_that_forwards_no_more_gets_no_traffic_and_takes_nobody_along() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 0);
    let blue = world.service.deployments[0].id;
    world.deploy();
    reach(&mut world, Stage::PreProductionTrafficShift);
    // Somebody has put up a page of maintenance.
    world.rules.get_mut("PROD").expect("a rule").clear();
    world.serve();
    assert_eq!(process(&world).status, Status::RollbackSuccessful);
    let left: Vec<u64> = world.service.deployments.iter().map(|d| d.id).collect();
    assert_eq!(left, [blue], "who has had the traffic is there when the page goes");
    assert!(world.rules["PROD"].is_empty(), "the page stays");
}

#[test]
fn both_revisions_follow_the_desired_count() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 5);
    world.deploy();
    reach(&mut world, Stage::BakeTime);
    world.scale(3);
    for _ in 0..4 {
        pass(&mut world);
    }
    assert_eq!(world.counts(), (6, 0));
    world.scale(1);
    for _ in 0..4 {
        pass(&mut world);
    }
    assert_eq!(world.counts(), (2, 0));
    world.scale(0);
    world.serve();
    assert_eq!(process(&world).status, Status::Successful);
}

#[test]
fn a_newer_deployment_starts_from_the_revision_that_was_completed() {
    for stage in [Stage::ScaleUp, Stage::TestTrafficShift, Stage::BakeTime, Stage::CleanUp] {
        let mut world = World::shifting(ShiftStrategy::BlueGreen, 1);
        world.deploy();
        for _ in 0..60 {
            if process(&world).stage == stage {
                break;
            }
            pass(&mut world);
            world.advance(30);
        }
        let serving = if stage == Stage::CleanUp { (100, 0) } else { (0, 100) };
        let superseded = deploy::superseded(process(&world), world.now).expect("it is under way");
        world.deployment = Some(superseded);
        world.deploy();
        world.pass();
        assert_eq!(process(&world).stage, Stage::ReconcileService, "{stage:?}");
        assert_eq!((world.shares("PROD"), world.shares("TEST")), (serving, serving));
        world.serve();
        assert_eq!(process(&world).status, Status::Successful);
        assert_eq!(world.shares("PROD"), (serving.1, serving.0));
        assert_eq!((world.counts(), world.service.deployments.len()), ((2, 0), 1));
    }
}

#[test]
fn after_an_abort_both_revisions_stay_and_a_rolling_one_brings_order() {
    let mut world = World::shifting(ShiftStrategy::Linear { step: share(500), bake_min: 9 }, 0);
    world.deploy();
    reach(&mut world, Stage::ProductionTrafficShift);
    world.deployment.as_mut().expect("one").status = Status::StopRequested;
    world.pass();
    for _ in 0..5 {
        pass(&mut world);
        world.advance(600);
    }
    assert_eq!(process(&world).status, Status::Stopped);
    assert_eq!((world.shares("PROD"), world.counts()), ((50, 50), (4, 0)));
    assert!(deploy::splits_traffic(process(&world)));
    let (steady, waits) = world.explain();
    assert!(!steady && waits[0].what.contains("both revisions stay"), "{waits:?}");
    world.service.shifting = None;
    world.deploy();
    world.serve();
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!((world.shares("PROD"), world.counts()), ((100, 0), (2, 0)));
    // The next one is rolling, and stays where traffic is.
    world.deploy();
    for _ in 0..10 {
        pass(&mut world);
        world.advance(60);
    }
    assert_eq!(process(&world).status, Status::Successful);
    assert!(process(&world).shift.is_none());
    assert_eq!(world.service.deployments[0].balancers[0].target_group, "A");
}

#[test]
fn many_tasks_take_several_transactions_that_each_fit_the_store() {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 0);
    world.scale(200);
    for _ in 0..6 {
        pass(&mut world);
    }
    world.deploy();
    for _ in 0..200 {
        let plan = world.pass();
        world.agents();
        world.find_all_healthy();
        for portion in plan.portions() {
            assert!(portion.len() <= limits::SERVICE_CHANGES);
        }
        // Each move has two conditions, everything else one.
        let last = 2 * plan.last.len() + plan.last.events.len() + plan.reweigh.len() + 3;
        assert!(last <= 128, "{last}");
        if process(&world).status.is_over() {
            break;
        }
        world.advance(60);
    }
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!(world.counts(), (200, 0));
}

fn why(world: &World) -> &str {
    process(world).rollback.as_ref().expect("it goes back").reason.as_str()
}

#[test]
fn rules_that_are_not_ours_are_left_alone() {
    const BECAUSE: &str =
        "Service deployment rolled back because of invalid networking configuration";
    let weighted = |group: &str, weight| Weighted { group: group.into(), weight };
    let cases = [
        (vec![weighted("A", 1), weighted("B", 1)], "should have exactly one target group serving"),
        (vec![weighted("B", 1), weighted("C", 0)], "unexpected target group C"),
        (vec![weighted("A", 1), weighted("B", 0)], "where the tasks in production are"),
        (vec![], "found 0 target groups"),
    ];
    for (groups, expected) in cases {
        let mut world = World::shifting(ShiftStrategy::BlueGreen, 0);
        world.rules.insert("PROD".into(), groups.clone());
        world.deploy();
        world.serve();
        assert_eq!(process(&world).status, Status::RollbackSuccessful);
        assert!(why(&world).starts_with(BECAUSE), "{}", why(&world));
        assert!(why(&world).contains(expected), "{}", why(&world));
        assert_eq!(world.rules["PROD"], groups);
        assert_eq!(world.counts(), (2, 0));
    }
}

#[test]
fn a_rule_that_goes_in_the_middle_ends_the_deployment() {
    for rule in ["PROD", "TEST"] {
        let mut world = World::shifting(ShiftStrategy::BlueGreen, 10);
        world.deploy();
        reach(&mut world, Stage::BakeTime);
        world.rules.remove(rule);
        world.serve();
        assert_eq!(process(&world).status, Status::RollbackSuccessful);
        assert!(why(&world).ends_with("One or more rules not found"));
        let other = if rule == "PROD" { "TEST" } else { "PROD" };
        assert_eq!(world.shares(other), (0, 100));
    }
}

#[test]
fn a_service_that_is_deleted_in_the_middle_leaves_the_rules() {
    let mut world = World::shifting(ShiftStrategy::Linear { step: share(500), bake_min: 9 }, 0);
    world.deploy();
    reach(&mut world, Stage::ProductionTrafficShift);
    world.service.status = crate::record::ServiceStatus::Draining;
    world.scale(0);
    for _ in 0..5 {
        pass(&mut world);
    }
    assert_eq!(process(&world).status, Status::Stopped);
    assert_eq!(world.service.status, crate::record::ServiceStatus::Inactive);
    assert_eq!((world.shares("PROD"), world.counts()), ((50, 50), (0, 0)));
}

fn hooked(stages: &[Stage], webhook: bool) -> World {
    let mut world = World::shifting(ShiftStrategy::Linear { step: share(500), bake_min: 0 }, 0);
    world.service.pause_hooks = vec![PauseHook {
        stages: stages.to_vec(),
        timeout_min: 10,
        action: HookAction::Rollback,
        webhook: webhook.then(|| Webhook {
            url: "http://hook".into(),
            role: None,
            details: Some(Document::new(r#"{"a":1}"#.into()).expect("valid")),
        }),
    }];
    world.deploy();
    world
}

#[test]
fn a_pause_comes_with_every_step() {
    let mut world = hooked(&[Stage::PreProductionTrafficShift], false);
    let mut seen = Vec::new();
    for _ in 0..40 {
        pass(&mut world);
        let open = process(&world).pauses.iter().position(crate::record::Pause::is_open);
        if let Some(open) = open {
            seen.push((world.shares("PROD").0, process(&world).pauses[open].id.clone()));
            let pauses = &mut world.deployment.as_mut().expect("one").pauses;
            pauses[open].answer = Some(HookAction::Continue);
        }
    }
    world.serve();
    assert_eq!(seen.iter().map(|(share, _)| *share).collect::<Vec<_>>(), [0, 50]);
    assert_ne!(seen[0].1, seen[1].1);
    assert!(seen[0].1.starts_with("ecs-pause-"));
    assert_eq!(process(&world).status, Status::Successful);
}

#[test]
fn a_pause_that_nobody_answers_takes_the_deployment_back() {
    let mut world = hooked(&[Stage::PostTestTrafficShift], false);
    reach(&mut world, Stage::PostTestTrafficShift);
    world.advance(599);
    pass(&mut world);
    assert_eq!(process(&world).status, Status::InProgress);
    world.advance(1);
    world.serve();
    assert_eq!(process(&world).status, Status::RollbackSuccessful);
    assert_eq!(
        why(&world),
        "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT pause hook timed out."
    );
}

/// The webhook answers everything that is due.
fn answer(world: &mut World, answer: &HookAnswer) -> usize {
    let (due, _) = deploy::due(process(world), world.now);
    for due in &due {
        let next = deploy::answered(process(world), &due.hook, answer, world.now);
        world.deployment = Some(next.expect("somebody waits"));
    }
    due.len()
}

#[test]
fn a_webhook_lets_it_go_on_or_takes_it_back() {
    let mut world = hooked(&[Stage::PostScaleUp], true);
    reach(&mut world, Stage::PostScaleUp);
    pass(&mut world);
    let details = Document::new(r#"{"b":2}"#.into()).expect("valid");
    let later = HookAnswer::InProgress { after: None, details: Some(details) };
    assert_eq!(answer(&mut world, &later), 1);
    assert_eq!(
        deploy::due(process(&world), world.now),
        (vec![], Some(world.now + limits::HOOK_CALLBACK))
    );
    world.advance(30);
    pass(&mut world);
    let (due, _) = deploy::due(process(&world), world.now);
    assert_eq!(due[0].call.details.as_ref().map(Document::as_str), Some(r#"{"a":1,"b":2}"#));
    answer(&mut world, &HookAnswer::Succeeded);
    world.serve();
    assert_eq!(process(&world).status, Status::Successful);
    for (said, expected) in [
        (HookAnswer::Failed, "Lifecycle hook target http://hook returned FAILED status."),
        (
            HookAnswer::Senseless("HookStatus must not be null".into()),
            "ECS was unable to parse the response from http://hook due to HookStatus must not be null",
        ),
    ] {
        let mut world = hooked(&[Stage::PostScaleUp], true);
        reach(&mut world, Stage::PostScaleUp);
        answer(&mut world, &said);
        world.serve();
        assert_eq!(process(&world).status, Status::RollbackSuccessful);
        assert_eq!(
            why(&world),
            alloc::format!(
                "Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. \
                 {expected}"
            )
        );
    }
}

#[test]
fn a_webhook_that_hands_on_more_and_more_takes_it_back() {
    let mut world = hooked(&[Stage::PostScaleUp], true);
    reach(&mut world, Stage::PostScaleUp);
    for turn in 0..4 {
        let details = alloc::format!(r#"{{"{turn}":"{}"}}"#, "x".repeat(20_000));
        let details = Some(Document::new(details).expect("valid"));
        assert_eq!(answer(&mut world, &HookAnswer::InProgress { after: None, details }), 1);
        let there = process(&world).status == Status::InProgress;
        assert!(there, "64 KiB hold three of them");
        world.advance(30);
    }
    world.serve();
    assert_eq!(process(&world).status, Status::RollbackSuccessful);
    assert!(
        why(&world).ends_with("due to hookDetails of more than 65536 bytes"),
        "{}",
        why(&world)
    );
}

#[test]
fn a_webhook_that_cannot_be_reached_is_tried_again_before_it_counts() {
    let mut world = hooked(&[Stage::PreScaleUp], true);
    reach(&mut world, Stage::PreScaleUp);
    let unreached = HookAnswer::Unreached("connection refused".into());
    for _ in 1..limits::HOOK_ATTEMPTS {
        assert_eq!(answer(&mut world, &unreached), 1);
        pass(&mut world);
        assert_eq!(process(&world).status, Status::InProgress);
        world.advance(5);
    }
    answer(&mut world, &unreached);
    world.serve();
    assert!(
        why(&world).ends_with(
            "ECS was unable to invoke hook target http://hook due to connection refused"
        )
    );
}

#[test]
fn webhooks_of_traffic_shifts_learn_of_the_way_back() {
    let mut world = hooked(&[Stage::ProductionTrafficShift], true);
    reach(&mut world, Stage::ProductionTrafficShift);
    let (due, _) = deploy::due(process(&world), world.now);
    assert_eq!(due[0].call.share, share(500));
    answer(&mut world, &HookAnswer::Failed);
    world.pass();
    assert_eq!(world.shares("PROD"), (0, 100));
    let (due, _) = deploy::due(process(&world), world.now);
    assert_eq!((due.len(), due[0].call.share), (1, Share::NONE));
    pass(&mut world);
    assert_eq!(process(&world).status, Status::RollbackInProgress, "until it knows");
    // What it says now changes nothing.
    answer(&mut world, &HookAnswer::Failed);
    world.serve();
    assert_eq!(process(&world).status, Status::RollbackSuccessful);
}

#[test]
fn without_balancers_the_stages_are_passed() {
    let mut world = World::steady(2, 4);
    world.service.shifting =
        Some(crate::record::Shifting { strategy: ShiftStrategy::BlueGreen, bake_min: 1 });
    world.deploy();
    let mut stages = Vec::new();
    while !process(&world).status.is_over() {
        world.pass();
        world.agents();
        world.advance(20);
        if stages.last() != Some(&process(&world).stage) {
            stages.push(process(&world).stage);
        }
    }
    assert_eq!((stages.len(), stages.last()), (10, Some(&Stage::CleanUp)));
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!(world.counts(), (2, 0));
}

#[test]
fn each_step_of_a_hook_is_told_once() {
    let mut world = hooked(&[Stage::PostScaleUp], true);
    let mut told = Vec::new();
    while !process(&world).status.is_over() {
        let old = process(&world).clone();
        pass(&mut world);
        let calm = process(&world).clone();
        answer(&mut world, &HookAnswer::Failed);
        for (old, new) in [(&old, &calm), (&calm, process(&world))] {
            let steps = journal::hook_steps(Some(old), new);
            told.extend(steps.iter().map(|step| (step.stage, step.state.as_str())));
        }
    }
    assert_eq!(told, [(Stage::PostScaleUp, "IN_PROGRESS"), (Stage::PostScaleUp, "FAILED")]);
}

#[test]
fn it_is_explained_what_a_shift_waits_for() {
    let waits = |world: &World| -> Vec<_> {
        let waits = world.explain().1.into_iter();
        waits.map(|wait| (wait.cause.as_str(), wait.what)).collect()
    };
    let mut world = World::shifting(ShiftStrategy::Canary { first: share(125), bake_min: 5 }, 0);
    world.deploy();
    reach(&mut world, Stage::ProductionTrafficShift);
    assert_eq!(
        waits(&world),
        [(
            "BAKING",
            "the time of PRODUCTION_TRAFFIC_SHIFT to be over: the new revision has 12.5% of \
             production traffic"
                .into()
        )]
    );
    let mut world = hooked(&[Stage::PostScaleUp], true);
    reach(&mut world, Stage::PostScaleUp);
    assert_eq!(
        waits(&world),
        [("PAUSED", "the webhook http://hook to let it go on at POST_SCALE_UP".into())]
    );
}

/// A deployment that begins after one that was stopped with all the traffic, while the service had no tasks.
fn cut_short() -> World {
    let mut world = World::shifting(ShiftStrategy::BlueGreen, 1);
    world.deploy();
    reach(&mut world, Stage::TestTrafficShift);
    world.scale(0);
    reach(&mut world, Stage::ProductionTrafficShift);
    world.deployment.as_mut().expect("one").status = Status::StopRequested;
    world.scale(2);
    pass(&mut world);
    assert_eq!((process(&world).status, world.shares("PROD")), (Status::Stopped, (100, 0)));
    world.deploy();
    world
}

#[test]
fn a_revision_is_started_again_before_it_gets_traffic_back() {
    let mut world = cut_short();
    pass(&mut world);
    // Both run now, and nothing has moved.
    assert_eq!((process(&world).stage, world.shares("PROD")), (Stage::ReconcileService, (100, 0)));
    assert_eq!(world.running().count(), 4);
    pass(&mut world);
    assert_eq!((process(&world).stage, world.shares("PROD")), (Stage::PreScaleUp, (0, 100)));
    story(&mut world);
    assert_eq!(process(&world).status, Status::Successful);
    assert_eq!((world.shares("PROD"), world.running().count()), ((100, 0), 2));
}

/// Nobody takes it from whoever has it meanwhile, whatever becomes of the deployment.
#[test]
fn traffic_stays_where_it_is_until_the_old_revision_is_there() {
    for end in [Status::StopRequested, Status::RollbackRequested] {
        let mut world = cut_short();
        world.pass();
        world.deployment.as_mut().expect("one").status = end;
        for _ in 0..40 {
            pass(&mut world);
            world.advance(30);
        }
        let ended = match end {
            Status::StopRequested => Status::Stopped,
            _ => Status::RollbackSuccessful,
        };
        assert_eq!((process(&world).status, world.shares("PROD")), (ended, (0, 100)));
        assert_eq!(world.running().count(), 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_shift_ends_whatever_happens(
        strategy in prop_oneof![
            Just(ShiftStrategy::BlueGreen),
            (30..=1000_u32, 0..3_u32)
                .prop_map(|(step, bake_min)| ShiftStrategy::Linear { step: share(step), bake_min }),
            (1..=1000_u32, 0..3_u32)
                .prop_map(|(first, bake_min)| ShiftStrategy::Canary { first: share(first), bake_min }),
        ],
        happenings in prop::collection::vec(any_happening(), 0..60),
        requests in prop::collection::vec(any::<u8>(), 60),
    ) {
        let mut world = World::shifting(strategy, 1);
        world.service.deployment_configuration.circuit_breaker.enable = true;
        world.service.deployment_configuration.circuit_breaker.rollback = true;
        world.deploy();
        for (happening, request) in happenings.into_iter().zip(requests) {
            if matches!(happening, Happening::Deploy(_)) {
                if let Some(superseded) = deploy::superseded(process(&world), world.now) {
                    world.deployment = Some(superseded);
                }
                world.deploy();
            } else {
                happen(&mut world, happening);
            }
            world.find_all_healthy();
            let status = process(&world).status;
            let may = status == Status::InProgress && process(&world).stage != Stage::CleanUp;
            if request < 6 && may && world.service.completed.is_some() {
                world.deployment.as_mut().expect("one").status = Status::RollbackRequested;
            } else if request < 9 && may {
                world.deployment.as_mut().expect("one").status = Status::StopRequested;
            }
        }
        world.refused_roles.clear();
        for instance in &mut world.instances {
            instance.status = crate::record::InstanceStatus::Active;
        }
        for _ in 0..200 {
            pass(&mut world);
            world.advance(50);
        }
        let end = process(&world);
        prop_assert!(end.status.is_over(), "{end:?} {:?}", world.service);
        let (a, b) = world.shares("PROD");
        let total: u32 = world.rules["PROD"].iter().map(|weighted| weighted.weight).sum();
        prop_assert!(total == 100 || total == 1000, "{total}");
        if end.status != Status::Stopped && end.status != Status::RollbackFailed {
            prop_assert_eq!(world.service.deployments.len(), 1);
            let group = &world.service.deployments[0].balancers[0].target_group;
            prop_assert_eq!(if group == "A" { a } else { b }, 100);
            prop_assert_eq!(u32::try_from(world.counts().0), Ok(world.service.desired_count));
        }
        if world.service.desired_count > 0 {
            // Whoever gets production traffic is there.
            for own in &world.service.deployments {
                let share = if own.balancers[0].target_group == "A" { a } else { b };
                let label = own.label();
                let runs = world.running().any(|task| task.started_by.as_ref() == Some(&label));
                prop_assert!(share == 0 || runs, "{end:?} {own:?}");
            }
        }
        let calm = world.pass();
        prop_assert!(calm.is_empty(), "nothing is left to do: {calm:?}");
    }
}
