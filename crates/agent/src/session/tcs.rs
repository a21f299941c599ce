//! The TCS session: what the tasks use and how they feel, every twenty seconds; a change of health
//! at once, since deployments wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use longshore_wire::agent::{TcsToAgent, TcsToServer, sign_frame};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::acs::Shared;
use super::{End, Links, SessionError, Socket, is_normal_close};
use crate::backoff::Backoff;
use crate::{limits, random};

/// Gathers what is published: by asking a container runtime, or by making it up (hollow agents).
pub(crate) trait Telemetry: Send + 'static {
    /// The frames of one period; `check` asks for the health of the machine too.
    fn collect(&mut self, check: bool) -> impl Future<Output = Vec<TcsToServer>> + Send;

    /// Ready when the health of a container may have changed since the last frames of it.
    fn health_changed(&self) -> impl Future<Output = ()> + Send;

    /// The frames of the tasks whose health is not what was published last.
    fn changed_health(&mut self) -> impl Future<Output = Vec<TcsToServer>> + Send;
}

/// Keeps a session open until the agent ends.
pub(crate) async fn run(
    links: Arc<Links>,
    mut telemetry: impl Telemetry,
    shared: Arc<Shared>,
    mut inactive: watch::Receiver<bool>,
    period: Duration,
) {
    let mut backoff = Backoff::tcs();
    loop {
        if inactive.wait_for(|inactive| !inactive).await.is_err() {
            return;
        }
        let end = match links.tcs().await {
            Ok(socket) => {
                tokio::select! {
                    biased;
                    end = talk(socket, &links, &mut telemetry, &shared, period) => end,
                    _ = inactive.wait_for(|inactive| *inactive) => End::Normal,
                }
            }
            Err(error) => End::Failed(error),
        };
        match end {
            End::Normal => backoff.reset(),
            End::Failed(error) => {
                let wait = backoff.wait();
                tracing::debug!(%error, ?wait, "no session for telemetry");
                sleep(wait).await;
            }
        }
    }
}

async fn talk(
    mut socket: Socket,
    links: &Links,
    telemetry: &mut impl Telemetry,
    shared: &Shared,
    period: Duration,
) -> End {
    let silence =
        || Instant::now() + limits::SESSION_SILENCE + random::up_to(limits::SESSION_SILENCE);
    let renew_at = Instant::now() + limits::SESSION_AGE + random::up_to(limits::SESSION_AGE_SPREAD);
    let mut silent_at = silence();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            message = socket.next() => message,
            _ = ticks.tick() => {
                let check = shared.check_health.swap(false, Ordering::Relaxed);
                let frames = telemetry.collect(check).await;
                if let Err(error) = send_all(&mut socket, links, &frames).await {
                    return End::Failed(error);
                }
                continue;
            }
            () = telemetry.health_changed() => {
                let frames = telemetry.changed_health().await;
                if let Err(error) = send_all(&mut socket, links, &frames).await {
                    return End::Failed(error);
                }
                continue;
            }
            () = sleep_until(silent_at) => return End::Failed(SessionError::Silent),
            () = sleep_until(renew_at) => return End::Normal,
        };
        match message {
            Some(Ok(Message::Text(text))) => match TcsToAgent::decode(&text) {
                Ok(TcsToAgent::Unknown(name)) => tracing::debug!(name, "an unknown message"),
                Ok(_) => silent_at = silence(),
                Err(error) => tracing::warn!(%error, "a frame that cannot be read"),
            },
            Some(Ok(Message::Close(frame))) if is_normal_close(frame.as_ref()) => {
                return End::Normal;
            }
            Some(Ok(Message::Close(_))) => {
                return End::Failed(SessionError::Broken("closed".to_owned()));
            }
            Some(Ok(_)) => {}
            None => return End::Normal,
            Some(Err(error)) => return End::Failed(SessionError::Broken(error.to_string())),
        }
    }
}

async fn send_all(
    socket: &mut Socket,
    links: &Links,
    frames: &[TcsToServer],
) -> Result<(), SessionError> {
    for frame in frames {
        send(socket, links, frame).await?;
    }
    Ok(())
}

async fn send(socket: &mut Socket, links: &Links, frame: &TcsToServer) -> Result<(), SessionError> {
    let body = frame.encode();
    let headers = links.frame_headers(body.as_bytes());
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let message = Message::text(sign_frame(headers, &body));
    match timeout(limits::SESSION_IO, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(SessionError::Broken(error.to_string())),
        Err(_) => Err(SessionError::Silent),
    }
}
