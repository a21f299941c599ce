//! Options of the audit log.

use std::path::Path;

use clap::{Args, ValueEnum};
use longshore_server::audit;

/// How the audit log is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditOptions {
    /// What is recorded in DATA-DIR/audit: calls that change something, and all that is denied
    /// (changes), those that only read as well (all), or nothing (off).
    #[arg(long, value_enum, default_value = "changes")]
    pub(crate) audit: Audited,
    /// Days that the audit log is kept.
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) audit_retention: u32,
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Audited {
    /// Calls that change something, and denials.
    Changes,
    /// Every call.
    All,
    /// Nothing.
    Off,
}

impl AuditOptions {
    /// The log of a server with this data directory.
    pub(crate) fn config(&self, data_dir: &Path) -> Option<audit::Config> {
        (self.audit != Audited::Off).then(|| audit::Config {
            directory: data_dir.join("audit"),
            reads: self.audit == Audited::All,
            retention_days: self.audit_retention,
        })
    }
}
