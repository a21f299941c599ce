use super::*;
use longshore_domain::record::NetworkMode;
use longshore_wire::ecs::LogConfiguration;
use longshore_wire::ecs::enums::LogDriver;

fn definition() -> ContainerDefinition {
    ContainerDefinition {
        name: Some("web".into()),
        image: Some("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1".into()),
        memory: Some(64),
        memory_reservation: Some(32),
        command: Some(vec!["serve".into()]),
        environment: Some(vec![KeyValuePair { name: Some("A".into()), value: Some("1".into()) }]),
        privileged: Some(true),
        ..ContainerDefinition::default()
    }
}

fn built(over: Option<&ContainerOverride>) -> Container {
    let task = crate::test_records::task(1);
    let document = TaskDefinition::default();
    let spec = TaskSpec {
        cpu_units: None,
        memory_mib: None,
        network_mode: NetworkMode::Host,
        containers: vec![],
        placement_constraints: vec![],
        requires_attributes: vec![],
    };
    container(&task, &definition(), over, &document, &spec)
}

#[test]
fn overrides_are_merged_and_only_the_command_is_passed_on() {
    let over = ContainerOverride {
        command: Some(vec!["other".into()]),
        environment: Some(vec![
            KeyValuePair { name: Some("A".into()), value: Some("2".into()) },
            KeyValuePair { name: Some("B".into()), value: Some("3".into()) },
        ]),
        memory: Some(128),
        ..ContainerOverride::default()
    };
    let container = built(Some(&over));
    assert_eq!(container.command, ["other"]);
    assert_eq!(container.overrides.as_deref(), Some(r#"{"command":["other"]}"#));
    assert_eq!(container.memory, 128);
    assert_eq!(container.environment["A"], "2");
    assert_eq!(container.environment["B"], "3");
    assert_eq!(container.environment["AWS_EXECUTION_ENV"], "AWS_ECS_EC2");
    assert_eq!(built(None).overrides.as_deref(), Some("{}"));
}

#[test]
fn docker_settings_go_into_docker_config() {
    let config = built(None).docker_config;
    let host: serde_json::Value =
        serde_json::from_str(&config.host_config.expect("a host config")).expect("JSON");
    assert_eq!(host["NetworkMode"], "host");
    assert_eq!(host["Privileged"], true);
    assert_eq!(host["MemoryReservation"], 32 * 1024 * 1024);
    assert!(host.get("Memory").is_none(), "the agent computes the hard limit");
}

#[test]
fn an_ecr_image_names_its_registry() {
    let auth = built(None).registry_authentication.expect("an ECR image").ecr_auth_data;
    let auth = auth.expect("ECR data");
    assert_eq!(auth.registry_id.as_deref(), Some("000000000000"));
    assert_eq!(auth.region.as_deref(), Some("us-east-1"));
}

#[test]
fn the_log_stream_of_a_container_is_named_after_its_task() {
    let options = [("awslogs-group", "g"), ("awslogs-stream-prefix", "p")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let log = LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(options.into()),
        secret_options: None,
    };
    let definition = ContainerDefinition { log_configuration: Some(log), ..definition() };
    let document = TaskDefinition::default();
    let task = longshore_domain::ids::TaskId::new(1);
    let config = docker::config(&definition, &document, NetworkMode::Bridge, None, task);
    let host: serde_json::Value =
        serde_json::from_str(&config.host_config.expect("a host config")).expect("JSON");
    let stream = format!("p/web/{task}");
    assert_eq!(
        host["LogConfig"]["Config"],
        serde_json::json!({ "awslogs-group": "g", "awslogs-stream": stream })
    );
}

#[test]
fn an_image_with_a_known_digest_keeps_it() {
    let digest = "sha256:00".to_owned();
    let cases = [
        ("nginx", "nginx@sha256:00"),
        ("nginx:1.29", "nginx@sha256:00"),
        ("host:5000/web/app", "host:5000/web/app@sha256:00"),
        ("host:5000/web/app:2", "host:5000/web/app@sha256:00"),
        ("nginx@sha256:11", "nginx@sha256:11"),
    ];
    for (written, expected) in cases {
        let definition =
            ContainerDefinition { image: Some(written.into()), ..ContainerDefinition::default() };
        assert_eq!(image(&definition, Some(&digest)), expected);
        assert_eq!(image(&definition, None), written);
    }
}
