//! The introspection endpoint on port 51678 of the agent's address: for people and tools on the
//! machine, not for containers.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{AgentHandle, document, serve};
use crate::clock::rfc3339;
use crate::engine::Query;
use crate::record::TaskRecord;
use crate::task::runtime_name;

const PORT: u16 = 51_678;

/// Serves the endpoint. Where the port is taken, another agent has it, and this one goes without.
pub(crate) async fn serve(agent: AgentHandle, address: Option<IpAddr>, parts: &mut JoinSet<()>) {
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let listener = match TcpListener::bind(SocketAddr::new(address, PORT)).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::info!(%address, port = PORT, %error, "no introspection endpoint");
            return;
        }
    };
    parts.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let agent = agent.clone();
            let service = service_fn(move |request| {
                let agent = agent.clone();
                async move { Ok::<_, Infallible>(respond(&agent, &request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            drop(tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke");
                }
            }));
        }
    });
}

async fn respond(agent: &AgentHandle, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| {
            percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
        })
    };
    let answer = match request.uri().path() {
        "/" => (StatusCode::OK, json!({ "AvailableCommands": ["/v1/metadata", "/v1/tasks"] })),
        "/v1/metadata" => (StatusCode::OK, metadata(agent)),
        "/v1/tasks" => tasks(agent, value("taskarn"), value("dockerid")).await,
        _ => serve::not_found("404 page not found"),
    };
    serve::response(answer)
}

fn metadata(agent: &AgentHandle) -> Value {
    json!({
        "Cluster": agent.hands.config.cluster,
        "ContainerInstanceArn": agent.hands.surroundings.container_instance_arn,
        "Version": concat!("Longshore Agent - v", env!("CARGO_PKG_VERSION")),
    })
}

async fn tasks(
    agent: &AgentHandle,
    arn: Option<String>,
    docker_id: Option<String>,
) -> serve::Answer {
    if let Some(id) = docker_id {
        let found = agent.ask(|reply| Query::Container(id, reply)).await.flatten();
        return match found {
            Some((record, _)) => (StatusCode::OK, task(agent, &record).await),
            None => (StatusCode::NOT_FOUND, json!({})),
        };
    }
    let mut all = agent.ask(Query::Tasks).await.unwrap_or_default();
    if let Some(arn) = arn {
        all.retain(|record| record.task.arn == arn);
        return match all.first() {
            Some(record) => (StatusCode::OK, task(agent, record).await),
            None => (StatusCode::NOT_FOUND, json!({})),
        };
    }
    let mut documents = Vec::with_capacity(all.len());
    for record in &all {
        documents.push(task(agent, record).await);
    }
    (StatusCode::OK, json!({ "Tasks": documents }))
}

async fn task(agent: &AgentHandle, record: &TaskRecord) -> Value {
    let mut containers = Vec::new();
    for (index, container) in record.task.containers.iter().enumerate() {
        let found = document::look(&agent.hands, record, index).await;
        let (facts, state) = (&record.containers[index], &record.state.containers[index]);
        let mut document = json!({
            "DockerId": facts.runtime_id.as_deref().unwrap_or_default(),
            "DockerName": runtime_name(&record.task, container),
            "Name": container.name,
            "Image": container.image,
            "ImageID": facts.image_id.as_deref().unwrap_or_default(),
            "Ports": document::ports(record, index),
            "Networks": document::networks(record, index, found.as_ref()),
            "Volumes": document::volumes(found.as_ref()),
        });
        if let Some(at) = state.created_at {
            document["CreatedAt"] = rfc3339(at).into();
        }
        if let Some(at) = state.started_at {
            document["StartedAt"] = rfc3339(at).into();
        }
        if container.restart_policy.is_some() {
            document["RestartCount"] = state.restarts.into();
        }
        containers.push(document);
    }
    json!({
        "Arn": record.task.arn,
        "DesiredStatus": record.state.desired.as_str(),
        "KnownStatus": document::known_status(record),
        "Family": record.task.family,
        "Version": record.task.version,
        "Containers": containers,
    })
}
