//! The `longshore` binary: control plane, agent and tools.
//!
//! Data goes to standard output (tables for people, `--output json` for programs), progress and
//! logs to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 5 (agent only) do not
//! restart.

mod agent;
mod args;
mod audit;
mod balancer;
mod ca_file;
mod client;
mod compose;
mod ctl;
mod deploy;
mod dev;
mod failure;
mod files;
mod identity_key;
mod init;
#[cfg(feature = "lb")]
mod lb;
mod logging;
mod logs;
mod output;
mod progress;
mod rollout;
mod run;
mod server;
mod shutdown;
mod sim;
mod store;
mod task;

use std::num::NonZero;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command, Instead, ServerCommand};
use failure::Failure;

/// A server makes and frees millions of small things on many threads: this allocator takes less time for
/// it than that of the C library, and gives more of it back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads at least, also on a small machine: a controller that thinks about a large cluster keeps one
/// busy for a while, and requests are not to wait for it.
const THREADS: usize = 4;

/// Turns of a busy thread after which it looks for what has come in (tokio's own 61 let a request wait for
/// some milliseconds while thousands of agents report).
const EVENT_INTERVAL: u32 = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::init(&cli.log);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).max(THREADS);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).event_interval(EVENT_INTERVAL).enable_all();
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let why = format!("the operating system gives no threads or timers: {error}");
            return report(&Failure::new("cannot start", why));
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { endpoint, region, ca_file, output, command, .. } = cli;
    let trusted = || ca_file::find(ca_file.clone());
    match command {
        Command::Dev(options) => dev::run(options, &region).await,
        Command::Server(command) => {
            let ServerCommand { instead, options } = *command;
            match instead {
                Some(Instead::Init(options)) => init::run(options, output).await,
                None => server::run(options, &region).await,
            }
        }
        Command::Agent(options) => agent::run(options, &endpoint, &region, trusted()?).await,
        #[cfg(feature = "lb")]
        Command::Lb(options) => lb::run(options, &endpoint, &region, trusted()?).await,
        Command::Ctl(command) => {
            let client = client::connect(&endpoint, &region, &trusted()?)?;
            ctl::run(command, &client, &endpoint, output).await
        }
        Command::Run(options) => {
            run::run(options, &client::connect(&endpoint, &region, &trusted()?)?, output).await
        }
        Command::Deploy(options) => {
            deploy::run(options, &client::connect(&endpoint, &region, &trusted()?)?, output).await
        }
        Command::Sim(command) => sim::run(command, &endpoint, &region, trusted()?, output).await,
        Command::Env => {
            output::line(&args::exports(&endpoint, &region));
            if let Some(file) = &ca_file {
                output::line(&format!("export AWS_CA_BUNDLE={}", file.display()));
            }
            Ok(())
        }
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "longshore", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn report(failure: &Failure) -> ExitCode {
    output::error(&failure.to_string());
    ExitCode::from(failure.exit_code)
}
