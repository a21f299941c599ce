//! `longshore-sim`: runs seeds, many at once, or one with its story.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use longshore_sim::{Options, Outcome, run};

/// Runs the simulator.
#[derive(Parser)]
struct Args {
    /// Number of seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Seeds to draw at random besides.
    #[arg(long, default_value_t = 0)]
    random: u64,
    /// Simulated minutes of each run.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Runs one seed and tells its story.
    #[arg(long)]
    replay: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

#[expect(clippy::print_stdout, reason = "a command-line tool")]
fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let length = Duration::from_secs(args.minutes * 60);
    let options = |seed| Options { length, ..Options::new(seed) };
    if let Some(seed) = args.replay {
        let outcome = run(&options(seed));
        outcome.story.iter().for_each(|line| println!("{line}"));
        return report(&outcome);
    }
    let random = (0..args.random).map(|_| fastrand::u64(..));
    let seeds: Vec<u64> = (args.from..args.from + args.seeds).chain(random).collect();
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                loop {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed));
                    let Some(seed) = index.ok().and_then(|index| seeds.get(index)) else { return };
                    let outcome = run(&options(*seed));
                    steps.fetch_add(outcome.steps, Ordering::Relaxed);
                    if !outcome.violations.is_empty() {
                        report(&outcome);
                        failed.lock().expect("no thread panics with it").push(*seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no thread panics with it");
    let (seeds, steps, time) = (seeds.len(), steps.into_inner(), began.elapsed());
    println!(
        "{seeds} seeds of {} simulated minutes in {:.1}s: {steps} transactions, {} failed",
        args.minutes,
        time.as_secs_f64(),
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "a command-line tool")]
fn report(outcome: &Outcome) -> ExitCode {
    for violation in &outcome.violations {
        println!("seed {}: {}: {}", outcome.seed, violation.checker, violation.text);
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
