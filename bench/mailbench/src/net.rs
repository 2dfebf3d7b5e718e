//! A connection to a test server, plain or TLS, with its own read buffer.
//!
//! Invariant: certificates are not checked, so an address that is not loopback is refused.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

const BUFFER_OCTETS: usize = 256 << 10;
const LINE_OCTETS_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(900);

/// Takes any certificate: the server is one we started.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn tls_config() -> Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    // Every login is a whole one.
    config.resumption = Resumption::disabled();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    from: usize,
    until: usize,
    pub(crate) octets_in: u64,
}

impl Connection {
    pub(crate) fn open(address: &str, tls: bool) -> Result<Self> {
        let address: SocketAddr = address.parse().context("an address is IP:PORT")?;
        ensure!(address.ip().is_loopback(), "{address} is not on this machine");
        let stream = TcpStream::connect(address).with_context(|| format!("no one at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let stream = if tls {
            let name = ServerName::IpAddress(address.ip().into());
            let mut stream = StreamOwned::new(ClientConnection::new(tls_config()?, name)?, stream);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            Stream::Tls(Box::new(stream))
        } else {
            Stream::Plain(stream)
        };
        Ok(Self { stream, buffer: vec![0; BUFFER_OCTETS], from: 0, until: 0, octets_in: 0 })
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets)?,
            Stream::Tls(stream) => {
                stream.write_all(octets)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut self.buffer)?,
            Stream::Tls(stream) => stream.read(&mut self.buffer)?,
        };
        if read == 0 {
            bail!("the server closed the connection");
        }
        (self.from, self.until) = (0, read);
        self.octets_in += read as u64;
        Ok(())
    }

    /// Reads one line into `line`, without its line end.
    pub(crate) fn line(&mut self, line: &mut Vec<u8>) -> Result<()> {
        line.clear();
        loop {
            if self.from == self.until {
                self.fill()?;
            }
            let window = &self.buffer[self.from..self.until];
            if let Some(end) = window.iter().position(|octet| *octet == b'\n') {
                line.extend_from_slice(&window[..end]);
                self.from += end + 1;
                line.pop_if(|octet| *octet == b'\r');
                return Ok(());
            }
            line.extend_from_slice(window);
            self.from = self.until;
            ensure!(line.len() < LINE_OCTETS_MAX, "a line without end");
        }
    }

    /// Reads this many octets and forgets them.
    pub(crate) fn skip(&mut self, mut octets: usize) -> Result<()> {
        while octets > 0 {
            if self.from == self.until {
                self.fill()?;
            }
            let step = octets.min(self.until - self.from);
            self.from += step;
            octets -= step;
        }
        Ok(())
    }
}
