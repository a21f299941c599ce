//! Access logs in the format of ALB, one file per balancer and five minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use longshore_domain::time::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::group::Group;
use crate::http::plan::EachHeader;
use crate::node::Node;
use crate::stats::Stats;
use crate::table::Listening;
use crate::target::Target;
use crate::{clock, limits};

/// Where lines of access logs go.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: mpsc::Sender<Line>,
    /// Lines for which there was no room.
    pub(crate) dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Line {
    folder: String,
    name: String,
    text: String,
}

impl AccessLog {
    /// Writes under `folder` until all senders are gone. Runs on a thread of its own.
    pub(crate) fn start(folder: PathBuf) -> Self {
        let (lines, mut waiting) = mpsc::channel::<Line>(limits::LOG_LINES);
        tokio::task::spawn_blocking(move || {
            let mut files = BTreeMap::new();
            while let Some(line) = waiting.blocking_recv() {
                if let Err(error) = write(&mut files, &folder, &line) {
                    tracing::warn!(%error, "cannot write the access log");
                }
                // Sent to the file when there is nothing more to add for now.
                if waiting.is_empty() {
                    for (_, file) in files.values_mut() {
                        let _ = std::io::BufWriter::flush(file);
                    }
                }
            }
        });
        Self { lines, dropped: Arc::default() }
    }
}

type Files = BTreeMap<String, (i64, std::io::BufWriter<std::fs::File>)>;

fn write(files: &mut Files, root: &Path, line: &Line) -> std::io::Result<()> {
    let span = i64::try_from(limits::LOG_FILE.as_millis()).unwrap_or(i64::MAX);
    let period = clock::now().as_millis() / span;
    if files.get(&line.name).is_none_or(|(of, _)| *of != period) {
        // A prefix that leads out of the folder is no name.
        let parts = line.folder.split('/').filter(|part| !part.is_empty() && *part != "..");
        let folder = parts.fold(root.to_path_buf(), |path, part| path.join(part));
        std::fs::create_dir_all(&folder)?;
        let ends = Timestamp::from_millis((period + 1) * span);
        let stamp = ends.to_string().replace([':', '-'], "");
        let path = folder.join(format!("{}_{stamp}.log", line.name));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        files.insert(line.name.clone(), (period, std::io::BufWriter::new(file)));
    }
    match files.get_mut(&line.name) {
        Some((_, file)) => writeln!(file, "{}", line.text),
        None => Ok(()),
    }
}

/// What is told of a request.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Whether its balancer has an access log.
    pub(crate) wanted: bool,
    began: Instant,
    sent_at: Option<Instant>,
    target_answered_at: Option<Instant>,
    client: SocketAddr,
    target: Option<Arc<Target>>,
    status: u16,
    target_status: u16,
    received: u64,
    sent: u64,
    priority: u32,
    /// The request's line, agent and TLS, as they are logged.
    request: String,
    group: String,
    trace: String,
}

impl Entry {
    pub(crate) fn begin(listening: &Listening, client: SocketAddr, began: Instant) -> Self {
        Self {
            wanted: listening.balancer.record.attributes.access_logs.is_some(),
            began,
            sent_at: None,
            target_answered_at: None,
            client,
            target: None,
            status: 0,
            target_status: 0,
            received: 0,
            sent: 0,
            priority: 0,
            request: String::new(),
            group: String::new(),
            trace: String::new(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the log")]
    pub(crate) fn request(
        &mut self,
        method: &str,
        tls: Option<(&str, &str)>,
        host: &str,
        target: &str,
        eleven: bool,
        headers: EachHeader<'_>,
        priority: u32,
    ) {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let version = if eleven { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut agent = String::from("-");
        headers("user-agent", &mut |value| {
            agent = quoted(value);
            true
        });
        let (protocol, cipher) = tls.unwrap_or(("-", "-"));
        let (host, target) = (quoted(host), quoted(target));
        self.request.clear();
        let _ = write!(
            self.request,
            "\"{method} {scheme}://{host}{target} {version}\" \"{agent}\" {cipher} {protocol}"
        );
        self.priority = priority;
    }

    pub(crate) fn group(&mut self, group: &Group) {
        if self.wanted {
            self.group.clone_from(&group.record.arn);
        }
    }

    pub(crate) fn trace(&mut self, trace: &str) {
        if self.wanted {
            trace.clone_into(&mut self.trace);
        }
    }

    /// The request goes to a target.
    pub(crate) fn sent(&mut self, target: &Arc<Target>) {
        self.target = Some(Arc::clone(target));
        self.sent_at = Some(Instant::now());
    }

    pub(crate) fn received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    pub(crate) fn target_answered(&mut self, status: u16) {
        self.target_status = status;
        self.target_answered_at = Some(Instant::now());
    }

    pub(crate) fn answered(&mut self, status: u16, bytes: u64) {
        self.status = status;
        self.sent += bytes;
    }

    pub(crate) fn more(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Counts it, and writes it down where that is wanted.
    pub(crate) fn end(self, node: &Node, listening: &Listening) {
        let took = self.began.elapsed();
        Stats::answered(&listening.balancer.stats, self.status, took);
        if let (Some(target), Some(sent), true) =
            (&self.target, self.sent_at, self.target_status != 0)
        {
            let answered = self.target_answered_at.unwrap_or(sent);
            target.stats.answered(self.target_status, answered.duration_since(sent));
        }
        let Some(folder) = listening.balancer.record.attributes.access_logs.as_ref() else {
            return;
        };
        let line = Line {
            folder: folder.clone(),
            name: listening.balancer.record.name.clone(),
            text: self.line(listening, took),
        };
        if node.log.lines.try_send(line).is_err() {
            node.dropped.fetch_add(1, Relaxed);
        }
    }

    fn line(&self, listening: &Listening, took: Duration) -> String {
        let now = clock::now();
        let seconds = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => format!("{:.3}", to.duration_since(from).as_secs_f64()),
            _ => "-1".to_owned(),
        };
        let kind = match listening.record.protocol {
            longshore_domain::route::Protocol::Https => "https",
            _ => "http",
        };
        let arn = &listening.balancer.record.arn;
        let name = arn.split_once("loadbalancer/").map_or(arn.as_str(), |(_, name)| name);
        let address = self.target.as_ref().and_then(|target| target.key.address);
        let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let code = |code: u16| if code == 0 { "-".to_owned() } else { code.to_string() };
        let target_code = code(self.target_status);
        format!(
            "{kind} {now} {name} {} {address} {} {} {} {} {target_code} {} {} {} {} \"{}\" \"-\" \"-\" {} {} \"{}\" \"-\" \"-\" \"{address}\" \"{target_code}\" \"-\" \"-\"",
            self.client,
            seconds(Some(self.began), self.sent_at.or(Some(self.began + took))),
            seconds(self.sent_at, self.target_answered_at),
            seconds(self.target_answered_at, Some(self.began + took)),
            code(self.status),
            self.received,
            self.sent,
            if self.request.is_empty() { "\"- http://- -\" \"-\" - -" } else { &self.request },
            if self.group.is_empty() { "-" } else { &self.group },
            self.trace,
            self.priority,
            now - took,
            if self.group.is_empty() { "fixed-response" } else { "forward" },
        )
    }
}

/// A text that may stand between quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
