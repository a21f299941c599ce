//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to `wanted` as far as the operating system allows, and gives what it is then.
pub(crate) fn allow(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let (current, most) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    if current >= wanted {
        return current;
    }
    // The superuser may raise the upper limit too.
    let raised = Rlimit { current: Some(wanted), maximum: Some(most.max(wanted)) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let up_to = Rlimit { current: Some(wanted.min(most)), maximum: now.maximum };
        // Nothing is lost if it stays as it was.
        let _ = setrlimit(Resource::Nofile, up_to);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
