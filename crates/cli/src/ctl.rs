//! `longshore ctl`: what the AWS CLI has no command for.

mod at;
pub(crate) mod audit;
mod ca;
mod consolidate;
mod doctor;
mod events;
mod explain;
pub(crate) mod iam;
mod join_token;
mod loadtest;
mod servers;
mod status;
mod store;

use longshore_agent::api::Api;

use crate::args::CtlCommand;
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Runs one command.
pub(crate) async fn run(
    command: CtlCommand,
    client: &Api,
    endpoint: &str,
    output: Output,
) -> Result<(), Failure> {
    match command {
        CtlCommand::Status => status::run(client, output).await,
        CtlCommand::Ca => ca::run(client, output).await,
        CtlCommand::Servers => servers::run(client, output).await,
        CtlCommand::Explain { subject, cluster, docker_socket } => {
            let asked = explain::Asked { client, cluster: &cluster, docker_socket: &docker_socket };
            asked.run(subject.as_deref(), output).await
        }
        CtlCommand::Events(options) => events::run(client, &options, output).await,
        CtlCommand::At { time, cluster, around } => {
            at::run(client, &time, &cluster, around, output).await
        }
        CtlCommand::Consolidate { cluster, below, execute } => {
            consolidate::run(client, &cluster, below, execute, output).await
        }
        CtlCommand::JoinToken { ttl, role } => {
            join_token::run(client, endpoint, ttl, &role, output).await
        }
        CtlCommand::Doctor { docker_socket } => doctor::run(client, &docker_socket, output).await,
        CtlCommand::Loadtest(options) => loadtest::run(options, output).await,
        CtlCommand::Audit(command) => audit::run(command, client, output).await,
        CtlCommand::Iam(command) => iam::run(&command, client, output).await,
        CtlCommand::Store(command) => store::run(command, client, output).await,
        CtlCommand::Reset => {
            let what = "cannot reset the server";
            client.operator("POST", "reset").await.map_err(failed(what))?;
            output::note("the server is empty; its instances stay");
            Ok(())
        }
    }
}
