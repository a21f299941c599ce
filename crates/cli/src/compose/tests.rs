use super::*;
use longshore_wire::ecs::enums::{Scope, TransportProtocol};

const FILE: &str = r#"
services:
  web:
    image: web:1
    command: serve --port "80 80"
    environment: {A: 1, B: two}
    ports: ["8080:80", "53/udp", {target: 90, published: 9090}]
    volumes: ["data:/var/data", "/etc/hosts:/hosts:ro"]
    deploy:
      replicas: 3
      resources: {limits: {memory: 256M, cpus: "0.5"}}
      placement: {}
    healthcheck: {test: "curl localhost", interval: 1m30s, retries: 5}
    cap_add: [NET_ADMIN]
    init: true
    depends_on: [db]
networks: {back: {}}
"#;

#[test]
fn a_service_maps_to_a_task_definition() {
    let project = project(FILE).expect("valid");
    let service = &project.services[0];
    assert_eq!((service.name.as_str(), service.count), ("web", 3));
    let container = &service.definition.container_definitions[0];
    assert_eq!(
        container.command.as_deref(),
        Some(&["serve", "--port", "80 80"].map(String::from)[..])
    );
    assert_eq!((container.memory, container.cpu), (Some(256), Some(512)));
    let ports: Vec<_> = container
        .port_mappings
        .iter()
        .flatten()
        .map(|p| (p.container_port, p.host_port, p.protocol.map(TransportProtocol::as_str)))
        .collect();
    assert_eq!(
        ports,
        [
            (Some(80), Some(8080), Some("tcp")),
            (Some(53), None, Some("udp")),
            (Some(90), Some(9090), Some("tcp"))
        ]
    );
    let check = container.health_check.as_ref().expect("a check");
    assert_eq!((check.interval, check.retries), (Some(90), Some(5)));
    let volumes = service.definition.volumes.as_deref().expect("volumes");
    let docker = volumes[0].docker_volume_configuration.as_ref().expect("a named volume");
    assert_eq!(docker.scope, Some(Scope::Shared));
    assert_eq!(container.mount_points.as_ref().map(Vec::len), Some(2));
}

#[test]
fn what_has_no_place_is_named() {
    let project = project(FILE).expect("valid");
    assert_eq!(
        project.not_mapped,
        ["networks", "services.web.depends_on", "services.web.deploy.placement"]
    );
}

#[test]
fn a_service_that_cannot_run_says_why() {
    for (file, expected) in [
        ("services: {a: {build: .}}", "service a: it has no image"),
        ("services: {a: {image: x, ports: [x]}}", "service a: port x"),
        ("services: {a: {image: x, network_mode: overlay}}", "service a: network_mode overlay"),
        ("services: 7", "the file cannot be read"),
    ] {
        let error = project(file).expect_err("must fail").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_a_failed_update_does_becomes_a_circuit_breaker() {
    let of = |action: &str| {
        let config = format!("update_config: {{failure_action: {action}, parallelism: 2}}");
        project(&format!("services: {{a: {{image: x, deploy: {{{config}}}}}}}"))
    };
    for (action, expected) in
        [("rollback", (true, true)), ("pause", (true, false)), ("continue", (false, false))]
    {
        let project = of(action).expect("valid");
        let breaker = project.services[0].breaker.as_ref().expect("a breaker");
        assert_eq!((breaker.enable, breaker.rollback), expected, "{action}");
        assert_eq!(project.not_mapped, ["services.a.deploy.update_config.parallelism"]);
    }
    let error = of("panic").expect_err("must fail").to_string();
    assert!(error.starts_with("service a: deploy.update_config.failure_action"), "{error}");
    let silent = project("services: {a: {image: x, deploy: {replicas: 2}}}").expect("valid");
    assert!(silent.services[0].breaker.is_none());
}
