//! What stands between a store and etcd: passes everything on, or loses one direction.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fair,
    /// What clients say does not arrive.
    LosesRequests,
    /// What etcd says does not arrive.
    LosesAnswers,
}

#[derive(Clone, Copy, Debug)]
struct Now {
    weather: Weather,
    /// Connections from before the last change to fair weather are cut.
    era: usize,
}

pub(super) struct Proxy {
    pub(super) address: String,
    now: watch::Sender<Now>,
    /// Bytes that were lost since the weather last changed.
    lost: Arc<watch::Sender<usize>>,
}

impl Proxy {
    /// In front of a port of this machine.
    pub(super) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("etcd://{}", listener.local_addr().expect("an address"));
        let now = watch::Sender::new(Now { weather: Weather::Fair, era: 0 });
        let lost = Arc::new(watch::Sender::new(0));
        let (subscribe, count) = (now.clone(), Arc::clone(&lost));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let pipe = |from, to, loses| {
                    pass(from, to, loses, subscribe.subscribe(), Arc::clone(&count))
                };
                tokio::spawn(pipe(from_client, to_server, Weather::LosesRequests));
                tokio::spawn(pipe(from_server, to_client, Weather::LosesAnswers));
            }
        });
        Self { address, now, lost }
    }

    pub(super) fn turn(&self, weather: Weather) {
        self.lost.send_replace(0);
        self.now.send_modify(|now| {
            now.weather = weather;
            now.era += usize::from(weather == Weather::Fair);
        });
    }

    /// Waits until so many bytes are lost.
    pub(super) async fn has_lost(&self, bytes: usize) {
        let mut lost = self.lost.subscribe();
        lost.wait_for(|lost| *lost >= bytes).await.expect("it runs");
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    loses: Weather,
    mut now: watch::Receiver<Now>,
    lost: Arc<watch::Sender<usize>>,
) {
    let era = now.borrow().era;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = now.wait_for(|now| now.era != era) => 0,
        };
        // What comes just when the weather turns fair is of the connection that is cut.
        let Now { weather, era: current } = *now.borrow();
        if read == 0 || current != era {
            return;
        }
        if weather == loses {
            lost.send_modify(|lost| *lost += read);
        } else if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
