//! The keys that the agent signs with. They may be swapped at any time: who signs takes the newest.

use std::sync::{Arc, PoisonError, RwLock};

use crate::config::Credentials;

/// Keys that all who hold this share.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Arc<RwLock<Arc<Credentials>>>);

impl Keys {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(credentials))))
    }

    /// Those that count now.
    pub(crate) fn newest(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these count.
    pub(crate) fn replace(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }
}
