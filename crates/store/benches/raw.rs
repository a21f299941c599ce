//! How fast redb commits by itself: 32 threads, each committing one small transaction after the
//! other, each durable. The peer of `bench/scale.py`. Run with
//! `cargo bench -p longshore-store --bench raw -- DIRECTORY SECONDS BYTES`.
#![expect(clippy::print_stdout, reason = "a bench prints its numbers")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};

const WRITERS: u64 = 32;
const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("raw");

fn main() {
    // Cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [directory, seconds, bytes] = arguments.as_slice() else {
        // As `cargo test --benches` runs it.
        return println!("usage: raw DIRECTORY SECONDS BYTES");
    };
    let seconds = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let value = vec![b'x'; bytes.parse().expect("a number of bytes")];
    let file = PathBuf::from(directory).join("raw.redb");
    let database = Arc::new(Database::create(file).expect("the file can be made"));
    let commits = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let (database, commits, value) =
            (Arc::clone(&database), Arc::clone(&commits), value.clone());
        thread::spawn(move || {
            let mut number = 0_u64;
            while started.elapsed() < seconds {
                let key = format!("/key/{writer}/{}", number % 100);
                // Durable at once is the default.
                let txn = database.begin_write().expect("a transaction");
                txn.open_table(TABLE)
                    .expect("a table")
                    .insert(key.as_str(), value.as_slice())
                    .expect("it is written");
                txn.commit().expect("it is committed");
                commits.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.join().expect("a writer ends well");
    }
    let hundredths = u64::try_from(started.elapsed().as_millis() / 10).unwrap_or(u64::MAX).max(1);
    println!("{}", commits.load(Ordering::Relaxed) * 100 / hundredths);
}
