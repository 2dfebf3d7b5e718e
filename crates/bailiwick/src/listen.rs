//! Accept loops: one for each protocol.
//!
//! Invariant: all together can take at most `connections_max` connections, and one source at
//! most `connections_per_source_max` of them; those too many are told so, where the protocol has
//! words for it before TLS, and only so many at one time; the loop survives whatever a connection
//! does, and ends when the cell is told to stop.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long a stopping cell waits for its connections to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long an accept loop rests when the host has no descriptors left.
const REST: Duration = Duration::from_millis(100);

/// How many are told at one time that there is no place; further ones are closed without a word.
const REFUSALS_MAX: usize = 32;

/// Tells a client that there is no place, and closes. It must end by itself, and soon.
pub(crate) type Refuse =
    Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Becomes true once, when the cell is told to stop.
pub(crate) type Stop = watch::Receiver<bool>;

/// Resolves when the cell is told to stop.
pub(crate) async fn stopped(mut stop: Stop) {
    // An error means the sender is gone, and that is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) all: u32,
    pub(crate) per_source: u32,
}

/// Connections by source: an IPv4 address, or an IPv6 network of 64 bits, which is what one
/// customer has.
#[derive(Default)]
struct Sources(Mutex<HashMap<u64, u32>>);

/// One connection of a source, counted until it is dropped.
struct Counted {
    sources: Arc<Sources>,
    source: u64,
}

impl Sources {
    fn count(self: &Arc<Self>, peer: IpAddr, max: u32) -> Option<Counted> {
        let source = match peer.to_canonical() {
            IpAddr::V4(four) => u64::from(u32::from(four)),
            IpAddr::V6(six) => u64::try_from(u128::from(six) >> 64).unwrap_or(u64::MAX),
        };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(source).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted { sources: Arc::clone(self), source })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.source);
            }
        }
    }
}

/// Serves each connection with `handle` until `stop`, then waits for those that are open. Those
/// that find no place are left to `refuse`.
pub(crate) async fn accept<F, Fut>(
    protocol: &'static str,
    listener: TcpListener,
    limits: Limits,
    stop: Stop,
    handle: F,
    refuse: Option<Refuse>,
) where
    F: Fn(TcpStream, SocketAddr) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(usize::try_from(limits.all).unwrap_or(usize::MAX)));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let sources = Arc::new(Sources::default());
    let mut turned_away: u64 = 0;
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
                let counted = sources.count(peer.ip(), limits.per_source);
                let permit = Arc::clone(&permits).try_acquire_owned().ok();
                let (Some(counted), Some(permit)) = (counted, permit) else {
                    turned_away += 1;
                    // Said at 1, 2, 4, 8 …: a stranger must not fill the disk with it.
                    if turned_away.is_power_of_two() {
                        tracing::warn!(protocol, turned_away, "too many connections; closed");
                    }
                    let told = Arc::clone(&refusals).try_acquire_owned();
                    if let (Some(refuse), Ok(told)) = (&refuse, told) {
                        let refusing = refuse(stream);
                        connections.spawn(async move {
                            refusing.await;
                            drop(told);
                        });
                    }
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let served = handle(stream, peer);
                connections.spawn(async move {
                    served.await;
                    drop((permit, counted));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_counted_until_its_connections_end() {
        let sources = Arc::new(Sources::default());
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"].map(|ip| ip.parse().unwrap());
        let held = sources.count(one, 1).unwrap();
        assert!(sources.count(same, 1).is_none(), "one network is one source");
        assert!(sources.count(other, 1).is_some());
        drop(held);
        assert!(sources.count(same, 1).is_some());
        let four: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let held = sources.count(four, 1).unwrap();
        assert!(sources.count("192.0.2.1".parse().unwrap(), 1).is_none());
        drop(held);
        assert!(sources.0.lock().unwrap().is_empty());
    }
}
