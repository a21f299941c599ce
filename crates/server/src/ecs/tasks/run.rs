//! RunTask and StartTask.

use std::collections::BTreeMap;

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, Resource, TaskId};
use longshore_domain::limits;
use longshore_domain::record::{
    ClientToken, DAEMON_GROUP, InstanceStatus, LaunchType, NetworkMode, PlacementConstraint,
    PlacementStrategy, Tags, Task, TaskDefinition,
};
use longshore_domain::schedule::{self, PlacementRequest, aws_failures};
use longshore_store::tables::ClientTokenKey;
use longshore_store::{RecordTxn, TxnOutcome, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{LaunchType as WireLaunch, PropagateTags};
use longshore_wire::ecs::{
    ErrorCode, Failure, NetworkConfiguration, RunTaskRequest, RunTaskResponse, StartTaskRequest,
    StartTaskResponse, TaskOverride,
};
use sha2::{Digest, Sha256};

use super::demand::{check_overrides, demand};
use super::{Launch, make_tasks};
use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::references::instance_ref;
use crate::ecs::{
    Roles, client_error, encode, invalid_parameter, lookup, placement, tags, task_definition_ref,
};

/// How often a placement is tried again when what it read has changed under it.
const ATTEMPTS: usize = 16;
/// Characters of a client token (ECS API).
const CLIENT_TOKEN_LEN: usize = 64;

/// What RunTask and StartTask have in common.
struct Common {
    cluster: Option<String>,
    task_definition: String,
    group: Option<String>,
    started_by: Option<String>,
    overrides: Option<TaskOverride>,
    enable_execute_command: bool,
    launch_type: LaunchType,
    managed_tags: bool,
    propagate_tags: Option<PropagateTags>,
    tags: Tags,
    network: Option<NetworkConfiguration>,
}

impl Common {
    fn check(&self) -> Result<(), ServiceError> {
        let long = |text: &Option<String>, limit| {
            text.as_ref().is_some_and(|text| text.chars().count() > limit)
        };
        if long(&self.started_by, limits::STARTED_BY_LEN) {
            return Err(invalid_parameter("startedBy cannot have more than 128 characters."));
        }
        if long(&self.group, limits::GROUP_LEN) {
            return Err(invalid_parameter("group cannot have more than 255 characters."));
        }
        if self.group.as_deref().is_some_and(is_reserved) {
            return Err(invalid_parameter("Invalid namespace for group."));
        }
        if self.propagate_tags == Some(PropagateTags::Service) {
            return Err(invalid_parameter("propagateTags SERVICE is only valid for services."));
        }
        Ok(())
    }

    /// What the tasks are made from.
    fn launch<'a>(
        &self,
        call: &'a Call,
        cluster: &'a longshore_domain::ids::ClusterName,
        definition: &'a TaskDefinition,
    ) -> Result<Launch<'a>, ServiceError> {
        match (definition.spec.network_mode, &self.network) {
            (NetworkMode::Awsvpc, None) => {
                return Err(invalid_parameter(
                    "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
                ));
            }
            (NetworkMode::Awsvpc, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                return Err(invalid_parameter(
                    "Network Configuration is not valid for the given networkMode of this task \
                     definition.",
                ));
            }
        }
        let overrides = check_overrides(self.overrides.as_ref(), &definition.spec)?;
        let source = call.arn(Resource::Cluster(cluster.clone()));
        Roles::named(&definition.document, overrides.as_ref())
            .check(&*call.server.identity, &source)?;
        let mut tags = match self.propagate_tags {
            Some(PropagateTags::TaskDefinition) => definition.tags.clone(),
            _ => Tags::new(),
        };
        tags.extend(self.tags.clone());
        if self.managed_tags {
            tags.insert("aws:ecs:clusterName".to_owned(), cluster.to_string());
        }
        Ok(Launch {
            scope: &call.scope,
            cluster,
            definition,
            launch_type: self.launch_type,
            group: self.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
            started_by: self.started_by.clone(),
            overrides,
            enable_execute_command: self.enable_execute_command,
            images: BTreeMap::new(),
            demand: demand(self.overrides.as_ref(), &definition.spec),
            tags,
        })
    }
}

/// The launch type of a request.
///
/// # Errors
/// `UnsupportedFeatureException` for one that needs AWS's own machines.
pub(in crate::ecs) fn launch_type(wanted: Option<WireLaunch>) -> Result<LaunchType, ServiceError> {
    match wanted {
        None | Some(WireLaunch::Ec2) => Ok(LaunchType::Ec2),
        Some(WireLaunch::External) => Ok(LaunchType::External),
        Some(other) => Err(ErrorCode::UnsupportedFeatureException.error(format!(
            "Launch type {other} is not available: Longshore runs tasks on registered container \
             instances. Use launch type EC2, or none."
        ))),
    }
}

/// RunTask.
pub(crate) async fn run(
    call: &Call,
    request: Authorized<RunTaskRequest>,
) -> Result<RunTaskResponse, ServiceError> {
    let (_, mut request) = request.into_parts();
    let token = Token::of(call, &mut request)?;
    if request.launch_type.is_some() && request.capacity_provider_strategy.is_some() {
        return Err(invalid_parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. \
             Remove one and try again.",
        ));
    }
    if let Some(item) = request.capacity_provider_strategy.iter().flatten().next() {
        return Err(client_error(format!(
            "The specified capacity provider '{}' was not found.",
            item.capacity_provider
        )));
    }
    let count = match request.count {
        None => 1,
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| (1..=limits::RUN_TASK_COUNT).contains(n))
            .ok_or_else(|| invalid_parameter("Task count must be between 1 and 10."))?,
    };
    let constraints = placement::constraints(request.placement_constraints)?;
    let strategies = placement::strategies(request.placement_strategy)?;
    let common = Common {
        cluster: request.cluster,
        task_definition: request.task_definition,
        group: request.group,
        started_by: request.started_by,
        overrides: request.overrides,
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        launch_type: launch_type(request.launch_type)?,
        managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        propagate_tags: request.propagate_tags,
        tags: tags::checked(request.tags)?,
        network: request.network_configuration,
    };
    common.check()?;
    for _ in 0..ATTEMPTS {
        let turn = call.term()?.placer.turn().await;
        let view = call.server.state.view();
        if let Some(tasks) = token.as_ref().and_then(|token| token.repeated(&view, call)) {
            return answer(&view, &tasks?, Vec::new());
        }
        let (tasks, failures) = decide(call, &view, &common, &constraints, &strategies, count)?;
        drop(turn);
        if tasks.is_empty() {
            return answer(&view, &tasks, failures);
        }
        if commit(call, &view, &common, &tasks, token.as_ref()).await? {
            return answer(&call.server.state.view(), &tasks, failures);
        }
    }
    Err(client_error("The cluster is changing too fast to place the task; try again."))
}

fn answer(
    view: &View,
    tasks: &[Task],
    failures: Vec<Failure>,
) -> Result<RunTaskResponse, ServiceError> {
    let include = longshore_wire::ecs::enums::TaskField::ALL;
    let tasks: Vec<_> =
        tasks.iter().map(|task| encode::task(view, task, include)).collect::<Result<_, _>>()?;
    Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

fn decide(
    call: &Call,
    view: &View,
    common: &Common,
    constraints: &[PlacementConstraint],
    strategies: &[PlacementStrategy],
    count: usize,
) -> Result<(Vec<Task>, Vec<Failure>), ServiceError> {
    let cluster = lookup::cluster(view, &call.scope, common.cluster.as_deref())?;
    let reference = task_definition_ref(&call.scope, &common.task_definition)?;
    let definition = lookup::runnable_task_definition(view, &call.scope, &reference)?;
    let launch = common.launch(call, &cluster.name, definition)?;
    let all = constraints.iter().chain(&definition.spec.placement_constraints);
    let constraints = placement::parsed(all)?;
    let ids: Vec<TaskId> = (0..count).map(|_| TaskId::fresh(&mut RandomIds)).collect();
    let request = PlacementRequest {
        tasks: &ids,
        group: &launch.group,
        demand: &launch.demand,
        required_attributes: &definition.spec.requires_attributes,
        constraints: &constraints,
        strategies,
        launch_type: launch.launch_type,
        capacity_provider: None,
        zones: &[],
    };
    let group = placement::counted_group(&constraints, &launch.group);
    let (tasks, report) =
        call.term()?.placer.place(&call.server.state, &call.scope, &cluster.name, group, |fleet| {
            let placement = schedule::place(&request, fleet);
            let tasks = make_tasks(&launch, &placement.assigned, call.now, &mut RandomIds);
            (tasks, (!placement.unplaced.is_empty()).then_some(placement.report))
        });
    let failures = report.map_or_else(Vec::new, |report| {
        call.server.refusals.note(call, &cluster.name, &launch.group, &report);
        wire_failures(aws_failures(&report, &call.scope, &cluster.name))
    });
    Ok((tasks, failures))
}

/// `failures[]`; without any instance there is still a reason.
fn wire_failures(failures: Vec<schedule::Failure>) -> Vec<Failure> {
    if failures.is_empty() {
        return vec![Failure {
            arn: None,
            reason: Some("No Container Instances were found in your cluster.".to_owned()),
            detail: None,
        }];
    }
    let wire =
        |f: schedule::Failure| Failure { arn: f.arn, reason: Some(f.reason), detail: f.detail };
    failures.into_iter().map(wire).collect()
}

/// Commits the tasks; `false` when what the placement read has changed.
async fn commit(
    call: &Call,
    view: &View,
    common: &Common,
    tasks: &[Task],
    token: Option<&Token>,
) -> Result<bool, ServiceError> {
    let mut txn = RecordTxn::new();
    txn.expect_unchanged(lookup::cluster(view, &call.scope, common.cluster.as_deref())?);
    for task in tasks {
        if let Some(row) = lookup::instance(view, &call.scope, &task.cluster, task.instance) {
            txn.expect_unchanged(row);
        }
        txn.insert(task);
    }
    if let Some(token) = token {
        let arn = |task: &Task| call.arn(Resource::Task(task.cluster.clone(), task.id));
        txn.insert(&ClientToken {
            scope: call.scope.clone(),
            operation: "RunTask".to_owned(),
            token: token.text.clone(),
            request_digest: token.digest.clone(),
            resources: tasks.iter().map(arn).collect(),
            expires_at: call.now + limits::CLIENT_TOKEN_RETENTION,
        });
    }
    let term = call.term()?;
    let outcome = call.server.commit_in(term, txn).await;
    term.placer.landed(tasks);
    Ok(matches!(outcome?, TxnOutcome::Committed { .. }))
}

/// Whether only services or daemons have tasks of such a group.
fn is_reserved(group: &str) -> bool {
    group.starts_with("service:") || group.starts_with(DAEMON_GROUP)
}

/// The client token of a RunTask call.
struct Token {
    text: String,
    digest: String,
}

impl Token {
    fn of(call: &Call, request: &mut RunTaskRequest) -> Result<Option<Self>, ServiceError> {
        let Some(text) = request.client_token.take().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if text.chars().count() > CLIENT_TOKEN_LEN
            || text.chars().any(|c| !('!'..='~').contains(&c))
        {
            return Err(invalid_parameter(
                "clientToken must have 1 to 64 printable ASCII characters.",
            ));
        }
        let digest = Sha256::digest(format!("{}{request:?}", call.principal.arn));
        Ok(Some(Self { text, digest: hex::encode(digest) }))
    }

    /// The tasks of the first call with this token, or why this is not that call again.
    fn repeated(&self, view: &View, call: &Call) -> Option<Result<Vec<Task>, ServiceError>> {
        let key = ClientTokenKey {
            scope: call.scope.clone(),
            operation: "RunTask".to_owned(),
            token: self.text.clone(),
        };
        let known = view.client_tokens.get(&key)?;
        if known.request_digest != self.digest {
            let error = ErrorCode::ConflictException
                .error("The clientToken was used before with other parameters.")
                .with_list("resourceIds", known.resources.clone());
            return Some(Err(error));
        }
        let tasks =
            known.resources.iter().filter_map(|arn| match arn.parse::<Arn>().ok()?.resource {
                Resource::Task(cluster, id) => {
                    lookup::task(view, &call.scope, &cluster, id).map(|row| row.record.clone())
                }
                _ => None,
            });
        Some(Ok(tasks.collect()))
    }
}

/// StartTask: on the named instances, whatever the placement strategy would say.
pub(crate) async fn start(
    call: &Call,
    request: Authorized<StartTaskRequest>,
) -> Result<StartTaskResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let instances = request.container_instances;
    if instances.is_empty() || instances.len() > limits::START_TASK_INSTANCES {
        return Err(invalid_parameter("containerInstances must name 1 to 10 container instances."));
    }
    let common = Common {
        cluster: request.cluster,
        task_definition: request.task_definition,
        group: request.group,
        started_by: request.started_by,
        overrides: request.overrides,
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        launch_type: LaunchType::Ec2,
        managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        propagate_tags: request.propagate_tags,
        tags: tags::checked(request.tags)?,
        network: request.network_configuration,
    };
    common.check()?;
    for _ in 0..ATTEMPTS {
        let turn = call.term()?.placer.turn().await;
        let view = call.server.state.view();
        let (tasks, failures) = decide_start(call, &view, &common, &instances)?;
        drop(turn);
        if tasks.is_empty() || commit(call, &view, &common, &tasks, None).await? {
            let RunTaskResponse { tasks, failures } =
                answer(&call.server.state.view(), &tasks, failures)?;
            return Ok(StartTaskResponse { tasks, failures });
        }
    }
    Err(client_error("The cluster is changing too fast to start the task; try again."))
}

fn decide_start(
    call: &Call,
    view: &View,
    common: &Common,
    names: &[String],
) -> Result<(Vec<Task>, Vec<Failure>), ServiceError> {
    let cluster = lookup::cluster(view, &call.scope, common.cluster.as_deref())?;
    let reference = task_definition_ref(&call.scope, &common.task_definition)?;
    let definition = lookup::runnable_task_definition(view, &call.scope, &reference)?;
    let launch = common.launch(call, &cluster.name, definition)?;
    let constraints = placement::parsed([])?;
    let request = PlacementRequest {
        tasks: &[],
        group: &launch.group,
        demand: &launch.demand,
        required_attributes: &definition.spec.requires_attributes,
        constraints: &constraints,
        strategies: &[],
        launch_type: launch.launch_type,
        capacity_provider: None,
        zones: &[],
    };
    let failure = |arn: String, reason: &str, detail: Option<String>| Failure {
        arn: Some(arn),
        reason: Some(reason.to_owned()),
        detail,
    };
    let place = |fleet: &schedule::Fleet<'_>| {
        let (mut assigned, mut failures, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let id = instance_ref(&call.scope, &cluster.name, name);
            let Some(node) = id.and_then(|id| fleet.node(id)) else {
                failures.push(failure(name.clone(), "MISSING", None));
                continue;
            };
            let id = node.instance.id;
            let arn = call.arn(Resource::ContainerInstance(cluster.name.clone(), id));
            if node.instance.status == InstanceStatus::Inactive {
                failures.push(failure(arn, "INACTIVE", None));
                continue;
            }
            let reasons = schedule::refusals(&request, node);
            if let Some(first) = reasons.first() {
                let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                failures.push(failure(arn, first.aws_reason(), Some(words.join("; "))));
            } else if !seen.contains(&id) {
                seen.push(id);
                assigned.push((TaskId::fresh(&mut RandomIds), id));
            }
        }
        (make_tasks(&launch, &assigned, call.now, &mut RandomIds), failures)
    };
    let group = Some(launch.group.as_str());
    Ok(call.term()?.placer.place(&call.server.state, &call.scope, &cluster.name, group, place))
}
