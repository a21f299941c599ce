//! What containers and people on the machine can ask an agent, over its real listeners.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use longshore_wire::agent::RoleCredentials;

use crate::support::{Bench, config, container, task};

/// Address of every container of the simulated runtime.
const CONTAINER: &str = "127.0.3.2";

/// Status and body of a request to an address.
async fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let stream = TcpStream::connect(address).await.expect("the endpoint listens");
    ask_over(stream, address, method, path, body).await
}

/// The same from an address of this machine.
async fn get_from(source: &str, address: &str, path: &str) -> (u16, Value) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{source}:0").parse().expect("an address")).expect("it is ours");
    let address: SocketAddr = address.parse().expect("an address");
    let stream = socket.connect(address).await.expect("the endpoint listens");
    ask_over(stream, &address.to_string(), "GET", path, "").await
}

async fn ask_over(
    mut stream: TcpStream,
    address: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

/// Host and port of a URL.
fn authority(url: &str) -> String {
    let rest = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    if rest.contains(':') { rest.to_owned() } else { format!("{rest}:80") }
}

fn path(url: &str) -> String {
    let rest = url.trim_start_matches("http://");
    rest.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default()
}

#[tokio::test]
async fn a_container_learns_who_it_is() {
    let mut bench = Bench::start(vec![]).await;
    bench.kill_agent().await;
    let mut config = config(bench.control_plane.url(), bench.dir.path());
    config.endpoints = true;
    config.host_address = Some("127.0.1.77".parse().expect("an address"));
    config.availability_zone = Some("us-east-1a".into());
    bench.start_agent_with(config);
    let mut main = container("main", "main");
    main.health_check_type = Some("docker".into());
    let mut one = task("metadata", vec![main]);
    one.service_name = Some("web".into());
    (one.cpu, one.memory) = (Some(0.5), Some(128));
    one.role_credentials = Some(RoleCredentials {
        credentials_id: "c0ffee".into(),
        role_arn: "arn:aws:iam::000000000000:role/app".into(),
        access_key_id: "AKIAROLE".into(),
        secret_access_key: "s".into(),
        session_token: "t".into(),
        expiration: "2030-01-01T00:00:00Z".into(),
        credential_scope: None,
    });
    bench.control_plane.send_tasks(vec![one.clone()]).await;
    bench.control_plane.reported(&one.arn, "RUNNING").await;
    let environment = bench.runtime.environment(&bench.runtime.containers()[0].id);
    let Some(v4) = environment.get("ECS_CONTAINER_METADATA_URI_V4") else {
        eprintln!("no address for the endpoint on this machine: nothing to ask");
        return;
    };
    let endpoint = authority(v4);
    let get = |path: String| {
        let endpoint = endpoint.clone();
        async move { ask(&endpoint, "GET", &path, "").await }
    };

    let (status, own) = get(path(v4)).await;
    assert_eq!(
        (status, &own["Name"], &own["KnownStatus"]),
        (200, &json!("main"), &json!("RUNNING"))
    );
    assert_eq!(own["Labels"]["com.amazonaws.ecs.task-arn"], json!(one.arn));
    assert_eq!(
        own["Networks"][0],
        json!({ "NetworkMode": "bridge", "IPv4Addresses": ["127.0.3.2"] })
    );
    assert_eq!(own["Health"]["status"], "UNKNOWN");

    let (_, whole) = get(format!("{}/task", path(v4))).await;
    assert_eq!(whole["TaskARN"], json!(one.arn));
    assert_eq!(whole["Limits"], json!({ "CPU": 0.5, "Memory": 128 }));
    assert_eq!(
        (&whole["ServiceName"], &whole["AvailabilityZone"]),
        (&json!("web"), &json!("us-east-1a"))
    );
    assert_eq!(whole["Containers"].as_array().map(Vec::len), Some(1));

    let v3 = &environment["ECS_CONTAINER_METADATA_URI"];
    let (_, older) = get(format!("{}/task", path(v3))).await;
    assert_eq!((&older["Family"], &older["ServiceName"]), (&json!("test"), &Value::Null));

    let tags = json!({ "tags": [{ "key": "team", "value": "blue" }] });
    bench.control_plane.answer("ListTagsForResource", tags);
    let (_, tagged) = get(format!("{}/taskWithTags", path(v4))).await;
    assert_eq!(tagged["TaskTags"], json!({ "team": "blue" }));

    let (_, usage) = get(format!("{}/task/stats", path(v4))).await;
    assert!(usage.as_object().is_some_and(|all| all.len() == 1), "{usage}");

    let relative = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].clone();
    let from = |source: &'static str| {
        let (endpoint, relative) = (endpoint.clone(), relative.clone());
        async move { get_from(source, &endpoint, &relative).await }
    };
    let (_, credentials) = from(CONTAINER).await;
    assert_eq!(
        (&credentials["AccessKeyId"], &credentials["Token"]),
        (&json!("AKIAROLE"), &json!("t"))
    );
    for stranger in ["127.0.3.3", "127.0.0.1"] {
        let (status, refused) = from(stranger).await;
        assert_eq!((status, &refused["code"]), (400, &json!("InvalidIdInRequest")), "{stranger}");
    }
    let (status, refused) = get("/v2/credentials/guess".into()).await;
    assert_eq!((status, &refused["code"]), (400, &json!("InvalidIdInRequest")));
    let (status, _) = get("/v4/guess/task".into()).await;
    assert_eq!(status, 404);

    protection(&bench, &environment["ECS_AGENT_URI"], &one.arn).await;
    introspection(&one.arn).await;

    bench.control_plane.stop(&one.arn).await;
    bench.control_plane.reported(&one.arn, "STOPPED").await;
    let (status, _) = from(CONTAINER).await;
    assert_eq!(status, 400, "the role ends with its task");
}

async fn protection(bench: &Bench, uri: &str, arn: &str) {
    let protected = json!({ "protectedTasks": [{
        "taskArn": arn, "protectionEnabled": true, "expirationDate": 1_700_000_000.0,
    }] });
    bench.control_plane.answer("UpdateTaskProtection", protected);
    let wish = r#"{"ProtectionEnabled":true,"ExpiresInMinutes":5}"#;
    let path = format!("{}/task-protection/v1/state", path(uri));
    let (status, answer) = ask(&authority(uri), "PUT", &path, wish).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["protection"],
        json!({ "TaskArn": arn, "ProtectionEnabled": true, "ExpirationDate": "2023-11-14T22:13:20Z" })
    );
    let asked = bench.control_plane.look(|heard| {
        let mut calls = heard.calls.iter();
        calls.find(|(name, _)| name == "UpdateTaskProtection").map(|(_, body)| body.clone())
    });
    assert_eq!(asked.expect("the call")["expiresInMinutes"], 5);
    let (status, answer) = ask(&authority(uri), "PUT", &path, "{}").await;
    assert_eq!((status, &answer["error"]["Code"]), (400, &json!("InvalidParameterException")));
    let failure = json!({ "failures": [{ "arn": arn, "reason": "TASK_NOT_VALID" }] });
    bench.control_plane.answer("GetTaskProtection", failure);
    let (_, answer) = ask(&authority(uri), "GET", &path, "").await;
    assert_eq!(answer["failure"]["Reason"], "TASK_NOT_VALID");
}

async fn introspection(arn: &str) {
    let address = "127.0.1.77:51678";
    let (_, about) = ask(address, "GET", "/v1/metadata", "").await;
    assert_eq!(about["Cluster"], "default");
    let (_, tasks) = ask(address, "GET", "/v1/tasks", "").await;
    assert_eq!(tasks["Tasks"][0]["Arn"], arn);
    let id = tasks["Tasks"][0]["Containers"][0]["DockerId"].as_str().expect("an id");
    let (_, one) = ask(address, "GET", &format!("/v1/tasks?dockerid={id}"), "").await;
    assert_eq!(one["Arn"], arn);
    let (status, _) = ask(address, "GET", "/v1/tasks?taskarn=arn:none", "").await;
    assert_eq!(status, 404);
}
