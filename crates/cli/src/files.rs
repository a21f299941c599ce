//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files and connections that a server may have open: an agent has four, that of ECS up to a dozen.
const SERVER: u64 = 1 << 18;

/// What a server has open beside its clients' connections, with much to spare: its store, its logs, what
/// it asks of others.
const RESERVE: u64 = 256;

/// How many connections a server may accept, after its limit was raised as far as that goes. One more
/// than there are files would be refused by the operating system again and again.
pub(crate) fn for_connections() -> usize {
    connections(allow(SERVER))
}

/// How many of so many files may be connections.
fn connections(files: u64) -> usize {
    usize::try_from(files.saturating_sub(RESERVE.min(files / 2))).unwrap_or(usize::MAX)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections(20_000), 19_744);
        // Never none, however few there are.
        assert_eq!([connections(2), connections(100), connections(512)], [1, 50, 256]);
    }
}
