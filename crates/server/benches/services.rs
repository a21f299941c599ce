//! The service scheduler at scale, on one core: `cargo bench -p longshore-server --features measure`.
//!
//! One line per measurement, `work | time | target`: a pass over 1,000 services with 100,000 tasks
//! that has nothing to do, one where a single service changed, and the deployments of a service of
//! 5,000 tasks, as the sum of all their passes. Storing what was decided is not in the times.

#![expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]

use std::time::Duration;

use longshore_server::measure::{Bench, Measured};
use serde_json::json;

const SERVICES: usize = 1_000;
const TASKS_EACH: usize = 100;
const INSTANCES: usize = 1_250;
const TASKS: usize = 5_000;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    one_deployment().await;
    many_services().await;
}

async fn many_services() {
    let bench = Bench::new().await;
    for _ in 0..INSTANCES {
        bench.add_instance().await;
    }
    for number in 0..SERVICES {
        let input = json!({
            "serviceName": format!("service-{number}"),
            "taskDefinition": "web",
            "desiredCount": TASKS_EACH,
        });
        bench.ask("CreateService", input).await;
        if number % 50 == 49 {
            bench.settle().await;
        }
    }
    assert_eq!(bench.running(), SERVICES * TASKS_EACH);
    let (mut idle, mut changed) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        let pass = bench.pass().await;
        assert_eq!(pass.changes, 0, "nothing to do");
        idle = idle.min(pass.took);
        let input = json!({"service": "service-7", "desiredCount": TASKS_EACH + 1 + round});
        bench.ask("UpdateService", input).await;
        let pass = bench.pass().await;
        assert_eq!(pass.changes, 1, "one service only");
        changed = changed.min(pass.took);
        bench.settle().await;
    }
    println!("a pass over 100,000 tasks in 1,000 services, nothing to do | {idle:.2?} | < 200 ms");
    println!("the same, one service changed | {changed:.2?} | ");
}

async fn one_deployment() {
    let bench = Bench::new().await;
    for _ in 0..2 * TASKS / 80 {
        bench.add_instance().await;
    }
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": TASKS});
    bench.ask("CreateService", input).await;
    tell("a first deployment of 5,000 tasks planned", &bench.settle().await);
    assert_eq!(bench.running(), TASKS);
    bench.register().await;
    bench.ask("UpdateService", json!({"service": "web", "taskDefinition": "web"})).await;
    tell("a rolling deployment of 5,000 tasks planned", &bench.settle().await);
    assert_eq!(bench.running(), TASKS);
}

fn tell(work: &str, passes: &[Measured]) {
    let total: Duration = passes.iter().map(|pass| pass.took).sum();
    println!("{work}, {} passes together | {total:.2?} | < 100 ms", passes.len());
}
