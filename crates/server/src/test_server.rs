//! A server in memory for tests: calls go through the same dispatch as a client's, agents do at
//! once what they are told, and nothing happens in the background.

use std::sync::Arc;
use std::time::Duration;

use longshore_auth::{Account, IdentityProvider, Open, Principal, PrincipalKind};
use longshore_domain::lifecycle::{self, ContainerReport, TaskReport};
use longshore_domain::record::{
    AgentConnection, ContainerInstance, ContainerStatus, DesiredStatus, Task,
};
use longshore_store::{Leadership, MemoryStore, RecordTxn, Row, State, TxnOutcome};
use longshore_wire::ServiceError;
use longshore_wire::ecs::OperationName;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::call::Call;
use crate::identity::{MasterKey, Vault};
use crate::members::{Members, Term};
use crate::test_records::scope;
use crate::{Server, clock, ecs, front, operator, session};

/// How long it leads: longer than any test takes.
const TERM: Duration = Duration::from_secs(3600);

/// A server with the cluster `default` and the task definition `web:1`, which needs 100 CPU units.
pub(crate) async fn server() -> Arc<Server> {
    server_of(Box::new(Open::new(Account::default()))).await
}

/// The same with another identity provider.
pub(crate) async fn server_of(identity: Box<dyn IdentityProvider>) -> Arc<Server> {
    let state = State::open(Arc::new(MemoryStore::default())).await.expect("opens");
    let state = state.with_journal(clock::now);
    let server = Arc::new(Server {
        state,
        identity,
        is_iam: true,
        join_attempts: std::sync::Mutex::default(),
        vault: Some(Arc::new(Vault::new(&MasterKey::fresh()))),
        local_tls: None,
        uses: Arc::default(),
        web_keys: crate::sts::WebKeys::default(),
        region: scope().region,
        open: true,
        fidelity: longshore_domain::fidelity::Fidelity::default(),
        members: Members::alone(1),
        refusals: operator::Refusals::default(),
        sessions: session::Sessions::default(),
        metrics: front::Metrics::default(),
        admission: front::Admission::new(false),
        bodies: front::Bodies::default(),
        audit: crate::audit::Audit::off(),
        balancers: crate::balancers::Balancers::default(),
        balancer_addresses: "127.0.2.0/29".parse().expect("a block"),
        role_life: crate::ROLE_LIFE,
        shutdown: watch::Sender::new(false),
    });
    let office = Leadership::new(Arc::clone(server.state.store()), "test", "1", TERM);
    let leader = office.try_acquire().await.expect("the store works").expect("nobody leads");
    server.members.take_office(leader);
    ask(&server, "CreateCluster", json!({})).await.expect("a cluster");
    register(&server, "web").await;
    server
}

/// The term that the server is in for good.
pub(crate) fn term(server: &Server) -> Arc<Term> {
    server.members.term().expect("it leads")
}

/// Registers the next revision of a family.
pub(crate) async fn register(server: &Arc<Server>, family: &str) {
    let container = json!({"name": "main", "image": "image", "cpu": 100, "memory": 64});
    let input = json!({"family": family, "containerDefinitions": [container]});
    ask(server, "RegisterTaskDefinition", input).await.expect("a task definition");
}

/// Calls an operation as root.
pub(crate) async fn ask(
    server: &Arc<Server>,
    operation: &str,
    input: Value,
) -> Result<Value, ServiceError> {
    let call = Call {
        server: Arc::clone(server),
        scope: scope(),
        principal: Principal::new(Account::default(), PrincipalKind::Root, None),
        permissions: longshore_auth::Permissions::Account,
        origin: crate::access::Origin::default(),
        trace: Arc::default(),
        now: clock::now(),
        base_url: "http://127.0.0.1:4566".to_owned(),
        term: server.members.term(),
    };
    let name = OperationName::ALL.iter().find(|name| name.info().name == operation);
    let name = *name.expect("an operation of ECS");
    let output = ecs::dispatch(&call, name, input.to_string().as_bytes()).await?;
    Ok(serde_json::from_slice(&output).expect("JSON"))
}

/// Calls an operation that must fail, and gives the error as `code: message`.
pub(crate) async fn refused(server: &Arc<Server>, operation: &str, input: Value) -> String {
    ask(server, operation, input).await.expect_err("it is refused").to_string()
}

/// Registers and connects an instance; gives its ARN.
pub(crate) async fn add_instance(server: &Arc<Server>, cpu_units: u32) -> String {
    let integer =
        |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let resources = [integer("CPU", cpu_units), integer("MEMORY", 8192)];
    let input = json!({"totalResources": resources});
    let output = ask(server, "RegisterContainerInstance", input).await.expect("an instance");
    connect_all(server).await;
    let arn = &output["containerInstance"]["containerInstanceArn"];
    arn.as_str().expect("an ARN").to_owned()
}

/// All agents have sessions.
pub(crate) async fn connect_all(server: &Server) {
    let view = server.state.view();
    for row in view.container_instances.iter().filter(|row| !row.connection.connected) {
        let connection = AgentConnection { connected: true, since: clock::now(), server: 1 };
        let connected = ContainerInstance { connection, ..row.record.clone() };
        write(server, |txn| _ = txn.update(row, &connected)).await;
    }
}

/// All instances are as if an older longshore had registered them.
#[cfg(test)]
pub(crate) async fn forget_owners(server: &Server) {
    let view = server.state.view();
    for row in view.container_instances.iter() {
        let older = ContainerInstance { registered_by: None, ..row.record.clone() };
        write(server, |txn| _ = txn.update(row, &older)).await;
    }
}

/// Commits a change that nobody else is in the way of.
async fn write(server: &Server, change: impl FnOnce(&mut RecordTxn)) {
    let mut txn = RecordTxn::new();
    change(&mut txn);
    let outcome = server.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

/// Agents do what is wanted of their tasks.
pub(crate) async fn agents(server: &Server) {
    let wanted = |task: &Task| match task.desired {
        DesiredStatus::Running => ContainerStatus::Running,
        DesiredStatus::Stopped => ContainerStatus::Stopped,
    };
    let view = server.state.view();
    for row in view.tasks.iter() {
        report(server, row, wanted(row)).await;
    }
}

/// An agent reports a task.
pub(crate) async fn report(server: &Server, row: &Row<Task>, status: ContainerStatus) {
    let container = ContainerReport {
        name: "main".to_owned(),
        status: Some(status),
        exit_code: None,
        reason: None,
        runtime_id: None,
        image_digest: None,
        bindings: Vec::new(),
    };
    let report =
        TaskReport { status: Some(status), containers: vec![container], ..TaskReport::default() };
    let view = server.state.view();
    let definition = ecs::definition_of(&view, row).expect("a task definition");
    if let Some(next) = lifecycle::reported(row, &definition.spec, &report, clock::now()) {
        write(server, |txn| _ = txn.update(row, &next)).await;
    }
}
