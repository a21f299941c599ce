//! Logs: to standard error, filtered by `--log` or `LONGSHORE_LOG`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Starts logging. A filter that cannot be read falls back to `info`.
pub(crate) fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
