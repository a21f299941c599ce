//! How lines hang together, and how to find that they do not.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::files;

/// What the first line of a log is chained to.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const SEQUENCE: &str = "sequence";
const PREVIOUS: &str = "previousDigest";

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Number of its last record.
    pub sequence: u64,
    /// Digest of its last line.
    pub digest: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, digest: GENESIS.to_owned() }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The day that its file is named by.
    pub day: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// What a look at a whole log has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Files.
    pub files: usize,
    /// Records.
    pub records: usize,
    /// Number of the first record: more than 1 where older ones were deleted by their age.
    pub first: u64,
    /// Where it ends.
    pub head: Head,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

fn digest(line: &[u8]) -> String {
    hex::encode(Sha256::digest(line))
}

/// Writes a record as the line after `head`; gives the new end.
pub(super) fn link(head: &Head, mut record: Map<String, Value>, into: &mut Vec<u8>) -> Head {
    let sequence = head.sequence + 1;
    record.insert(SEQUENCE.to_owned(), sequence.into());
    record.insert(PREVIOUS.to_owned(), head.digest.as_str().into());
    let line = Value::Object(record).to_string();
    into.extend_from_slice(line.as_bytes());
    into.push(b'\n');
    Head { sequence, digest: digest(line.as_bytes()) }
}

/// What a line says of its place.
fn place(line: &[u8]) -> Option<(u64, String)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    Some((value[SEQUENCE].as_u64()?, value[PREVIOUS].as_str()?.to_owned()))
}

/// Where a file ends.
///
/// # Errors
/// It cannot be read, or its last line is no record.
pub(super) fn end_of(path: &Path) -> io::Result<Head> {
    let mut last = Vec::new();
    files::lines(path, |line| {
        last.clear();
        last.extend_from_slice(line);
        true
    })?;
    let (sequence, _) = place(&last).ok_or_else(|| {
        let what = format!("the last line of {} is no record of an audit log", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(Head { sequence, digest: digest(&last) })
}

/// Looks at every line of the log of a directory.
///
/// What it cannot see by itself is that the newest lines are missing: compare where it ends with
/// what the server says.
///
/// # Errors
/// The files cannot be read.
pub fn verify(directory: &Path) -> io::Result<Report> {
    let mut report =
        Report { files: 0, records: 0, first: 0, head: Head::default(), faults: Vec::new() };
    let mut seen = BTreeSet::new();
    for day in files::days(directory)? {
        report.files += 1;
        let mut number = 0;
        files::lines(&files::path(directory, &day), |line| {
            number += 1;
            if let Some(what) = report.judge(line, &mut seen) {
                report.faults.push(Fault { day: day.clone(), line: number, what });
            }
            true
        })?;
    }
    Ok(report)
}

impl Report {
    /// What is wrong with the next line, if something is.
    fn judge(&mut self, line: &[u8], seen: &mut BTreeSet<u64>) -> Option<String> {
        let is_first = self.records == 0;
        self.records += 1;
        let Some((sequence, previous)) = place(line) else {
            // What follows is chained to the line that was here.
            self.head = Head { sequence: self.head.sequence + 1, digest: digest(line) };
            return Some("it is no record: it was altered".to_owned());
        };
        let before = std::mem::replace(&mut self.head, Head { sequence, digest: digest(line) });
        let fresh = seen.insert(sequence);
        if is_first {
            self.first = sequence;
            // Older ones may have been deleted by their age.
            return (sequence == 1 && previous != GENESIS)
                .then(|| "it is not the first line that was written: it was altered".to_owned());
        }
        let expected = before.sequence + 1;
        if !fresh {
            return Some(format!("record {sequence} is here a second time"));
        }
        if sequence < expected {
            return Some(format!(
                "record {sequence} stands after record {}: lines were moved",
                before.sequence
            ));
        }
        if sequence > expected {
            let missing = sequence - expected;
            return Some(format!(
                "{missing} records before it are missing: lines were removed or moved"
            ));
        }
        (previous != before.digest).then(|| "the line before it was altered".to_owned())
    }
}
