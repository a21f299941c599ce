//! The service scheduler under a stopwatch, for `benches/services.rs`: a control plane in memory
//! that anything can be asked of, with agents that do at once what they are told. Only the
//! decisions are timed, neither the store nor the agents.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_domain::record::{ContainerStatus, DesiredStatus, TaskStatus};
use longshore_domain::time::Timestamp;
use serde_json::Value;

use super::driver::{Controller, Pass};
use super::services::Services;
use crate::test_server::{self, report};
use crate::{Server, clock};

/// Later than any task settles.
const LATER: Duration = Duration::from_secs(600);

/// A control plane in memory with its service scheduler, and the task definition `web:1`.
pub struct Bench {
    server: Arc<Server>,
    services: Services,
}

/// One pass.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// How long it took to decide.
    pub took: Duration,
    /// Number of services that change.
    pub changes: usize,
}

impl Bench {
    /// An empty one.
    pub async fn new() -> Self {
        let server = test_server::server().await;
        let services = Services::new(&server, &test_server::term(&server));
        Self { server, services }
    }

    /// Calls an operation of ECS, which must succeed.
    ///
    /// # Panics
    /// It is refused.
    pub async fn ask(&self, operation: &str, input: Value) -> Value {
        let answer = test_server::ask(&self.server, operation, input).await;
        answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Registers the next revision of `web`.
    pub async fn register(&self) {
        test_server::register(&self.server, "web").await;
    }

    /// Registers and connects an instance.
    pub async fn add_instance(&self) {
        test_server::add_instance(&self.server, 10_000).await;
    }

    /// Number of tasks that run and are to go on.
    pub fn running(&self) -> usize {
        let view = self.server.state.view();
        view.tasks.iter().filter(|task| longshore_domain::deploy::is_running(task)).count()
    }

    /// Passes, commits, and lets the agents act, until nothing changes; gives all passes.
    pub async fn settle(&self) -> Vec<Measured> {
        let mut passes = Vec::new();
        loop {
            let before = self.server.state.view().revision;
            passes.push(self.pass().await);
            self.agents().await;
            if self.server.state.view().revision == before {
                return passes;
            }
        }
    }

    /// One pass, with what it decides.
    ///
    /// # Panics
    /// The store refuses what was decided.
    pub async fn pass(&self) -> Measured {
        let view = self.server.state.view();
        let now = later();
        let started = Instant::now();
        let Pass { works, placed, .. } = self.services.pass(&view, now);
        let took = started.elapsed();
        let changes = works.len();
        let term = test_server::term(&self.server);
        for work in works {
            assert!(work.commit(&self.server, &term).await, "nobody gets in the way");
        }
        term.placer.landed(&placed);
        Measured { took, changes }
    }

    /// Agents do what is wanted of their tasks.
    async fn agents(&self) {
        let view = self.server.state.view();
        for row in view.tasks.iter() {
            match (row.desired, row.observed.status) {
                (DesiredStatus::Running, TaskStatus::Running) | (_, TaskStatus::Stopped) => {}
                (DesiredStatus::Running, _) => {
                    report(&self.server, row, ContainerStatus::Running).await;
                }
                (DesiredStatus::Stopped, _) => {
                    report(&self.server, row, ContainerStatus::Stopped).await;
                }
            }
        }
    }
}

fn later() -> Timestamp {
    clock::now() + LATER
}
