//! One message to one server: drives the client's session over a stream.
//!
//! Invariant: every wait is bounded; whatever breaks leaves the recipients deferred, never
//! delivered.
//! Refs: RFC 5321 §4.5.3.2; RFC 3207 §4.

use core::time::Duration;

use proto::smtp::{Client, ClientEvent, Delivery, Job, Outcome, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::network::{BoxStream, Network};

/// RFC 5321 §4.5.3.2.1 to .3: five minutes for the greeting, MAIL and RCPT.
const REPLY_WAIT: Duration = Duration::from_secs(5 * 60);
/// RFC 5321 §4.5.3.2.6: ten minutes for the end of the message.
const END_WAIT: Duration = Duration::from_secs(10 * 60);
/// RFC 5321 §4.5.3.2.5: three minutes for each block.
const WRITE_WAIT: Duration = Duration::from_secs(3 * 60);
const HANDSHAKE_WAIT: Duration = Duration::from_secs(60);
/// One server may take this long in all.
const TOTAL_WAIT: Duration = Duration::from_secs(45 * 60);
/// Octets of the message in one write.
const PIECE: usize = 64 << 10;

/// What became of a job.
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// Whether it ended because TLS could not be started, before anything was said in it.
    pub(crate) tls_failed: bool,
}

/// Sends a message over a connection just made. `name` is the server's, for TLS.
pub(crate) async fn send(
    stream: BoxStream,
    network: &dyn Network,
    name: &str,
    job: Job,
    message: &[u8],
) -> Done {
    let recipients = job.recipients.len();
    let sending = Sending { stream, network, name, message, tls_failed: false };
    timeout(TOTAL_WAIT, sending.run(Client::new(job))).await.unwrap_or_else(|_| Done {
        outcome: Outcome {
            deliveries: vec![Delivery::Deferred(Reply::connection_lost()); recipients],
            tls: false,
        },
        tls_failed: false,
    })
}

struct Sending<'a> {
    stream: BoxStream,
    network: &'a dyn Network,
    name: &'a str,
    message: &'a [u8],
    tls_failed: bool,
}

impl Sending<'_> {
    async fn run(mut self, mut client: Client) -> Done {
        let mut buffer = vec![0; 8 << 10];
        let mut wait = REPLY_WAIT;
        loop {
            let ok = match client.next_event() {
                ClientEvent::Done(outcome) => {
                    let bye = async {
                        drop(self.stream.flush().await);
                        drop(self.stream.shutdown().await);
                    };
                    // Whether the goodbye arrives changes nothing.
                    drop(timeout(Duration::from_secs(5), bye).await);
                    return Done { outcome, tls_failed: self.tls_failed };
                }
                ClientEvent::Send(octets) => self.write(&octets).await,
                ClientEvent::NeedInput => {
                    match timeout(wait, self.stream.read(&mut buffer)).await {
                        Ok(Ok(count)) if count > 0 => {
                            client.feed(buffer.get(..count).unwrap_or_default());
                            true
                        }
                        _ => false,
                    }
                }
                ClientEvent::StartTls => {
                    let Some(next) = self.start_tls(&mut client).await else { continue };
                    self.stream = next;
                    client.tls_started();
                    true
                }
                ClientEvent::NeedBody => {
                    wait = END_WAIT;
                    self.write_message(&mut client).await
                }
            };
            if !ok {
                client.fail(&Reply::connection_lost());
            }
        }
    }

    async fn start_tls(&mut self, client: &mut Client) -> Option<BoxStream> {
        let plain = core::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let handshake = timeout(HANDSHAKE_WAIT, self.network.start_tls(plain, self.name)).await;
        if let Ok(Ok(stream)) = handshake {
            return Some(stream);
        }
        self.tls_failed = true;
        client.fail(&Reply::tls_unavailable());
        None
    }

    async fn write(&mut self, octets: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        matches!(timeout(WRITE_WAIT, write).await, Ok(Ok(())))
    }

    async fn write_message(&mut self, client: &mut Client) -> bool {
        for piece in self.message.chunks(PIECE) {
            let wire = client.body(piece);
            let write = self.stream.write_all(&wire);
            if !matches!(timeout(WRITE_WAIT, write).await, Ok(Ok(()))) {
                return false;
            }
        }
        let end = client.body_end();
        self.write(&end).await
    }
}
