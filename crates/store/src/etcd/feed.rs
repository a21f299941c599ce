//! The one watch of a store, which feeds all watches of this process through the history.
//!
//! A watch of etcd tells nothing of revisions that others of the same etcd make, yet answers
//! name them. A progress notification on request would say how far the watch is, but in the
//! etcd that Debian ships (3.4.23) it can overtake changes that are still under way. So where a
//! revision does not come by itself, a key of no meaning is put: what the watch shows in order
//! cannot be ahead of anything. In an etcd of its own a store never needs that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use etcd_client::{EventType, GetOptions, KeyValue, WatchOptions, WatchResponse};
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::fault::Fault;
use super::keys::{Place, revision};
use super::link::{Beacon, Link};
use crate::contract::{Batch, StoreRevision};
use crate::history::End;
use crate::limits;

/// Why the watch ended.
enum Ended {
    /// The connection broke, or etcd ended it.
    Broken,
    /// etcd has forgotten what it should show next.
    Gap,
    /// The store was dropped, and everything acknowledged has been shown.
    Closed,
}

/// Feeds the history until the store is dropped or is another one.
pub(super) async fn run(shared: Arc<Shared>) {
    let end = tokio::select! {
        biased;
        detail = shared.links.replaced() => {
            tracing::error!(detail, "etcd holds another store than the one that was opened");
            End::Replaced(detail)
        }
        () = feed(&shared) => End::Closed,
        () = lingered(&shared) => End::Closed,
    };
    shared.history.end(end);
}

async fn feed(shared: &Shared) {
    let mut pause = limits::ETCD_RETRY_PAUSE.0;
    loop {
        let deadline = Instant::now() + shared.links.options.request_timeout;
        let Ok(link) = shared.links.link(deadline).await else {
            // Refused, which may pass when somebody mends the user.
            sleep(limits::ETCD_RETRY_PAUSE.1).await;
            continue;
        };
        let before = shared.history.tip();
        let ended = match follow(shared, &link).await {
            Ended::Gap => restart(shared, &link).await,
            ended => ended,
        };
        match ended {
            Ended::Closed => return,
            Ended::Gap => {}
            // The next connection is judged before it is used.
            Ended::Broken => link.kill(),
        }
        if shared.history.tip() > before {
            pause = limits::ETCD_RETRY_PAUSE.0;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(limits::ETCD_RETRY_PAUSE.1);
        }
    }
}

/// Watches from where the history is.
async fn follow(shared: &Shared, link: &Link) -> Ended {
    let (start, end) = shared.links.keys.all();
    let from = i64::try_from(shared.history.tip().next().0).unwrap_or(i64::MAX);
    let options = WatchOptions::new().with_range(end).with_start_revision(from);
    let mut watch = link.watch.clone();
    let limit = shared.links.options.request_timeout;
    let asked = watch.watch(start, Some(options));
    let mut stream = match link.call(limit, asked).await {
        Ok(stream) => stream,
        Err(fault) => {
            tracing::warn!(?fault, "etcd gives no watch");
            return Ended::Broken;
        }
    };
    let mut closing = shared.closing.subscribe();
    loop {
        let closed = *closing.borrow_and_update();
        let acknowledged = shared.acknowledged.load(Ordering::Acquire);
        if closed && shared.history.tip().0 >= acknowledged {
            return Ended::Closed;
        }
        let message = tokio::select! {
            biased;
            message = stream.message() => message,
            () = link.died() => return Ended::Broken,
            _ = closing.changed(), if !closed => continue,
        };
        match message {
            Ok(Some(message)) if message.canceled() => {
                tracing::info!(reason = message.cancel_reason(), "etcd ended the watch");
                return if message.compact_revision() > 0 { Ended::Gap } else { Ended::Broken };
            }
            Ok(Some(message)) => take(shared, &message),
            Ok(None) => return Ended::Broken,
            Err(error) => {
                tracing::info!(%error, "the watch of etcd broke");
                return Ended::Broken;
            }
        }
    }
}

/// Completes some time after the store was dropped: what was acknowledged should be shown, but
/// nobody waits for an etcd that is away.
async fn lingered(shared: &Shared) {
    // The sender lives as long as what is shared.
    let _ = shared.closing.subscribe().wait_for(|closing| *closing).await;
    sleep(limits::ETCD_LINGER).await;
}

/// Takes in what a watch shows: the changes of each revision are a batch.
fn take(shared: &Shared, message: &WatchResponse) {
    let mod_revision = |event: &etcd_client::Event| event.kv().map_or(0, KeyValue::mod_revision);
    let keys = &shared.links.keys;
    for group in message.events().chunk_by(|a, b| mod_revision(a) == mod_revision(b)) {
        let Some(last) = group.last() else { continue };
        let at = revision(mod_revision(last));
        if at <= shared.history.tip() {
            continue;
        }
        for event in group {
            let key = event.kv().and_then(|kv| std::str::from_utf8(kv.key()).ok());
            if let Some(Place::Window { log }) = key.map(|key| keys.place(key)) {
                shared.logs.opened(log, at);
            }
        }
        if let Some(kv) = last.kv() {
            let put = last.event_type() == EventType::Put;
            shared.links.remember(Beacon { key: kv.key().to_vec(), revision: at, put });
        }
        let events = group.iter().filter_map(|event| keys.event(event)).collect();
        shared.history.push(Batch { revision: at, events });
    }
}

/// Goes on from now: what happened since the history was left behind is lost to watches, which
/// are told.
async fn restart(shared: &Shared, link: &Link) -> Ended {
    let mut kv = link.kv.clone();
    let options = GetOptions::new().with_keys_only();
    let asked = kv.get(shared.links.keys.id(), Some(options));
    match link.call(shared.links.options.request_timeout, asked).await {
        Ok(answer) => {
            let now = shared.links.note(answer.header());
            tracing::info!(%now, "etcd has compacted its history; watches begin anew");
            shared.history.restart(now);
            Ended::Gap
        }
        Err(_) => Ended::Broken,
    }
}

/// Makes revisions that answers have named reach the watch, where they do not by themselves.
pub(super) async fn nudge(shared: Arc<Shared>) {
    let mut wanted = shared.wanted.subscribe();
    loop {
        let tip = shared.history.tip();
        let beyond = |wanted: &StoreRevision| *wanted > tip;
        let Ok(wanted) = wanted.wait_for(beyond).await.map(|wanted| *wanted) else { return };
        let arrived = shared.history.reached(wanted);
        if let Ok(arrived) = timeout(limits::ETCD_PROGRESS, arrived).await {
            if arrived.is_err() {
                return;
            }
            continue;
        }
        if let Err(fault) = mark(&shared).await {
            tracing::debug!(?fault, "etcd does not tell how far its watch is");
            sleep(limits::ETCD_RETRY_PAUSE.1).await;
        }
    }
}

/// Puts the key of no meaning, and waits until the watch shows it.
async fn mark(shared: &Shared) -> Result<(), Fault> {
    let limit = shared.links.options.request_timeout;
    let link = shared.links.link(Instant::now() + limit).await;
    let link = link.map_err(|error| Fault::Later(error.to_string()))?;
    let mut kv = link.kv.clone();
    let asked = kv.put(shared.links.keys.progress(), "", None);
    let answer = link.call(limit, asked).await?;
    let at = shared.links.note(answer.header());
    let shown = timeout(limit, shared.history.reached(at)).await;
    // When it ended there is nobody to tell.
    shown.map(drop).map_err(|_| Fault::late(limit))
}
