//! Tasks from their payload to their last report.

use std::time::Duration;

use longshore_agent::runtime::{Behavior, Runtime};
use longshore_wire::agent::{
    Dependency, DependencyCondition, HostVolume, PortMapping, RestartPolicy, Secret, Volume,
};
use serde_json::json;

use crate::support::{Bench, container, task};

fn preloaded() -> Behavior {
    Behavior { preloaded: true, ..Behavior::default() }
}

fn job(code: i32) -> Behavior {
    Behavior { exits_after: Some((Duration::from_millis(50), code)), ..preloaded() }
}

#[tokio::test]
async fn a_task_runs_and_its_end_is_reported() {
    let bench = Bench::start(vec![("job", job(7))]).await;
    let mut main = container("main", "job");
    main.port_mappings = vec![PortMapping { container_port: 80, ..PortMapping::default() }];
    let task = task("job", vec![main]);
    let message = bench.control_plane.send_tasks(vec![task.clone()]).await;
    bench.control_plane.acknowledged(&message).await;
    let running = bench.control_plane.reported(&task.arn, "RUNNING").await;
    let stopped = bench.control_plane.reported(&task.arn, "STOPPED").await;
    let binding = &running["containers"][0]["networkBindings"][0];
    assert_eq!((&binding["containerPort"], &binding["bindIP"]), (&80.into(), &"0.0.0.0".into()));
    assert!(binding["hostPort"].as_i64().is_some_and(|port| port > 30_000), "{binding}");
    assert_eq!(running["containers"][0]["imageDigest"], "sha256:digest-of-job");
    assert!(stopped["executionStoppedAt"].is_number());
    let reports = bench.control_plane.reports(&task.arn);
    let tail = &reports[reports.len() - 2..];
    assert_eq!(tail, ["RUNNING main=RUNNING", "STOPPED main=STOPPED(7)"], "{reports:?}");
}

#[tokio::test]
async fn a_task_stops_when_it_is_told_to() {
    let stubborn = Behavior { ignores_stop: true, ..preloaded() };
    let polite = Behavior { stop_code: 143, ..preloaded() };
    let bench = Bench::start(vec![("stubborn", stubborn), ("polite", polite)]).await;
    for (image, code) in [("stubborn", 137), ("polite", 143)] {
        let running = bench.run_one(image, "RUNNING").await;
        let arn = running["task"].as_str().expect("an ARN");
        bench.control_plane.stop(arn).await;
        let stopped = bench.control_plane.reported(arn, "STOPPED").await;
        assert_eq!(stopped["containers"][0]["exitCode"], code);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_named() {
    let behavior = |change: fn(&mut Behavior)| {
        let mut behavior = preloaded();
        change(&mut behavior);
        behavior
    };
    let cases = vec![
        (
            "absent",
            Behavior { pull_fails: Some("no such manifest".into()), ..Behavior::default() },
            "CannotPullContainerError: no such manifest",
        ),
        (
            "misshapen",
            behavior(|b| b.create_fails = Some("invalid mount".into())),
            "CannotCreateContainerError: invalid mount",
        ),
        (
            "broken",
            behavior(|b| b.start_fails = Some("exec: not found".into())),
            "CannotStartContainerError: exec: not found",
        ),
        (
            "greedy",
            behavior(|b| {
                b.out_of_memory = true;
                b.exits_after = Some((Duration::from_millis(20), 137));
            }),
            "OutOfMemoryError: Container killed due to memory usage",
        ),
    ];
    let rules = cases.iter().map(|(image, behavior, _)| (*image, behavior.clone())).collect();
    let bench = Bench::start(rules).await;
    for (image, _, expected) in cases {
        let stopped = bench.run_one(image, "STOPPED").await;
        assert_eq!(stopped["containers"][0]["reason"], expected);
    }
}

#[tokio::test]
async fn a_runtime_that_hangs_fails_the_task_and_not_the_agent() {
    let hangs = Behavior { start_delay: Duration::from_secs(600), ..preloaded() };
    let mut bench = Bench::start(vec![("hangs", hangs)]).await;
    bench.kill_agent().await;
    let mut config = crate::support::config(bench.control_plane.url(), bench.dir.path());
    config.timeouts.start = Duration::from_millis(100);
    bench.start_agent_with(config);
    let stopped = bench.run_one("hangs", "STOPPED").await;
    assert_eq!(
        stopped["containers"][0]["reason"],
        "DockerTimeoutError: no answer from the container runtime within 0s"
    );
    bench.run_one("fine", "RUNNING").await;
}

#[tokio::test]
async fn containers_wait_for_each_other() {
    let healthy = Behavior { healthy_after: Some(Duration::from_millis(100)), ..preloaded() };
    let bench = Bench::start(vec![("init", job(0)), ("db", healthy)]).await;
    let on = |name: &str, condition| Dependency { container_name: name.into(), condition };
    let mut app = container("app", "app");
    app.depends_on =
        vec![on("init", DependencyCondition::Success), on("db", DependencyCondition::Healthy)];
    let mut init = container("init", "init");
    init.essential = false;
    let mut db = container("db", "db");
    db.health_check_type = Some("docker".into());
    let task = task("ordered", vec![app, init, db]);
    bench.control_plane.send_tasks(vec![task.clone()]).await;
    bench.control_plane.reported(&task.arn, "RUNNING").await;
    let reports = bench.control_plane.reports(&task.arn).join("\n");
    assert!(reports.contains("init=STOPPED(0)"), "{reports}");
    let created: Vec<_> = bench
        .runtime
        .containers()
        .into_iter()
        .map(|container| container.labels["com.amazonaws.ecs.container-name"].clone())
        .collect();
    assert_eq!(created.last().map(String::as_str), Some("app"), "{created:?}");
    bench.control_plane.stop(&task.arn).await;
    bench.control_plane.reported(&task.arn, "STOPPED").await;
}

#[tokio::test]
async fn a_container_that_fails_keeps_its_dependant_from_starting() {
    let bench = Bench::start(vec![("init", job(3))]).await;
    let mut app = container("app", "app");
    app.depends_on =
        vec![Dependency { container_name: "init".into(), condition: DependencyCondition::Success }];
    let mut init = container("init", "init");
    init.essential = false;
    let task = task("unmet", vec![init, app]);
    bench.control_plane.send_tasks(vec![task.clone()]).await;
    let stopped = bench.control_plane.reported(&task.arn, "STOPPED").await;
    let containers = stopped["containers"].as_array().expect("containers");
    let app = containers.iter().find(|c| c["containerName"] == "app").expect("the app");
    assert_eq!(app["exitCode"], 143);
    assert!(app["reason"].as_str().is_some_and(|r| r.starts_with("CannotStartContainerError")));
    assert_eq!(bench.runtime.containers().len(), 1, "the app was never made");
}

#[tokio::test]
async fn a_change_of_one_container_is_reported_while_the_task_runs() {
    let bench = Bench::start(vec![("side", job(5))]).await;
    let mut side = container("side", "side");
    side.essential = false;
    let task = task("sidecar", vec![container("main", "main"), side]);
    bench.control_plane.send_tasks(vec![task.clone()]).await;
    bench
        .control_plane
        .wait("the sidecar's end", |heard| {
            let reports = heard.reports(&task.arn);
            reports
                .iter()
                .any(|r| r.starts_with("RUNNING") && r.contains("side=STOPPED(5)"))
                .then_some(())
        })
        .await;
    assert!(bench.control_plane.look(|heard| heard.report(&task.arn, "STOPPED")).is_none());
}

#[tokio::test]
async fn a_restart_policy_works_without_the_control_plane() {
    let bench = Bench::start(vec![]).await;
    let mut main = container("main", "main");
    main.restart_policy = Some(RestartPolicy {
        enabled: true,
        ignored_exit_codes: vec![9],
        restart_attempt_period: Some(0),
    });
    let task = task("restarts", vec![main]);
    bench.control_plane.send_tasks(vec![task.clone()]).await;
    bench.control_plane.reported(&task.arn, "RUNNING").await;
    let id = bench.runtime.containers()[0].id.clone();
    for _ in 0..2 {
        bench.runtime.exit(&id, 1);
        while !bench.is_running(&id) {
            tokio::task::yield_now().await;
        }
    }
    bench.runtime.exit(&id, 9);
    let stopped = bench.control_plane.reported(&task.arn, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 9);
    let running = bench.control_plane.reports(&task.arn);
    let count = running.iter().filter(|report| report.starts_with("RUNNING")).count();
    assert_eq!(count, 1, "restarts are not reported: {running:?}");
}

#[tokio::test]
async fn tasks_that_cannot_run_are_refused_with_a_reason() {
    let bench = Bench::start(vec![]).await;
    let awsvpc = {
        let mut task = task("awsvpc", vec![container("main", "main")]);
        task.network_mode = Some("awsvpc".into());
        task
    };
    let cyclic = {
        let mut main = container("main", "main");
        main.depends_on =
            vec![Dependency { container_name: "main".into(), ..Dependency::default() }];
        task("cyclic", vec![main])
    };
    let empty_volume = {
        let mut task = task("emptyvolume", vec![container("main", "main")]);
        task.volumes = vec![Volume { name: "v".into(), ..Volume::default() }];
        task
    };
    for (task, acknowledged, expected) in [
        (awsvpc, true, "ResourceInitializationError: network mode awsvpc"),
        (cyclic, true, "TaskDependencyError: containers wait for each other: main"),
        (empty_volume, false, "UnrecogniedTaskError: Error loading task - invalid volume"),
    ] {
        let arn = task.arn.clone();
        let message = bench.control_plane.send_tasks(vec![task]).await;
        let stopped = bench.control_plane.reported(&arn, "STOPPED").await;
        let reason = stopped["reason"].as_str().unwrap_or_default();
        assert!(reason.starts_with(expected), "{reason}");
        if acknowledged {
            bench.control_plane.acknowledged(&message).await;
        }
    }
}

#[tokio::test]
async fn fifty_tasks_start_side_by_side() {
    let slow = Behavior {
        create_delay: Duration::from_millis(5),
        start_delay: Duration::from_millis(20),
        ..preloaded()
    };
    let bench = Bench::start(vec![("slow", slow)]).await;
    let tasks: Vec<_> =
        (0..50).map(|i| task(&format!("many{i}"), vec![container("main", "slow")])).collect();
    let began = std::time::Instant::now();
    bench.control_plane.send_tasks(tasks.clone()).await;
    for task in &tasks {
        bench.control_plane.reported(&task.arn, "RUNNING").await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(50 * 25), "no faster than one by one: {took:?}");
}

#[tokio::test]
async fn what_a_stopped_task_leaves_is_cleared_away() {
    let mut bench = Bench::start(vec![("job", job(0))]).await;
    bench.kill_agent().await;
    let mut config = crate::support::config(bench.control_plane.url(), bench.dir.path());
    config.cleanup.task_wait = Duration::from_millis(50);
    bench.start_agent_with(config);
    let mut task = task("clear", vec![container("main", "job")]);
    task.volumes =
        vec![Volume { name: "v".into(), host: Some(HostVolume::default()), ..Volume::default() }];
    bench.control_plane.send_tasks(vec![task.clone()]).await;
    bench.control_plane.reported(&task.arn, "STOPPED").await;
    let files = || std::fs::read_dir(bench.dir.path().join("tasks")).expect("a directory").count();
    let cleared = async {
        while !bench.runtime.containers().is_empty() || files() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cleared).await.expect("it is cleared away");
}

#[tokio::test]
async fn an_image_that_nothing_uses_is_removed() {
    let pulled = Behavior { exits_after: Some((Duration::ZERO, 0)), ..Behavior::default() };
    let mut bench = Bench::start(vec![("pulled", pulled)]).await;
    bench.kill_agent().await;
    let mut config = crate::support::config(bench.control_plane.url(), bench.dir.path());
    config.cleanup.task_wait = Duration::from_millis(20);
    config.cleanup.image_interval = Duration::from_millis(20);
    config.cleanup.image_min_age = Duration::ZERO;
    bench.start_agent_with(config);
    let stopped = bench.run_one("pulled", "STOPPED").await;
    assert!(stopped["pullStartedAt"].is_number() && stopped["pullStoppedAt"].is_number());
    let gone = async {
        while bench.runtime.inspect_image("pulled").await.expect("a look").is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is removed");
}

#[tokio::test]
async fn secrets_are_fetched_before_a_container_is_made() {
    let bench = Bench::start(vec![]).await;
    let secret = |name: &str, from: &str, provider: &str| Secret {
        name: name.into(),
        value_from: from.into(),
        provider: provider.into(),
        ..Secret::default()
    };
    let parameters = json!({ "Parameters": [{ "Name": "/db/host", "Value": "db.internal" }] });
    bench.control_plane.answer("GetParameters", parameters);
    let value = json!({ "SecretString": r#"{"password":"hush"}"# });
    bench.control_plane.answer("GetSecretValue", value);
    let mut main = container("main", "main");
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-x";
    main.secrets = vec![
        secret("HOST", "arn:aws:ssm:us-east-1:000000000000:parameter/db/host", "ssm"),
        secret("PASSWORD", &format!("{arn}:password::"), "asm"),
    ];
    let one = task("secrets", vec![main.clone()]);
    bench.control_plane.send_tasks(vec![one.clone()]).await;
    bench.control_plane.reported(&one.arn, "RUNNING").await;
    let environment = bench.runtime.environment(&bench.runtime.containers()[0].id);
    assert_eq!(
        (environment["HOST"].as_str(), environment["PASSWORD"].as_str()),
        ("db.internal", "hush")
    );
    let asked = bench.control_plane.look(|heard| {
        let mut calls = heard.calls.iter();
        calls.find(|(name, _)| name == "GetParameters").map(|(_, body)| body["Names"][0].clone())
    });
    assert_eq!(asked, Some("/db/host".into()));

    main.secrets = vec![secret("OTHER", &format!("{arn}:other::"), "asm")];
    let two = task("secretsmissing", vec![main]);
    bench.control_plane.send_tasks(vec![two.clone()]).await;
    let stopped = bench.control_plane.reported(&two.arn, "STOPPED").await;
    let reason = stopped["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("ResourceInitializationError: unable to pull secret OTHER"),
        "{reason}"
    );
}

impl Bench {
    fn is_running(&self, id: &str) -> bool {
        use longshore_agent::runtime::RuntimeState;
        self.runtime.containers().iter().any(|container| {
            container.id == id && matches!(container.state, RuntimeState::Running { .. })
        })
    }
}
