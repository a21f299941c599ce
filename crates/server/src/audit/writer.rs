//! The thread that writes the audit log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use longshore_domain::time::Timestamp;
use serde_json::{Map, Value};

use super::chain::{self, Head};
use super::{Counts, Message, files};
use crate::clock;

/// How long what is written may stay in the memory of the operating system.
const SYNC: Duration = Duration::from_secs(1);
/// File of a directory that is locked by whoever writes there.
const LOCK: &str = "lock";
/// Records that are written at once.
const AT_ONCE: usize = 512;

/// The log, open at its end.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    retention_days: u32,
    /// The file of the day, and how long it is.
    open: Option<Open>,
    head: Head,
    /// Whether something is written that may not be durable yet.
    dirty: bool,
    /// Locked: two chains in one file would be none.
    _lock: File,
}

#[derive(Debug)]
struct Open {
    day: String,
    file: File,
    length: u64,
}

impl Log {
    /// Opens the log of a directory, which is made if it is not there. A line that a crash has cut off
    /// is taken away: nobody was told that it is there.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(super) fn open(directory: &Path, retention_days: u32) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = File::create(directory.join(LOCK))?;
        lock.try_lock().map_err(|error| {
            let what = format!("{} is another server's: {error}", directory.display());
            io::Error::new(io::ErrorKind::WouldBlock, what)
        })?;
        let mut head = Head::default();
        for day in files::days(directory)?.iter().rev() {
            let path = files::path(directory, day);
            let length = mend(&path)?;
            if length > 0 {
                head = chain::end_of(&path)?;
                break;
            }
        }
        let directory = directory.to_owned();
        Ok(Self { directory, retention_days, open: None, head, dirty: false, _lock: lock })
    }

    /// Appends records; each is chained to the one before it.
    pub(super) fn append(
        &mut self,
        now: Timestamp,
        records: Vec<Map<String, Value>>,
    ) -> io::Result<()> {
        let (mut head, mut bytes) = (self.head.clone(), Vec::new());
        for record in records {
            head = chain::link(&head, record, &mut bytes);
        }
        let open = self.file_of(now)?;
        let written = open.file.write_all(&bytes);
        if let Err(error) = written {
            // Half a line would break the chain.
            open.file.set_len(open.length)?;
            return Err(error);
        }
        open.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        (self.head, self.dirty) = (head, true);
        Ok(())
    }

    /// Makes durable what was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(open)) = (self.dirty, &self.open) {
            open.file.sync_data()?;
        }
        self.dirty = false;
        Ok(())
    }

    /// The file of the day, a new one if it has begun. The clock may be set back: days never go
    /// back.
    fn file_of(&mut self, now: Timestamp) -> io::Result<&mut Open> {
        let today = files::day(now);
        if self.open.as_ref().is_none_or(|open| open.day < today) {
            self.sync()?;
            let last = files::days(&self.directory)?.pop();
            let day = last.filter(|last| *last > today).unwrap_or(today);
            let path = files::path(&self.directory, &day);
            let mut options = OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(path)?;
            let length = file.metadata()?.len();
            // The name must be as durable as the lines.
            File::open(&self.directory)?.sync_all()?;
            self.open = Some(Open { day, file, length });
            self.forget(now);
        }
        Ok(self.open.as_mut().expect("it was opened"))
    }

    /// Deletes the files of days that need not be kept any more.
    fn forget(&self, now: Timestamp) {
        let kept = Duration::from_secs(u64::from(self.retention_days) * 24 * 3600);
        let oldest = files::day(now - kept);
        let days = files::days(&self.directory).unwrap_or_default();
        for day in days.into_iter().filter(|day| *day < oldest) {
            match fs::remove_file(files::path(&self.directory, &day)) {
                Ok(()) => tracing::info!(day, "a day of the audit log has been kept long enough"),
                Err(error) => tracing::error!(day, %error, "cannot delete a day of the audit log"),
            }
        }
    }
}

/// Takes away what follows the last end of a line; gives the length.
fn mend(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        tracing::warn!(path = %path.display(), "the audit log ends within a line; it is taken away");
        OpenOptions::new().write(true).open(path)?.set_len(u64::try_from(whole).unwrap_or(0))?;
    }
    Ok(u64::try_from(whole).unwrap_or(0))
}

/// Writes until nobody can record anything any more.
pub(super) fn run(mut log: Log, messages: &Receiver<Message>, counts: &Counts) {
    let mut synced = Instant::now();
    let mut refused = false;
    loop {
        let first = match messages.recv_timeout(SYNC) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let (mut records, mut waiting) = (Vec::new(), Vec::new());
        for message in first.into_iter().chain(messages.try_iter().take(AT_ONCE)) {
            match message {
                Message::Record(event) => records.push(event.record()),
                Message::Flush(done) => waiting.push(done),
            }
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut outcome = Ok(());
        if count > 0 {
            outcome = log.append(clock::now(), records);
            let counter = if outcome.is_ok() { &counts.written } else { &counts.lost };
            counter.fetch_add(count, Ordering::Relaxed);
        }
        if !waiting.is_empty() || synced.elapsed() >= SYNC {
            outcome = outcome.and_then(|()| log.sync());
            synced = Instant::now();
        }
        tell(&outcome, &mut refused, &log.directory);
        for done in waiting {
            // Whoever asked may be gone.
            let _ = done.send(log.head.clone());
        }
    }
    tell(&log.sync(), &mut refused, &log.directory);
}

/// Says once that the disk refuses, and once that it does not any more.
fn tell(outcome: &io::Result<()>, refused: &mut bool, directory: &Path) {
    match outcome {
        Ok(()) => *refused = false,
        Err(error) => {
            if !std::mem::replace(refused, true) {
                let directory = directory.display();
                tracing::error!(%directory, %error, "the audit log cannot be written: records are lost");
            }
        }
    }
}
