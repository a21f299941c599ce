//! The ACS session: orders come in, the engine answers, answers go out, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{SinkExt, StreamExt};
use longshore_wire::agent::{AcsToAgent, AcsToServer};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{End, Links, SessionError, Socket, is_normal_close};
use crate::backoff::Backoff;
use crate::{limits, random};

/// What the two sessions know of each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set by every heartbeat: the machine's health is to be looked at.
    pub(crate) check_health: AtomicBool,
    /// Whether the session is open.
    pub(crate) connected: AtomicBool,
}

/// Something that the control plane said; the answers go back to it.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) message: AcsToAgent,
    pub(crate) reply: oneshot::Sender<Vec<AcsToServer>>,
}

/// Keeps a session open until the agent ends. Orders go to whoever holds the other end of
/// `events`.
pub(crate) async fn run<E: From<Order>>(
    links: Arc<Links>,
    events: mpsc::Sender<E>,
    shared: Arc<Shared>,
    inactive: watch::Sender<bool>,
    inactive_wait: std::time::Duration,
) {
    let mut backoff = Backoff::acs();
    let mut send_credentials = true;
    loop {
        let socket = match links.acs(send_credentials).await {
            Ok(socket) => socket,
            Err(SessionError::Inactive(text)) => {
                tracing::error!(text, wait = ?inactive_wait, "this container instance was deregistered; its tasks go on");
                inactive.send_replace(true);
                sleep(inactive_wait).await;
                inactive.send_replace(false);
                continue;
            }
            Err(error) => {
                let wait = backoff.wait();
                tracing::warn!(%error, ?wait, "no session with the control plane");
                sleep(wait).await;
                continue;
            }
        };
        tracing::info!("connected to the control plane");
        send_credentials = false;
        let opened = Instant::now();
        shared.connected.store(true, Ordering::Relaxed);
        let end = talk(socket, &events, &shared).await;
        shared.connected.store(false, Ordering::Relaxed);
        if opened.elapsed() >= limits::SESSION_SILENCE {
            backoff.reset();
        }
        match end {
            End::Normal => backoff.reset(),
            End::Failed(error) => {
                let wait = backoff.wait();
                tracing::warn!(%error, ?wait, "the session with the control plane ended");
                sleep(wait).await;
            }
        }
    }
}

async fn talk<E: From<Order>>(
    mut socket: Socket,
    events: &mpsc::Sender<E>,
    shared: &Shared,
) -> End {
    let silence =
        || Instant::now() + limits::SESSION_SILENCE + random::up_to(limits::SESSION_SILENCE);
    let age = limits::SESSION_AGE + random::up_to(limits::SESSION_AGE_SPREAD);
    let renew_at = Instant::now() + age;
    let mut silent_at = silence();
    loop {
        let message = tokio::select! {
            biased;
            message = socket.next() => message,
            () = sleep_until(silent_at) => return End::Failed(SessionError::Silent),
            () = sleep_until(renew_at) => return renew(socket).await,
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) if is_normal_close(frame.as_ref()) => {
                return End::Normal;
            }
            Some(Ok(Message::Close(frame))) => {
                let text = frame.map(|frame| frame.to_string()).unwrap_or_default();
                return End::Failed(SessionError::Broken(text));
            }
            Some(Ok(_)) => continue,
            None | Some(Err(tokio_tungstenite::tungstenite::Error::ConnectionClosed)) => {
                return End::Normal;
            }
            Some(Err(error)) => return End::Failed(SessionError::Broken(error.to_string())),
        };
        let message = match AcsToAgent::decode(&text) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(
                    error = longshore_wire::with_causes(&error),
                    "a frame that cannot be read"
                );
                continue;
            }
        };
        if !matches!(message, AcsToAgent::Unknown(_)) {
            silent_at = silence();
        }
        if matches!(message, AcsToAgent::Heartbeat(_)) {
            shared.check_health.store(true, Ordering::Relaxed);
        }
        let (reply, answers) = oneshot::channel();
        if events.send(Order { message, reply }.into()).await.is_err() {
            return End::Normal;
        }
        for answer in answers.await.unwrap_or_default() {
            if let Err(error) = send(&mut socket, &answer).await {
                return End::Failed(error);
            }
        }
    }
}

async fn send(socket: &mut Socket, answer: &AcsToServer) -> Result<(), SessionError> {
    let message = Message::text(answer.encode());
    match timeout(limits::SESSION_IO, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(SessionError::Broken(error.to_string())),
        Err(_) => Err(SessionError::Silent),
    }
}

async fn renew(mut socket: Socket) -> End {
    let reason = "ConnectionExpired: Reconnect to continue";
    let frame = CloseFrame { code: CloseCode::Normal, reason: reason.into() };
    // The other side may be gone; a new session is opened either way.
    drop(timeout(limits::SESSION_IO, socket.close(Some(frame))).await);
    End::Normal
}
