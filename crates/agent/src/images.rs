//! Images: pulled when the behavior asks for it, once for all tasks that wait for the same one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::task::{PullBehavior, Reason};
use longshore_domain::time::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, timeout};

use crate::runtime::{Image, RegistryAuth, RuntimeError, SharedRuntime};
use crate::{clock, limits};

/// The images of one runtime, as one agent knows them.
#[derive(Debug)]
pub(crate) struct Images {
    runtime: Runtime,
    behavior: PullBehavior,
    pull_timeout: Duration,
    pulls: Semaphore,
    slots: Mutex<BTreeMap<String, Arc<AsyncMutex<Slot>>>>,
}

struct Runtime(SharedRuntime);

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runtime")
    }
}

/// What is known of one image reference. Whoever holds the lock of it pulls; the others wait and
/// then find what they wait for.
#[derive(Debug)]
struct Slot {
    image: Option<Image>,
    /// The last pull: when it began, and why it failed.
    pull: Option<(Instant, Option<Reason>)>,
    last_used: Instant,
}

/// An image that is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready {
    /// The image.
    pub(crate) image: Image,
    /// When its pull began, if there was one.
    pub(crate) pulled_since: Option<Timestamp>,
}

impl Images {
    pub(crate) fn new(
        runtime: SharedRuntime,
        behavior: PullBehavior,
        pull_timeout: Duration,
    ) -> Self {
        Self {
            runtime: Runtime(runtime),
            behavior,
            pull_timeout,
            pulls: Semaphore::new(limits::PULLS),
            slots: Mutex::default(),
        }
    }

    /// Makes sure that an image is there, by the behavior.
    ///
    /// # Errors
    /// With the reason for the container that wants it.
    pub(crate) async fn ensure(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
    ) -> Result<Ready, Reason> {
        let asked = Instant::now();
        let slot = self.slot(reference);
        let mut slot = slot.lock().await;
        slot.last_used = asked;
        if let Some((began, failed)) = &slot.pull
            && *began >= asked
        {
            return match failed {
                Some(reason) => Err(reason.clone()),
                None => Ok(Ready {
                    image: slot.image.clone().unwrap_or_default(),
                    pulled_since: Some(clock::now()),
                }),
            };
        }
        let cached = match self.behavior {
            PullBehavior::PreferCached => true,
            PullBehavior::Once => matches!(slot.pull, Some((_, None))),
            PullBehavior::Default | PullBehavior::Always => false,
        };
        if cached {
            if slot.image.is_none() {
                slot.image = self.look(reference).await;
            }
            if let Some(image) = &slot.image {
                return Ok(Ready { image: image.clone(), pulled_since: None });
            }
        }
        self.pull(reference, auth, &mut slot).await
    }

    /// Forgets what is known of an image, because the runtime does not have it after all.
    pub(crate) async fn forget(&self, reference: &str) {
        self.slot(reference).lock().await.image = None;
    }

    /// References that were used and have not been since `age`, longest ago first.
    pub(crate) fn unused_since(&self, age: Duration) -> Vec<String> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old: Vec<(Instant, String)> = slots
            .iter()
            .filter_map(|(reference, slot)| {
                Some((slot.try_lock().ok()?.last_used, reference.clone()))
            })
            .filter(|(used, _)| used.elapsed() >= age)
            .collect();
        old.sort();
        old.into_iter().map(|(_, reference)| reference).collect()
    }

    /// Forgets a reference altogether, after its image was removed.
    pub(crate) fn remove(&self, reference: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }

    fn slot(&self, reference: &str) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(reference.to_owned()).or_insert_with(|| {
            let slot = Slot { image: None, pull: None, last_used: Instant::now() };
            Arc::new(AsyncMutex::new(slot))
        });
        Arc::clone(slot)
    }

    /// An image that cannot be looked at counts as absent: the pull will tell what is wrong.
    async fn look(&self, reference: &str) -> Option<Image> {
        self.runtime.0.inspect_image(reference).await.ok().flatten()
    }

    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        slot: &mut Slot,
    ) -> Result<Ready, Reason> {
        let _permit = self.pulls.acquire().await;
        let (began, since) = (Instant::now(), clock::now());
        let pull = timeout(self.pull_timeout, self.runtime.0.pull(reference, auth)).await;
        let pull = pull.unwrap_or(Err(RuntimeError::TimedOut(self.pull_timeout)));
        if let Err(error) = pull {
            let reason = self.failure(reference, &error);
            tracing::warn!(image = reference, %error, "cannot pull");
            slot.pull = Some((began, Some(reason.clone())));
            return Err(reason);
        }
        slot.pull = Some((began, None));
        slot.image = self.look(reference).await;
        let image = slot.image.clone().unwrap_or_default();
        Ok(Ready { image, pulled_since: Some(since) })
    }

    /// Names a failed pull as the ECS agent does: where it asks for the manifest first, it is the
    /// manifest that cannot be had.
    fn failure(&self, reference: &str, error: &RuntimeError) -> Reason {
        let manifest_first =
            self.behavior != PullBehavior::PreferCached && !reference.contains('@');
        let name = match error {
            RuntimeError::TimedOut(_) => "DockerTimeoutError",
            RuntimeError::Unavailable(_) => "CannotPullContainerError",
            _ if manifest_first => "CannotPullImageManifestError",
            _ => "CannotPullContainerError",
        };
        Reason::new(name, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Behavior, Rule, SimulatedRuntime};

    async fn check(behavior: PullBehavior, expected_pulls: u64) {
        let rule = Rule {
            image_prefix: "slow".into(),
            behavior: Behavior { pull_delay: Duration::from_secs(5), ..Behavior::default() },
        };
        let runtime = SimulatedRuntime::new(vec![rule]);
        let images = Images::new(Arc::new(runtime.clone()), behavior, Duration::from_secs(60));
        for _ in 0..2 {
            let (a, b) = tokio::join!(images.ensure("slow:1", None), images.ensure("slow:1", None));
            assert!(a.expect("pulled").image.digest.is_some());
            b.expect("pulled");
        }
        assert_eq!(runtime.pulls(), expected_pulls, "{behavior:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_wait_for_one_image_share_its_pull() {
        check(PullBehavior::PreferCached, 1).await;
        check(PullBehavior::Once, 1).await;
        check(PullBehavior::Default, 2).await;
        check(PullBehavior::Always, 2).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_that_fails_or_hangs_is_named() {
        let behavior = |pull_fails: Option<&str>, seconds| Behavior {
            pull_fails: pull_fails.map(str::to_owned),
            pull_delay: Duration::from_secs(seconds),
            ..Behavior::default()
        };
        let rules = vec![
            Rule { image_prefix: "absent".into(), behavior: behavior(Some("not found"), 0) },
            Rule { image_prefix: "hangs".into(), behavior: behavior(None, 100) },
        ];
        let runtime = Arc::new(SimulatedRuntime::new(rules));
        for (behavior, image, expected) in [
            (PullBehavior::PreferCached, "absent", "CannotPullContainerError: not found"),
            (PullBehavior::Default, "absent", "CannotPullImageManifestError: not found"),
            (
                PullBehavior::Default,
                "hangs",
                "DockerTimeoutError: no answer from the container runtime within 60s",
            ),
        ] {
            let images = Images::new(Arc::clone(&runtime) as _, behavior, Duration::from_secs(60));
            let reason = images.ensure(image, None).await.expect_err("it fails");
            assert_eq!(reason.to_string(), expected);
        }
    }
}
