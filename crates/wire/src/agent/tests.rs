use super::*;

const MINIMAL: &str = r#"{"type":"PayloadMessage","message":{"messageId":"m1",
 "clusterArn":"arn:aws:ecs:us-east-1:000000000000:cluster/default",
 "containerInstanceArn":"arn:aws:ecs:us-east-1:000000000000:container-instance/default/1",
 "seqNum":1,"generatedAt":1700000000000,"aMemberOfTheFuture":{},
 "tasks":[{"arn":"arn:t/1","taskClusterArn":"arn:c","family":"sleep","version":"1","desiredStatus":"RUNNING",
  "networkMode":"bridge","launchType":"EC2","cpu":0.25,
  "containers":[{"name":"main","image":"bb:latest","cpu":64,"memory":64,"essential":true,
    "command":["sleep","30"],"environment":{"A":"b"},"links":null,
    "portMappings":[{"containerPort":8080,"hostPort":0,"protocol":"tcp"}],
    "mountPoints":[],"volumesFrom":[],"overrides":{"command":["x"]},
    "dependsOn":[{"containerName":"init","condition":"SUCCESS"}],
    "dockerConfig":{"version":"1.21","config":"{}","hostConfig":"{\"NetworkMode\":\"bridge\"}"}}],
  "volumes":[{"name":"v","host":{}}]},
  {"arn":"arn:t/2","desiredStatus":"RUNNING","containers":"none"}]}}"#;

#[test]
fn a_payload_is_read_and_a_bad_sibling_is_set_apart() {
    let AcsToAgent::Payload(payload) = AcsToAgent::decode(MINIMAL).expect("a payload") else {
        panic!("not a payload");
    };
    assert_eq!((payload.message_id.as_str(), payload.seq_num), ("m1", 1));
    let [task] = payload.tasks.as_slice() else { panic!("one readable task") };
    let [container] = task.containers.as_slice() else { panic!("one container") };
    assert_eq!(task.cpu, Some(0.25));
    assert_eq!(container.overrides.as_deref(), Some(r#"{"command":["x"]}"#));
    assert_eq!(container.depends_on[0].condition, DependencyCondition::Success);
    assert_eq!(task.volumes[0].host, Some(HostVolume::default()));
    assert_eq!(payload.unreadable[0].arn.as_deref(), Some("arn:t/2"));
    assert!(payload.unreadable[0].error.contains("sequence"), "{}", payload.unreadable[0].error);
}

#[test]
fn what_is_written_is_read_back() {
    let AcsToAgent::Payload(mut payload) = AcsToAgent::decode(MINIMAL).expect("a payload") else {
        panic!("not a payload");
    };
    payload.unreadable.clear();
    let message = AcsToAgent::Payload(payload);
    assert_eq!(AcsToAgent::decode(&message.encode()).expect("own frame"), message);
    assert!(!message.encode().contains("null"), "absent options are left out");
}

#[test]
fn a_stop_needs_an_arn_and_a_status_only() {
    let frame = r#"{"type":"PayloadMessage","message":{"messageId":"m","tasks":[{"arn":"a","desiredStatus":"STOPPED","containers":[]}]}}"#;
    let AcsToAgent::Payload(payload) = AcsToAgent::decode(frame).expect("a payload") else {
        panic!("not a payload");
    };
    assert_eq!(payload.tasks[0].desired_status, "STOPPED");
}

#[test]
fn an_unknown_type_is_kept_by_name() {
    let frame = r#"{"type":"FutureMessage","message":{"a":1}}"#;
    assert_eq!(
        AcsToAgent::decode(frame).expect("an envelope"),
        AcsToAgent::Unknown("FutureMessage".into())
    );
    assert!(matches!(AcsToAgent::decode("[]"), Err(EnvelopeError::Frame(_))));
    let bad = r#"{"type":"HeartbeatMessage","message":{"healthy":"yes"}}"#;
    assert!(matches!(AcsToAgent::decode(bad), Err(EnvelopeError::Message { .. })));
}

#[test]
fn acks_have_the_wire_names() {
    let ack = AcsToServer::IamRoleCredentialsAck(IamRoleCredentialsAckRequest {
        message_id: "m".into(),
        expiration: "2030-01-01T00:00:00Z".into(),
        credentials_id: "c".into(),
    });
    assert_eq!(
        ack.encode(),
        r#"{"type":"IAMRoleCredentialsAckRequest","message":{"messageId":"m","expiration":"2030-01-01T00:00:00Z","credentialsId":"c"}}"#
    );
    let ack = AcsToServer::HeartbeatAck(HeartbeatAckRequest { message_id: "h".into() });
    assert_eq!(ack.encode(), r#"{"type":"HeartbeatAckRequest","message":{"messageId":"h"}}"#);
}

#[test]
fn a_telemetry_frame_has_headers_before_its_envelope() {
    let message = TcsToServer::PublishHealth(PublishHealthRequest::default());
    let frame = sign_frame([("Authorization", "AWS4 …"), ("Host", "h")], &message.encode());
    let (headers, body) = split_signed_frame(&frame);
    assert_eq!(headers, "Authorization: AWS4 …\r\nHost: h");
    assert_eq!(TcsToServer::decode(body).expect("an envelope"), message);
    assert_eq!(split_signed_frame("{}"), ("", "{}"));
    let ack = TcsToAgent::decode(r#"{"type":"AckPublishMetric","message":{"message":"ok"}}"#);
    assert_eq!(ack.expect("an ack").type_name(), "AckPublishMetric");
}

#[test]
fn a_rejection_is_read_in_both_forms() {
    let inactive = Rejection {
        code: Rejection::INACTIVE_INSTANCE.into(),
        message: "Container instance is deregistered".into(),
    };
    assert_eq!(Rejection::decode(&inactive.encode()), Some(inactive.clone()));
    let framed = r#"{"type":"InactiveInstanceException","message":{"message":"Container instance is deregistered"}}"#;
    assert_eq!(Rejection::decode(framed), Some(inactive));
    assert_eq!(Rejection::decode("<html>"), None);
}

#[test]
fn credentials_stay_out_of_logs() {
    let credentials = RoleCredentials {
        secret_access_key: "hush".into(),
        session_token: "hush".into(),
        ..RoleCredentials::default()
    };
    assert!(!format!("{credentials:?}").contains("hush"));
}
