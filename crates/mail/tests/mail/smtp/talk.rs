//! A client that says what the test says, and checks what it hears.

use core::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Talk {
    stream: BufReader<DuplexStream>,
}

impl Talk {
    pub(crate) fn new(stream: DuplexStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends octets as they are.
    pub(crate) async fn raw(&mut self, octets: &[u8]) {
        // The other side may have closed, which the next read tells.
        drop(self.stream.get_mut().write_all(octets).await);
        drop(self.stream.get_mut().flush().await);
    }

    /// One line that is no reply.
    pub(crate) async fn hear_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        line
    }

    /// One reply, its lines joined.
    pub(crate) async fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.hear_line().await;
            reply.push_str(&line);
            if line.is_empty() || line.as_bytes().get(3) == Some(&b' ') {
                return reply;
            }
        }
    }

    /// Says a line, and hears a reply that begins so.
    #[track_caller]
    pub(crate) fn say(
        &mut self,
        line: &str,
        expected: &str,
    ) -> impl Future<Output = String> + use<'_> {
        let (line, expected) = (format!("{line}\r\n"), expected.to_owned());
        let place = core::panic::Location::caller();
        async move {
            self.raw(line.as_bytes()).await;
            let reply = self.hear().await;
            assert!(reply.starts_with(&expected), "{place}: {line:?} -> {reply:?}");
            reply
        }
    }

    /// Hears a reply that begins so.
    pub(crate) async fn expect(&mut self, expected: &str) -> String {
        let reply = self.hear().await;
        assert!(reply.starts_with(expected), "{reply:?}");
        reply
    }

    /// A whole transaction after EHLO; the reply to the end of the message.
    pub(crate) async fn send(&mut self, from: &str, to: &[&str], message: &str) -> String {
        self.say(&format!("MAIL FROM:<{from}>"), "250").await;
        for to in to {
            self.say(&format!("RCPT TO:<{to}>"), "250").await;
        }
        self.say("DATA", "354").await;
        self.raw(message.as_bytes()).await;
        self.raw(b"\r\n.\r\n").await;
        self.hear().await
    }
}
