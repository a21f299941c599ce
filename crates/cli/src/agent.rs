//! `longshore agent`: one container instance.

use longshore_agent::{AgentError, AwsLogs, Config, Credentials, PullBehavior};

use crate::args::{AgentOptions, DEFAULT_ENDPOINT};
use crate::ca_file::Trusted;
use crate::failure::Failure;
use crate::{client, shutdown};

/// Exit code that tells a supervisor not to start the agent again.
const TERMINAL: u8 = 5;

/// Runs the agent until it is asked to stop; its containers keep running.
pub(crate) async fn run(
    options: AgentOptions,
    endpoint: &str,
    region: &str,
    trusted: Trusted,
) -> Result<(), Failure> {
    let credentials: Credentials = client::credentials();
    let mut config = Config::new(endpoint, region, credentials, options.cluster, options.data_dir);
    config.endpoint_is_default = endpoint == DEFAULT_ENDPOINT;
    config.trust = trusted.trust;
    // The authority of a token is of that very control plane, which AWS's variable may not be meant for.
    config.trust_is_default = !trusted.is_chosen;
    config.join = options.join;
    if let Some(age) = options.renew_after {
        config.renew_after = age;
    }
    config.host_address = options.host_address;
    config.availability_zone = options.availability_zone;
    config.docker_socket = options.docker_socket;
    config.cpu_units = options.cpu;
    config.memory_mib = options.memory;
    config.reserved_memory_mib = options.reserved_memory;
    config.attributes = options.attributes.into_iter().collect();
    if options.cloudwatch_logs {
        config.awslogs = AwsLogs::CloudWatch;
    }
    if options.prefer_cached {
        config.pull = PullBehavior::PreferCached;
    }
    longshore_agent::run(config, shutdown::requested()).await.map_err(|error| failure(&error))
}

/// The failure of an agent, with the exit code that a supervisor reads.
pub(crate) fn failure(error: &AgentError) -> Failure {
    let failure = Failure::caused("the agent stopped", error);
    // Starting again cannot help where the set-up is wrong.
    let terminal = match error {
        AgentError::Endpoint(_)
        | AgentError::OtherCluster { .. }
        | AgentError::KeysEnded(_)
        | AgentError::Stranger(_)
        | AgentError::Plain(_)
        | AgentError::Authority(_) => true,
        AgentError::Register(cause) | AgentError::Join(cause) => !cause.is_temporary(),
        AgentError::Runtime(_)
        | AgentError::DataDir { .. }
        | AgentError::Deregister(_)
        | AgentError::Tls(_) => false,
    };
    let failure = match error {
        AgentError::KeysEnded(_) | AgentError::Join(_) => failure.fix(
            "make a token with `longshore ctl join-token`, and start the agent with it: \
             LONGSHORE_JOIN_TOKEN=TOKEN longshore agent, with the same data directory",
        ),
        AgentError::Plain(_) => {
            failure.fix("leave --endpoint and AWS_ENDPOINT_URL out: the token says where to go")
        }
        AgentError::Stranger(_) | AgentError::Authority(_) => failure.fix(
            "make a token at the control plane that is meant, with `longshore ctl join-token`; if its \
             certificate is of another authority (a proxy in front of it, or files), name that with \
             --ca-file FILE",
        ),
        _ => failure,
    };
    if terminal { failure.exit_code(TERMINAL) } else { failure }
}
