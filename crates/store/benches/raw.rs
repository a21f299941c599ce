//! How fast an engine commits by itself, through its own client: 32 writers, each committing one small
//! durable change after the other. The peers of `bench/scale.py`. Run with
//! `cargo bench -p longshore-store --bench raw -- redb DIRECTORY SECONDS BYTES` or
//! `… -- etcd HOST:PORT,HOST:PORT SECONDS BYTES`.
#![expect(clippy::print_stdout, reason = "a bench prints its numbers")]

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcd_client::Client;
use redb::{Database, TableDefinition};

const WRITERS: u64 = 32;
const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("raw");

fn main() {
    // Cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [engine, place, seconds, bytes] = arguments.as_slice() else {
        // As `cargo test --benches` runs it.
        return println!("usage: raw redb|etcd PLACE SECONDS BYTES");
    };
    let seconds = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let value = vec![b'x'; bytes.parse().expect("a number of bytes")];
    let started = Instant::now();
    let commits = match engine.as_str() {
        "redb" => redb(place, &value, seconds),
        "etcd" => etcd(place, &value, seconds),
        other => panic!("no engine {other}"),
    };
    let hundredths = u64::try_from(started.elapsed().as_millis() / 10).unwrap_or(u64::MAX).max(1);
    println!("{}", commits * 100 / hundredths);
}

/// The key that a writer writes next.
fn key(writer: u64, number: u64) -> String {
    format!("/key/{writer}/{}", number % 100)
}

fn redb(directory: &str, value: &[u8], limit: Duration) -> u64 {
    let file = PathBuf::from(directory).join("raw.redb");
    let database = Arc::new(Database::create(file).expect("the file can be made"));
    let started = Instant::now();
    let write = |writer: u64| {
        let (database, value) = (Arc::clone(&database), value.to_vec());
        thread::spawn(move || {
            let mut number = 0;
            while started.elapsed() < limit {
                // Durable at once is the default.
                let txn = database.begin_write().expect("a transaction");
                txn.open_table(TABLE)
                    .expect("a table")
                    .insert(key(writer, number).as_str(), value.as_slice())
                    .expect("it is written");
                txn.commit().expect("it is committed");
                number += 1;
            }
            number
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(write).collect();
    writers.into_iter().map(|writer| writer.join().expect("a writer ends well")).sum()
}

fn etcd(endpoints: &str, value: &[u8], limit: Duration) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let endpoints: Vec<&str> = endpoints.split(',').collect();
        let client = Client::connect(endpoints, None).await.expect("a connection");
        let started = Instant::now();
        let write = |writer: u64| {
            let (mut client, value) = (client.clone(), value.to_vec());
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < limit {
                    client.put(key(writer, number), value.clone(), None).await.expect("a commit");
                    number += 1;
                }
                number
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let mut commits = 0;
        for writer in writers {
            commits += writer.await.expect("a writer ends well");
        }
        commits
    })
}
