//! Accept loops: one for each protocol.
//!
//! Invariant: a stranger can take at most `connections_max` connections; the loop survives
//! whatever a connection does, and ends when the cell is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long a stopping cell waits for its connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long an accept loop rests when the host has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Becomes true once, when the cell is told to stop.
pub(crate) type Stop = watch::Receiver<bool>;

/// Resolves when the cell is told to stop.
pub(crate) async fn stopped(mut stop: Stop) {
    // An error means the sender is gone, and that is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves each connection with `handle` until `stop`, then waits for those that are open.
pub(crate) async fn accept<F, Fut>(
    protocol: &'static str,
    listener: TcpListener,
    connections_max: u32,
    stop: Stop,
    handle: F,
) where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(usize::MAX)));
    let mut connections = JoinSet::new();
    let stopping = stopped(stop);
    tokio::pin!(stopping);
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    tracing::warn!(protocol, "connections_max reached; connection closed");
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let served = handle(stream, peer);
                connections.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(protocol, %error, "accept failed");
                tokio::time::sleep(REST).await;
            }
        }
    }
    let waited =
        tokio::time::timeout(GOODBYE, async { while connections.join_next().await.is_some() {} });
    if waited.await.is_err() {
        tracing::warn!(protocol, open = connections.len(), "connections cut at stop");
    }
}
