//! The files of an audit log: one for each day, named by it.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use longshore_domain::time::Timestamp;

const ENDING: &str = ".jsonl";

/// Name of the day that a time is in.
pub(super) fn day(at: Timestamp) -> String {
    let text = super::event::time(at);
    text.split('T').next().unwrap_or_default().to_owned()
}

/// The file of a day.
pub(super) fn path(directory: &Path, day: &str) -> PathBuf {
    directory.join(format!("{day}{ENDING}"))
}

/// All days that have files, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn days(directory: &Path) -> io::Result<Vec<String>> {
    let mut days = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let day = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        days.extend(day.filter(|day| is_day(day)).map(str::to_owned));
    }
    days.sort();
    Ok(days)
}

fn is_day(text: &str) -> bool {
    let shape = |(index, byte): (usize, u8)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(shape)
}

/// Goes through the lines of a file, without their ends, until `see` has seen enough. What follows the
/// last end is on its way, or was cut off by a crash: it is no line.
///
/// # Errors
/// The file cannot be read.
pub(super) fn lines(path: &Path, mut see: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.pop() != Some(b'\n') || !see(&line) {
            return Ok(());
        }
    }
}
