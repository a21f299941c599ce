use proptest::prelude::*;

use super::*;
use crate::{acm, ecs};

fn decode_error_text<T: Value>(body: &str) -> String {
    decode::<T>(body.as_bytes(), Peer::Client).err().expect("must fail").to_string()
}

#[test]
fn reads_and_writes_a_request() {
    let body = br#"{"taskDefinition":"web:1","count":2,"tags":[{"key":"a","value":"b"}],"new":1}"#;
    let request: ecs::RunTaskRequest = decode(body, Peer::Client).expect("valid");
    assert_eq!(request.task_definition, "web:1");
    assert_eq!(request.count, Some(2));
    let again: ecs::RunTaskRequest = decode(&encode(&request), Peer::Client).expect("valid");
    assert_eq!(again, request);
}

#[test]
fn names_the_member_that_is_wrong() {
    assert_eq!(
        decode_error_text::<ecs::RunTaskRequest>("{}"),
        "taskDefinition should not be null or empty."
    );
    assert_eq!(
        decode_error_text::<ecs::RunTaskRequest>(r#"{"taskDefinition":7}"#),
        "taskDefinition: expected a string, found a whole number"
    );
    let text = decode_error_text::<ecs::RegisterTaskDefinitionRequest>(
        r#"{"family":"f","containerDefinitions":[{"ulimits":[{"name":"x"}]}]}"#,
    );
    assert!(text.contains("containerDefinitions[0].ulimits[0]"), "{text}");
    let text = decode_error_text::<ecs::TagResourceRequest>(
        r#"{"resourceArn":"a","tags":[{"key":"","value":"b"}]}"#,
    );
    assert!(text.contains("'tags[0].key'") && text.contains("greater than or equal to 1"));
}

#[test]
fn malformed_input_is_a_serialization_error() {
    for body in ["{", "[]", "nul", "\"x\"", "{\"taskDefinition\":}", "\u{0}"] {
        let error = decode::<ecs::RunTaskRequest>(body.as_bytes(), Peer::Client).err();
        let problem = error.expect("must fail").problem;
        assert!(matches!(problem, Problem::Malformed(_)), "{body}: {problem:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(decode::<ecs::RunTaskRequest>(deep.as_bytes(), Peer::Client).is_err());
}

#[test]
fn a_newer_servers_values_are_skipped() {
    let body = br#"{"task":{"launchType":"MOON","lastStatus":"RUNNING"}}"#;
    let response: ecs::StopTaskResponse = decode(body, Peer::Server).expect("lenient");
    let task = response.task.expect("there");
    assert_eq!((task.launch_type, task.last_status.as_deref()), (None, Some("RUNNING")));
    assert!(decode::<ecs::StopTaskResponse>(body, Peer::Client).is_err());
}

#[test]
fn timestamps_are_epoch_seconds() {
    let task = ecs::Task { created_at: Some(Timestamp(1.700_4)), ..Default::default() };
    assert_eq!(encode(&task), br#"{"createdAt":1.7}"#);
}

#[test]
fn bytes_are_base64_and_not_shown() {
    let body = br#"{"Certificate":"AAEC","PrivateKey":"/w=="}"#;
    let request: acm::ImportCertificateRequest = decode(body, Peer::Client).expect("valid");
    assert_eq!(
        (request.certificate.0.as_slice(), &request.private_key.0[..]),
        (&[0, 1, 2][..], &[255][..])
    );
    assert_eq!(encode(&request), body);
    assert!(format!("{request:?}").contains("private_key: 1 bytes"));
    for bad in ["/w=", "/w", "a b=", "%", ""] {
        let body = format!(r#"{{"Certificate":"AAEC","PrivateKey":"{bad}"}}"#);
        let text = decode_error_text::<acm::ImportCertificateRequest>(&body);
        assert!(text.contains("PrivateKey"), "{bad}: {text}");
    }
}

#[test]
fn errors_carry_type_and_message() {
    let error =
        ecs::ErrorCode::ConflictException.error("no").with_list("resourceIds", vec!["x".into()]);
    let body = encode_error(&error);
    assert_eq!(decode_error(&body), Some(("ConflictException".into(), "no".into())));
    assert!(String::from_utf8(body).expect("text").contains(r#""resourceIds":["x"]"#));
}

proptest! {
    #[test]
    fn any_string_survives(text in ".*") {
        let request = ecs::StopTaskRequest { task: text, ..Default::default() };
        let body = encode(&request);
        let plain: serde_json::Value = serde_json::from_slice(&body).expect("valid JSON");
        prop_assert_eq!(plain["task"].as_str(), Some(request.task.as_str()));
        prop_assert_eq!(decode::<ecs::StopTaskRequest>(&body, Peer::Client).expect("valid"), request);
    }

    #[test]
    fn any_bytes_are_refused_or_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<ecs::RegisterTaskDefinitionRequest>(&body, Peer::Client);
    }
}
