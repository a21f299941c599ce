//! The signals that end a long-running command.

use tokio::signal::unix::{SignalKind, signal};

/// Completes at SIGINT or SIGTERM.
pub(crate) async fn requested() {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
