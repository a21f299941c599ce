//! What happened, in order, as a person would tell it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::world;

/// The story of a run. Clones are the same story.
#[derive(Clone, Debug, Default)]
pub struct Story {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Story {
    /// Tells what happens now.
    pub fn tell(&self, text: impl AsRef<str>) {
        let at = world::elapsed().as_millis();
        let (minutes, seconds, millis) = (at / 60_000, at / 1000 % 60, at % 1000);
        let line = format!("{minutes:02}:{seconds:02}.{millis:03}  {}", text.as_ref());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// All of it so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
