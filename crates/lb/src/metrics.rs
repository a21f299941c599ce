//! Metrics in Prometheus's text format.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::node::Node;
use crate::stats::{BUCKETS_US, Stats};

/// Serves metrics, for ever, to whoever asks for anything.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(node: Arc<Node>, address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let text = render(&node);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(text.as_bytes()).await;
        });
    }
}

/// All metrics.
fn render(node: &Node) -> String {
    let mut out = String::new();
    let gauge = |out: &mut String, name: &str, help: &str, value: u64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    let size = |n: usize| n as u64;
    let connections = size(node.connections.load(Relaxed));
    gauge(&mut out, "longshore_lb_connections", "Connections of clients.", connections);
    let active = size(node.active.load(Relaxed));
    gauge(&mut out, "longshore_lb_active", "Requests and connections under way.", active);
    let table = node.table.load();
    gauge(&mut out, "longshore_lb_snapshot_version", "Version served.", table.version);
    let dropped = node.dropped.load(Relaxed);
    gauge(&mut out, "longshore_lb_log_lines_dropped", "Lines not logged.", dropped);
    let mut all: Vec<(String, Arc<Stats>)> = Vec::new();
    for listening in table.listeners.values() {
        let labels = format!("balancer=\"{}\"", listening.balancer.record.name);
        if all.iter().all(|(seen, _)| *seen != labels) {
            all.push((labels, Arc::clone(&listening.balancer.stats)));
        }
    }
    head(&mut out, "longshore_lb_balancer", "of a balancer");
    for (labels, stats) in &all {
        series(&mut out, "longshore_lb_balancer", labels, stats);
    }
    head(&mut out, "longshore_lb_target", "of a target");
    for group in table.groups.values() {
        for target in &group.targets {
            let labels = format!(
                "group=\"{}\",target=\"{}:{}\"",
                group.record.name, target.key.id, target.key.port
            );
            series(&mut out, "longshore_lb_target", &labels, &target.stats);
            let in_flight = target.in_flight.load(Relaxed);
            let _ = writeln!(out, "longshore_lb_target_in_flight{{{labels}}} {in_flight}");
        }
    }
    out
}

fn head(out: &mut String, name: &str, of: &str) {
    let _ = writeln!(
        out,
        "# HELP {name}_requests_total Requests or connections {of}.\n# TYPE {name}_requests_total counter\n# HELP {name}_seconds Latency {of}.\n# TYPE {name}_seconds histogram"
    );
}

fn series(out: &mut String, name: &str, labels: &str, stats: &Stats) {
    for (class, count) in stats.codes.iter().enumerate() {
        let count = count.load(Relaxed);
        if count > 0 {
            let code = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
            let _ = writeln!(out, "{name}_requests_total{{{labels},code=\"{code}\"}} {count}");
        }
    }
    let mut sum = 0;
    let ends = BUCKETS_US.iter().map(|us| seconds(*us)).chain(["+Inf".to_owned()]);
    for (end, count) in ends.zip(&stats.buckets) {
        sum += count.load(Relaxed);
        let _ = writeln!(out, "{name}_seconds_bucket{{{labels},le=\"{end}\"}} {sum}");
    }
    let latency = seconds(stats.latency_us.load(Relaxed));
    let _ = writeln!(out, "{name}_seconds_sum{{{labels}}} {latency}");
    let _ = writeln!(out, "{name}_seconds_count{{{labels}}} {sum}");
    let errors = stats.connect_errors.load(Relaxed);
    if errors > 0 {
        let _ = writeln!(out, "{name}_connect_errors_total{{{labels}}} {errors}");
    }
}

/// Seconds, exactly.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
