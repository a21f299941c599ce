//! Several servers on one store in memory, connected in memory, on a clock that only moves when
//! everybody waits.

mod cut;

use std::io;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use longshore_auth::{
    Account, Attached, Open, Permissions, Policies, Policy, Principal, PrincipalKind,
};
use longshore_domain::fidelity::Fidelity;
use longshore_domain::record::{AgentConnection, ContainerInstance};
use longshore_store::{MemoryStore, RecordTxn, Txn, TxnOutcome};
use longshore_wire::ecs::OperationName;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::duplex;
use tokio::time::Instant;

use self::cut::Cut;
use super::network::Peers;
use super::*;
use crate::call::Call;
use crate::test_records::scope;
use crate::{Config, Detached, MasterKey, Retention, start_detached};

/// Bytes that a connection holds.
const BUFFER: usize = 64 * 1024;
const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

/// Who answers at which host.
#[derive(Clone, Default)]
struct Wires(Arc<Mutex<BTreeMap<String, Detached>>>);

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wires")
    }
}

impl Wires {
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Detached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network for Wires {
    fn connect(&self, host: String, _: u16) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let found = self.hosts().get(&host).cloned();
        Box::pin(async move {
            let server = found.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, far) = duplex(BUFFER);
            tokio::spawn(async move { server.serve(far).await });
            Ok(Box::new(near) as Box<dyn Duplex>)
        })
    }
}

/// Servers on one store.
struct World {
    store: Arc<dyn Store>,
    wires: Wires,
}

impl World {
    /// Servers of these names, the first of which leads.
    async fn of(names: &[&str]) -> Self {
        let world = Self { store: Arc::new(MemoryStore::default()), wires: Wires::default() };
        for name in names {
            world.start(name).await;
        }
        world
    }

    async fn start(&self, name: &str) {
        self.start_on(name, Arc::clone(&self.store)).await;
    }

    async fn start_on(&self, name: &str, store: Arc<dyn Store>) {
        self.start_with(name, store, None).await;
    }

    async fn start_with(&self, name: &str, store: Arc<dyn Store>, key: Option<&MasterKey>) {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: crate::Tls::Off,
            region: scope().region,
            identity: crate::Identity::Given(Box::new(Open::new(Account::default()))),
            identity_key: key.cloned(),
            open: true,
            retention: Retention::default(),
            fidelity: Fidelity::default(),
            connections: longshore_domain::limits::CONNECTIONS,
            event_webhook: None,
            throttle: false,
            balancer_addresses: "127.0.2.0/24".parse().expect("a block"),
            role_life: crate::ROLE_LIFE,
            audit: None,
            membership: Membership {
                name: name.to_owned(),
                advertise: Some(format!("http://{name}")),
                network: Arc::new(self.wires.clone()),
            },
        };
        let server = start_detached(config, store).await.expect("it starts");
        self.wires.hosts().insert(name.to_owned(), server.clone());
        let mut roster = server.server.members.roster_changes();
        let there = |roster: &Arc<Roster>| roster.leader().is_some();
        roster.wait_for(there).await.expect("the server lives");
    }

    fn server(&self, name: &str) -> Arc<Server> {
        Arc::clone(&self.wires.hosts()[name].server)
    }

    /// Calls an operation at a server, over its front.
    async fn post(&self, name: &str, operation: &str, input: Value) -> (StatusCode, Value) {
        let request = Request::post(format!("http://{name}/"))
            .header("x-amz-target", format!("{TARGET}.{operation}"))
            .body(Full::new(Bytes::from(input.to_string())))
            .expect("a request");
        let answer = self.send(request).await;
        (answer.status(), serde_json::from_slice(answer.body()).expect("JSON"))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let client = Peers::new(Arc::new(self.wires.clone()), None);
        client.ask(request, Duration::from_secs(60)).await.expect("an answer")
    }

    async fn ask(&self, name: &str, operation: &str, input: Value) -> Value {
        let (status, answer) = self.post(name, operation, input).await;
        assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
        answer
    }

    /// A cluster, a task definition, and an instance whose session a server has.
    async fn furnish(&self, session: &str) {
        self.ask(session, "CreateCluster", json!({})).await;
        let container = json!({"name": "main", "image": "image", "cpu": 100, "memory": 64});
        let input = json!({"family": "web", "containerDefinitions": [container]});
        self.ask(session, "RegisterTaskDefinition", input).await;
        let integer = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 4096});
        let input = json!({"totalResources": [integer("CPU"), integer("MEMORY")]});
        self.ask(session, "RegisterContainerInstance", input).await;
        let server = self.server(session);
        let view = server.state.view();
        let row = view.container_instances.iter().next().expect("the instance");
        let id = server.members.id();
        let connection = AgentConnection { connected: true, since: clock::now(), server: id };
        let mut txn = RecordTxn::new();
        txn.update(row, &ContainerInstance { connection, ..row.record.clone() });
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    }
}

/// Whoever reads the store, or a backup of it, cannot speak as a server.
#[tokio::test(start_paused = true)]
async fn servers_with_an_identity_key_know_each_other_by_it() {
    let world = World::of(&[]).await;
    let key = MasterKey::fresh();
    let account = longshore_domain::ids::AccountId::default();
    crate::initialize(Arc::clone(&world.store), &key, account).await.expect("initialized");
    for name in ["one", "two"] {
        world.start_with(name, Arc::clone(&world.store), Some(&key)).await;
    }
    world.furnish("one").await;
    let run = world.ask("two", "RunTask", run_task()).await;
    assert_eq!(run["failures"], json!([]), "the leader believes it: {run}");
    assert_eq!(world.store.get("/longshore/hop-key").await.expect("read"), None);
}

fn run_task() -> Value {
    json!({"taskDefinition": "web"})
}

#[tokio::test(start_paused = true)]
async fn any_server_answers_and_the_leader_places() {
    let world = World::of(&["one", "two", "three"]).await;
    world.furnish("two").await;
    let leads = |name: &str| world.server(name).members.term().is_some();
    assert_eq!([leads("one"), leads("two"), leads("three")], [true, false, false]);
    for name in ["one", "two", "three"] {
        let run = world.ask(name, "RunTask", run_task()).await;
        let arn = &run["tasks"][0]["taskArn"];
        // At once, and from the server's own view.
        let described = world.ask(name, "DescribeTasks", json!({"tasks": [arn]})).await;
        assert_eq!(described["tasks"][0]["taskArn"], *arn, "{described}");
    }
    let (status, refused) =
        world.post("two", "RunTask", json!({"taskDefinition": "nothing"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["__type"].as_str().is_some_and(|code| code.ends_with("ClientException")));
    let input = json!({"taskDefinition": "web", "containerInstances": ["nothing"]});
    let started = world.ask("three", "StartTask", input).await;
    assert_eq!(started["failures"][0]["reason"], "MISSING");
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_can_commit_nothing() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("one").await;
    let (server, term) = (world.server("one"), world.server("one").members.term().expect("leads"));
    // Somebody else holds the office before the first one can know.
    let office = server.members.office(&world.store);
    let deposed = Txn::default().delete(office.key()).put("/longshore/deposed", "");
    let TxnOutcome::Committed { .. } = world.store.txn(deposed).await.expect("works") else {
        panic!("nothing is in the way")
    };
    assert!(!term.is_over(), "it believes that it leads");
    let cluster = server.state.view().clusters.iter().next().expect("the cluster").clone();
    let mut txn = RecordTxn::new();
    txn.remove(&cluster);
    let refused = server.commit_in(&term, txn.clone()).await.expect_err("it is deposed");
    assert!(term::has_moved(&refused), "{refused}");
    assert!(term.is_over());
    assert_eq!(server.commit_in(&term, txn).await.expect_err("it knows now"), refused);
    assert!(server.state.view().clusters.iter().next().is_some());
    // Whoever leads next goes on.
    world.ask("one", "RunTask", run_task()).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("two").await;
    let began = Instant::now();
    resign(&world.server("one")).await;
    let mut terms = world.server("two").members.term.subscribe();
    terms.wait_for(Option::is_some).await.expect("the server lives");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    // While it drains, it still answers.
    world.ask("one", "RunTask", run_task()).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_a_call_waits_and_is_told_so() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("two").await;
    resign(&world.server("two")).await;
    resign(&world.server("one")).await;
    let began = Instant::now();
    let (status, answer) = world.post("two", "RunTask", run_task()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("electing a leader")));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
    // Everything else goes on.
    world.ask("two", "ListTasks", json!({})).await;
    world.ask("two", "CreateCluster", json!({"clusterName": "more"})).await;
}

#[tokio::test(start_paused = true)]
async fn health_says_whether_a_server_is_of_use() {
    let world = World::of(&["one", "two", "three"]).await;
    world.wires.hosts().remove("three");
    let get = async |path: &str| {
        let request = Request::get(format!("http://two{path}")).body(Full::default());
        let answer = world.send(request.expect("a request")).await;
        (answer.status(), serde_json::from_slice::<Value>(answer.body()).unwrap_or_default())
    };
    assert_eq!(get("/_longshore/health/live").await.0, StatusCode::OK);
    let (status, ready) = get("/_longshore/health/ready").await;
    assert_eq!((status, &ready["leader"]), (StatusCode::OK, &json!("one")), "{ready}");
    let (_, told) = get("/_longshore/members").await;
    let rows = told["members"].as_array().expect("a list");
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).expect("the server");
    assert_eq!([&of("one")["leads"], &of("two")["leads"]], [true, false], "{told}");
    let well = |name: &str| of(name)["ready"] == true && of(name)["behind"] == 0;
    assert!(well("one") && well("two") && !well("three"), "{told}");
    let why = of("three")["why"][0].as_str().expect("a reason");
    assert!(why.contains("cannot be reached"), "{told}");

    resign(&world.server("two")).await;
    let (status, ready) = get("/_longshore/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready["why"], json!(["the server is about to stop"]));
    assert_eq!(get("/_longshore/health/live").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_asks_two_servers_registers_once() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("one").await;
    let before = world.server("one").state.view().container_instances.iter().count();
    let integer = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 4096});
    let register = json!({
        "totalResources": [integer("CPU"), integer("MEMORY")],
        "clientToken": "the same",
    });
    let ask = |name| world.ask(name, "RegisterContainerInstance", register.clone());
    // Neither view shows what the other server does at this moment.
    let (first, second) = tokio::join!(ask("one"), ask("two"));
    let arn = |answer: &Value| answer["containerInstance"]["containerInstanceArn"].clone();
    assert_eq!(arn(&first), arn(&second));
    let after = world.server("one").state.view().container_instances.iter().count();
    assert_eq!(after, before + 1);
}

#[tokio::test(start_paused = true)]
async fn any_server_explains_what_the_leader_refused() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("one").await;
    let container = json!({"name": "main", "image": "image", "memory": 100_000});
    let input = json!({"family": "huge", "containerDefinitions": [container]});
    world.ask("two", "RegisterTaskDefinition", input).await;
    let refused = world.ask("two", "RunTask", json!({"taskDefinition": "huge"})).await;
    assert_eq!(refused["failures"][0]["reason"], "RESOURCE:MEMORY", "{refused}");
    for name in ["one", "two"] {
        let url = format!("http://{name}/_longshore/explain?cluster=default&group=family:huge");
        let answer = world.send(Request::get(url).body(Full::default()).expect("a request")).await;
        let told: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(told["instances"][0]["reasons"][0]["code"], "RESOURCE:MEMORY", "{told}");
    }
}

/// A call by hop from `from` to `to`, as `from` would send it.
fn hop(world: &World, from: &str, to: &str, operation: OperationName) -> Request<Full<Bytes>> {
    let from = world.server(from);
    let call = Call {
        server: Arc::clone(&from),
        scope: scope(),
        principal: Principal::new(Account::default(), PrincipalKind::Root, None),
        permissions: Permissions::Account,
        origin: crate::access::Origin::default(),
        trace: Arc::default(),
        now: clock::now(),
        base_url: String::new(),
        term: None,
    };
    let target = format!("{TARGET}.{}", operation.info().name);
    let body = Bytes::from(run_task().to_string());
    let member = world.server(to).members.record();
    let what = hop::What::Call { target: &target, body: &body };
    from.members.request(&member, &call, what).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn a_call_is_authorized_before_it_is_passed_on() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("one").await;
    let server = world.server("two");
    let run = async |document: &str| {
        let attached = Attached {
            source: "inline policy p of user/ann".to_owned(),
            policy: Arc::new(Policy::parse(document).expect("a policy")),
        };
        let policies = Policies { identity: vec![attached], ..Policies::default() };
        let user = PrincipalKind::User { name: "ann".to_owned() };
        let call = Call {
            server: Arc::clone(&server),
            scope: scope(),
            principal: Principal::new(Account::default(), user, None),
            permissions: Permissions::by(policies),
            origin: crate::access::Origin::default(),
            trace: Arc::default(),
            now: clock::now(),
            base_url: String::new(),
            term: None,
        };
        let body = Bytes::from(run_task().to_string());
        place(call, OperationName::RunTask, &body).await
    };
    let reads = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ecs:Describe*", "Resource": "*"}]}"#;
    match run(reads).await {
        Placed::Here(Err(error)) => assert_eq!(error.code, "AccessDeniedException"),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.state.view().tasks.iter().count(), 0);
    let runs = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:RunTask",
        "Resource": "arn:aws:ecs:*:*:task-definition/web:*"}]}"#;
    match run(runs).await {
        Placed::There(passed) => assert_eq!(passed.status, StatusCode::OK),
        Placed::Here(outcome) => panic!("{outcome:?}"),
    }
    assert_eq!(server.state.view().tasks.iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hop_is_believed_once_and_only_with_its_seal() {
    let world = World::of(&["one", "two"]).await;
    world.furnish("one").await;
    let status = async |request| world.send(request).await.status();
    let good = hop(&world, "two", "one", OperationName::RunTask);
    assert_eq!(status(good.clone()).await, StatusCode::OK);
    assert_eq!(status(good).await, NOT_LEADER, "a second time");
    let onward = hop(&world, "one", "two", OperationName::RunTask);
    assert_eq!(status(onward).await, NOT_LEADER, "to one that does not lead");
    let mut elsewhere = hop(&world, "one", "two", OperationName::RunTask);
    *elsewhere.uri_mut() = "http://one/".parse().expect("a URL");
    assert_eq!(status(elsewhere).await, NOT_LEADER, "meant for another");

    let mut forged = Vec::new();
    let mut body = hop(&world, "two", "one", OperationName::RunTask);
    *body.body_mut() = Full::new(Bytes::from(r#"{"taskDefinition":"web","count":10}"#));
    forged.push(body);
    for header in ["longshore-hop", "longshore-hop-seal", "x-amz-target"] {
        let mut changed = hop(&world, "two", "one", OperationName::RunTask);
        let other = if header == "x-amz-target" {
            "AmazonEC2ContainerServiceV20141113.StartTask".to_owned()
        } else {
            "00".repeat(32)
        };
        changed.headers_mut().insert(header, other.parse().expect("a value"));
        forged.push(changed);
    }
    let mut unsealed = hop(&world, "two", "one", OperationName::RunTask);
    unsealed.headers_mut().remove("longshore-hop-seal");
    forged.push(unsealed);
    forged.push(hop(&world, "two", "one", OperationName::DeleteCluster));
    for request in forged {
        let answer = world.send(request).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.headers()[crate::front::ERROR_TYPE], "AccessDeniedException");
    }
    assert_eq!(world.server("one").state.view().tasks.iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_is_seen_to_leave() {
    let world = World::of(&["one", "two"]).await;
    let (one, id) = (world.server("one"), world.server("two").members.id());
    let mut roster = one.members.roster_changes();
    roster.wait_for(|roster| roster.members.len() == 2).await.expect("the server lives");
    assert_eq!(one.members.roster().left_at(id, Timestamp::from_millis(7)), None);
    let before = clock::now();
    world.server("two").stop();
    roster.wait_for(|roster| roster.members.len() == 1).await.expect("the server lives");
    let left = one.members.roster().left_at(id, Timestamp::from_millis(7));
    assert!(left.is_some_and(|left| left >= before), "{left:?}");
    let unseen = one.members.roster().left_at(id + 1, Timestamp::from_millis(7));
    assert_eq!(unseen, Some(Timestamp::from_millis(7)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_its_store_stops_before_another_begins() {
    let world = World::of(&[]).await;
    let way = Arc::new(Cut::new(&world.store));
    world.start_on("one", way.clone()).await;
    world.start("two").await;
    world.furnish("two").await;
    let (one, two) = (world.server("one"), world.server("two"));
    let term = one.members.term().expect("it leads");
    way.set(true);
    let mut terms = two.members.term.subscribe();
    terms.wait_for(Option::is_some).await.expect("the server lives");
    assert!(term.is_over(), "it stopped by itself");
    world.ask("two", "RunTask", run_task()).await;
    way.set(false);
    // It finds its way back, and to the leader.
    world.ask("one", "RunTask", run_task()).await;
    assert!(one.members.term().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_its_store_sends_agents_away_and_comes_back_as_another() {
    let world = World::of(&["one"]).await;
    let way = Arc::new(Cut::new(&world.store));
    world.start_on("two", way.clone()).await;
    let (one, two) = (world.server("one"), world.server("two"));
    let before = two.members.id();
    let began = Instant::now();
    way.set(true);
    let mut closing = two.members.closing();
    closing.wait_for(|closed| *closed).await.expect("the server lives");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(16), "{took:?}");
    let url = "http://two/_longshore/health/ready";
    let ready = world.send(Request::get(url).body(Full::default()).expect("a request")).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    way.set(false);
    closing.wait_for(|closed| !closed).await.expect("the server lives");
    let after = two.members.id();
    assert_ne!(after, before);
    let mut roster = one.members.roster_changes();
    let only_the_new = |roster: &Arc<Roster>| {
        roster.members.contains_key(&after) && !roster.members.contains_key(&before)
    };
    roster.wait_for(only_the_new).await.expect("the server lives");
}

#[tokio::test(start_paused = true)]
async fn a_server_alone_keeps_its_sessions_whatever_its_store_does() {
    let world = World::of(&[]).await;
    let way = Arc::new(Cut::new(&world.store));
    world.start_on("one", way.clone()).await;
    let one = world.server("one");
    let before = one.members.id();
    way.set(true);
    let mut standing = one.members.standing.subscribe();
    standing.wait_for(|in_it| !in_it).await.expect("the server lives");
    assert!(!one.members.is_closed(), "there is nowhere to go");
    way.set(false);
    standing.wait_for(|in_it| *in_it).await.expect("the server lives");
    assert_eq!(one.members.id(), before);
    let mut terms = one.members.term.subscribe();
    terms.wait_for(Option::is_some).await.expect("the server lives");
}
