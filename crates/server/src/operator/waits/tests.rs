use super::*;
use crate::controllers::test_services::Scheduler;
use crate::test_records::scope;
use crate::test_server::{add_instance, agents, ask, server};

fn asked(server: &Server, query: &[(&str, &str)]) -> Result<Value, (StatusCode, String)> {
    let query = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    waits(server, &scope(), &query, clock::now())
}

#[tokio::test]
async fn what_waits_is_listed_until_it_runs() {
    let server = server().await;
    let scheduler = Scheduler::new(&server);
    let service = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1});
    ask(&server, "CreateService", service).await.expect("a service");
    scheduler.settle(&server).await;
    let all = asked(&server, &[]).expect("an answer");
    assert_eq!(all["services"][0]["serviceName"], "web");
    assert_eq!(all["services"][0]["steady"], false);
    assert_eq!(all["services"][0]["waits"][0]["cause"], "NO_PLACE");
    assert_eq!(all["tasks"], json!([]));

    add_instance(&server, 1000).await;
    scheduler.settle(&server).await;
    let one = asked(&server, &[("service", "web")]).expect("an answer");
    assert_eq!(one["services"][0]["waits"][0]["cause"], "STARTING");
    assert_eq!(one["tasks"][0]["waits"][0]["cause"], "AGENT");
    assert!(one["tasks"][0]["waits"][0]["since"].is_string());
    let id = one["tasks"][0]["task"].as_str().expect("an id").to_owned();

    agents(&server).await;
    scheduler.settle(&server).await;
    let all = asked(&server, &[]).expect("an answer");
    assert_eq!((&all["services"], &all["tasks"]), (&json!([]), &json!([])));
    let one = asked(&server, &[("service", "web")]).expect("an answer");
    assert_eq!(one["services"][0]["steady"], true);

    ask(&server, "StopTask", json!({"task": id, "reason": "enough"})).await.expect("stops");
    let one = asked(&server, &[("task", &id)]).expect("an answer");
    assert_eq!(one["tasks"][0]["waits"][0]["cause"], "STOPPING");
    agents(&server).await;
    let one = asked(&server, &[("task", &id)]).expect("an answer");
    let why = one["tasks"][0]["waits"][0]["what"].as_str().expect("text");
    assert!(why.starts_with("UserInitiated: enough"), "{why}");
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let server = server().await;
    let status = |query: &[(&str, &str)]| asked(&server, query).expect_err("refused").0;
    assert_eq!(status(&[("cluster", "no name")]), StatusCode::BAD_REQUEST);
    assert_eq!(status(&[("cluster", "nowhere")]), StatusCode::NOT_FOUND);
    assert_eq!(status(&[("service", "web")]), StatusCode::NOT_FOUND);
    assert_eq!(status(&[("service", "not a name")]), StatusCode::NOT_FOUND);
    assert_eq!(status(&[("task", "x")]), StatusCode::NOT_FOUND);
    assert_eq!(status(&[("task", &"0".repeat(32))]), StatusCode::NOT_FOUND);
}
