//! Every limit in one place, beside the AWS quota or rule that it mirrors.

use core::time::Duration;

/// Longest name of a cluster, service or family (ECS API: 255 letters, numbers, hyphens, underscores).
pub const NAME_LEN: usize = 255;
/// Containers per task definition (ECS quota).
pub const CONTAINERS_PER_TASK_DEFINITION: usize = 10;
/// Bytes of a registered task definition (ECS quota: 64 KB).
pub const TASK_DEFINITION_BYTES: usize = 64 * 1024;
/// Tasks that one RunTask call may start (ECS API).
pub const RUN_TASK_COUNT: usize = 10;
/// Container instances that one StartTask call may name (ECS API).
pub const START_TASK_INSTANCES: usize = 10;
/// Placement strategies per service or RunTask call (ECS API).
pub const PLACEMENT_STRATEGIES: usize = 5;
/// Placement constraints, task definition and runtime together (ECS API).
pub const PLACEMENT_CONSTRAINTS: usize = 10;
/// Characters of a cluster query expression (ECS API).
pub const EXPRESSION_LEN: usize = 2000;
/// Nesting of parentheses and negations in a cluster query expression (ours: bounds the parser's stack).
pub const EXPRESSION_DEPTH: usize = 32;
/// Memory of one compiled regular expression in a cluster query expression, in bytes (ours).
pub const PATTERN_BYTES: usize = 1024 * 1024;
/// Nesting inside such a regular expression (ours: bounds the compiler's stack).
pub const PATTERN_DEPTH: u32 = 32;
/// Custom attributes per resource (ECS API, `AttributeLimitExceededException`).
pub const CUSTOM_ATTRIBUTES: usize = 10;
/// Tags per resource (ECS API).
pub const TAGS: usize = 50;
/// Resources that DescribeServices takes (ECS API).
pub const DESCRIBE_SERVICES: usize = 10;
/// Resources that DescribeTasks, DescribeContainerInstances and DescribeClusters take (ECS API).
pub const DESCRIBE: usize = 100;
/// Largest page of a List call (ECS API).
pub const PAGE_MAX: usize = 100;
/// Default page of ListServices (ECS API).
pub const PAGE_SERVICES: usize = 10;
/// Newest service events kept and returned (ECS: 100).
pub const SERVICE_EVENTS: usize = 100;
/// Bytes of the overrides JSON of RunTask and StartTask (ECS API: 8192 characters).
pub const OVERRIDES_BYTES: usize = 8192;
/// Characters of `startedBy` (ECS API).
pub const STARTED_BY_LEN: usize = 128;
/// Characters of a task group (ECS API).
pub const GROUP_LEN: usize = 255;
/// Characters of a stop reason or container reason (ECS API).
pub const REASON_LEN: usize = 1024;
/// Bytes of a request body that the front accepts.
pub const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all bodies together that have come or are being answered, but for the first of each (ours: 64 of the
/// largest; what finds no room is refused, so that nobody can fill the memory by bodies).
pub const BODIES_BYTES: usize = 256 * 1024 * 1024;
/// First bytes of a body that do not count (ours: most requests are smaller, and are answered whatever others send).
pub const SMALL_BODY_BYTES: usize = 8 * 1024;
/// Resources and values of condition keys that policies are asked about for one request (ours: no operation takes
/// so many; what names more is refused before all of it is asked).
pub const QUESTIONS: usize = 500;
/// Bytes of them (ours: a hundred tasks of a cluster with the longest name take a third of it).
pub const QUESTIONS_BYTES: usize = 128 * 1024;
/// Bytes of a resource that policies are asked about (IAM: ARNs have 2,048 characters at most).
pub const RESOURCE_BYTES: usize = 2048;
/// How long a stopped task stays describable (ECS: at least one hour).
pub const STOPPED_TASK_RETENTION: Duration = Duration::from_secs(3600);
/// How long a deleted cluster or service stays describable as INACTIVE (ours; ECS: "for a period").
pub const INACTIVE_RETENTION: Duration = Duration::from_secs(3600);
/// How long a client token is remembered (ours; ECS does not document it).
pub const CLIENT_TOKEN_RETENTION: Duration = Duration::from_secs(24 * 3600);
/// Attempts to stop a container before its task is given up as stopped (ours).
pub const STOP_ATTEMPTS: u32 = 3;
/// Pause before a container is stopped again, times the attempts so far (ours).
pub const STOP_RETRY: Duration = Duration::from_secs(2);
/// Exit code of a container that was never made because of its dependencies (as the ECS agent reports).
pub const UNSTARTABLE_EXIT_CODE: i32 = 143;
/// Tasks of a service or daemon that one transaction starts, stops or settles; with two compares
/// each they fit one of the store (ours).
pub const SERVICE_CHANGES: usize = 56;
/// Tasks that one pass over a service starts and stops, in as many transactions as that takes
/// (ours; bounds how long a pass decides). The next pass follows at once.
pub const SERVICE_MOVES: usize = 2_016;
/// Tasks that one pass starts for all services together, before the others wait for the next (ours;
/// bounds how long placement is kept from everybody else).
pub const PASS_STARTS: usize = 8_064;
/// Longest delay between attempts to start tasks that never run (ECS: 15 minutes).
pub const RESTART_DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// First such delay; it doubles with each round of failures (ours; ECS does not document the curve).
pub const RESTART_DELAY_MIN: Duration = Duration::from_secs(5);
/// How long a service whose tasks have no place waits at most before it looks again although nothing in
/// its cluster has changed (ours).
pub const BLOCKED_RETRY: Duration = Duration::from_secs(15);
/// Rounds of failures after which a service counts as unable to start tasks (ours).
pub const IMPAIRED_ROUNDS: u32 = 3;
/// How long a new task without health check must run to count toward the minimum healthy percent
/// (ECS API: 40 seconds).
pub const SETTLING_TIME: Duration = Duration::from_secs(40);
/// A service task that exits sooner after it was RUNNING is in a crash loop, where these count (ours).
pub const CRASH_LOOP: Duration = Duration::from_secs(60);
/// After how long an event is repeated while its cause lasts (ECS: 6 hours).
pub const EVENT_REPETITION: Duration = Duration::from_secs(6 * 3600);
/// Largest desired count of a service (ECS quota: 5,000 tasks per service).
pub const SERVICE_TASKS: u32 = 5000;
/// Task sets per service (ECS).
pub const TASK_SETS: usize = 5;
/// Characters of the client token of CreateService and CreateTaskSet (ECS API).
pub const SERVICE_CLIENT_TOKEN_LEN: usize = 36;
/// Smallest and largest number of failures that a `BOUNDED_PERCENT` circuit breaker fails a deployment
/// at (ECS: 3 and 200).
pub const BREAKER_THRESHOLD_MIN: u32 = 3;
/// See [`BREAKER_THRESHOLD_MIN`].
pub const BREAKER_THRESHOLD_MAX: u32 = 200;
/// Minutes that a lifecycle hook waits by default (ECS API: 24 hours).
pub const HOOK_TIMEOUT_MIN: u32 = 1440;
/// The same at most for hooks of type PAUSE, and for others (ECS: 14 days, a day).
pub const HOOK_TIMEOUT_MAX_MIN: (u32, u32) = (20_160, 1440);
/// Lifecycle hooks of one type per service (ECS).
pub const HOOKS: usize = 10;
/// How long after its answer IN_PROGRESS a hook is called again unless it says so (ECS: 30 seconds).
pub const HOOK_CALLBACK: Duration = Duration::from_secs(30);
/// The same at most (ours).
pub const HOOK_CALLBACK_MAX: Duration = Duration::from_secs(24 * 3600);
/// Calls in a row that may fail to reach a hook; then the deployment goes back (ours).
pub const HOOK_ATTEMPTS: u32 = 3;
/// Bytes of the `hookDetails` that a hook hands to its next call, all answers together (ours).
pub const HOOK_DETAILS_BYTES: usize = 64 * 1024;
/// Pause before a hook that was not reached is called again, times the calls so far (ours).
pub const HOOK_RETRY: Duration = Duration::from_secs(1);
/// Longest bake time of a deployment or of one of its steps in minutes (ECS API: a day).
pub const BAKE_TIME_MIN: u32 = 1440;
/// Default page of ListServiceDeployments (ECS API).
pub const PAGE_SERVICE_DEPLOYMENTS: usize = 20;
/// Resources that DescribeServiceDeployments and DescribeServiceRevisions take (ECS API).
pub const DESCRIBE_SERVICE_DEPLOYMENTS: usize = 20;
/// Share of the instances, in percent, that a daemon deployment renews at a time by default (ECS: 25).
pub const DAEMON_DRAIN_PERCENT: f64 = 25.0;
/// Longest bake time of a daemon deployment in minutes (ECS: a day).
pub const DAEMON_BAKE_MIN: u32 = 1440;
/// How long a daemon task without health check must run before its instance counts as renewed (ours: ECS
/// replaces the machine instead).
pub const DAEMON_SETTLING_TIME: Duration = Duration::from_secs(5);
/// How long a daemon task must have run to be started again at once when it ends (ours).
pub const DAEMON_LASTING_TIME: Duration = RESTART_DELAY_MAX;
/// Failed daemon tasks that a deployment may have; half the instances, if that is more and below
/// [`BREAKER_THRESHOLD_MAX`] (ours; ECS does not document the threshold of daemons).
pub const DAEMON_BREAKER_THRESHOLD_MIN: u32 = 3;
/// Names that CreateDaemon and UpdateDaemon take as capacity providers (ours).
pub const DAEMON_CAPACITY_PROVIDERS: usize = 100;
/// How long a finished service deployment stays describable (ECS: 90 days).
pub const SERVICE_DEPLOYMENT_RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);
/// Instances that a service action names (ours; bounds the size of an event).
pub const EVENT_INSTANCES: usize = 100;
/// How long the journal reaches back, unless asked otherwise (ours; AWS keeps none).
pub const JOURNAL_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Revisions of the store that the journal reaches back at most, whatever its age (ours).
pub const JOURNAL_REVISIONS: u64 = 1_000_000;
/// Requests, without those of agents, that are answered at the same time before reads are refused (ours: each
/// waits for the store or for one of a few cores, so that more of them only make all slower).
pub const REQUESTS_BEFORE_READS_GIVE_WAY: usize = 1024;
/// The same for requests that change something (ours).
pub const REQUESTS_BEFORE_CHANGES_GIVE_WAY: usize = 2048;
/// Requests of agents that are answered at the same time (ours: thousands of agents that report at once wait
/// their turn at the store; ours have two reports under way, those of ECS ten).
pub const AGENT_REQUESTS: usize = 32_768;
/// Requests of agents that are answered at the same time; the others wait for their turn (ours; enough
/// for the store to write them in groups, and few enough that others do not wait behind a whole group).
pub const AGENT_REQUESTS_AT_ONCE: usize = 128;
/// Callers, times kinds of call, whose rate is remembered, before those that are quiet are forgotten (ours).
pub const THROTTLED_CALLERS: usize = 10_000;
/// Connections at the same time; more wait to be accepted (ours: an agent has two, and two more while it reports;
/// that of ECS ten more).
pub const CONNECTIONS: usize = 131_072;
/// Sessions per second that repeat to their agents what these have already reported on (ours: 10,000 agents that
/// come back together are told within 20 seconds, while new work goes out at once).
pub const RESENDS_PER_SECOND: u32 = 500;
/// Longest that a session waits before it repeats (ours; shorter than a delivery is left unanswered).
pub const RESEND_SPREAD: Duration = Duration::from_secs(60);
/// How long the keys of a machine last that joined by a token (ours: a machine may be away for a week and come
/// back; keys that somebody copied from it are no longer good than that, unless they are renewed).
pub const JOINED_KEYS_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Wrong join tokens of one address at once; then one per second (ours: nobody who has a token errs more often).
pub const FAILED_ATTEMPTS: u32 = 10;
/// Addresses whose wrong join tokens are remembered (ours).
pub const FAILED_ADDRESSES: usize = 1024;
/// Longest that a join token may be left unused (ours: as long as the keys that it gives).
pub const JOIN_TOKEN_LIFE_MAX: Duration = JOINED_KEYS_LIFE;
/// Join tokens of an account that are not used yet (ours; a fleet that boots at once takes some hundreds).
pub const JOIN_TOKENS: usize = 1000;
