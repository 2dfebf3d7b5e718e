//! Connections to other servers, and TLS on them.
//!
//! Invariant: to another cell nothing is said before both certificates are checked; to a
//! stranger's mail exchanger TLS is taken where offered, whoever signed it, because the other
//! choice is none (RFC 7435).
//! Refs: RFC 3207; RFC 7435; design §3.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mail::network::{Accept, BoxStream, Connecting, Network};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

async fn within<T>(limit: Duration, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, doing).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// TLS as a server.
#[derive(Clone)]
pub(crate) struct TlsServer(TlsAcceptor);

impl TlsServer {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self(TlsAcceptor::from(config))
    }
}

impl Accept for TlsServer {
    fn accept(&self, stream: BoxStream) -> Connecting<'_> {
        Box::pin(async move {
            let stream = within(HANDSHAKE_TIMEOUT, self.0.accept(stream)).await?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

/// Connections out.
pub(crate) struct Internet {
    opportunistic: TlsConnector,
    /// `None` in a cell without peers.
    cells: Option<TlsConnector>,
}

impl Internet {
    pub(crate) fn new(cells: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth();
        Ok(Self {
            opportunistic: TlsConnector::from(Arc::new(config)),
            cells: cells.map(TlsConnector::from),
        })
    }
}

fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = within(CONNECT_TIMEOUT, TcpStream::connect(to)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Network for Internet {
    fn connect(&self, to: SocketAddr) -> Connecting<'_> {
        Box::pin(async move { Ok(Box::new(connect(to).await?) as BoxStream) })
    }

    fn start_tls<'a>(&'a self, stream: BoxStream, name: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            let handshake = self.opportunistic.connect(server_name(name)?, stream);
            Ok(Box::new(within(HANDSHAKE_TIMEOUT, handshake).await?) as BoxStream)
        })
    }

    fn connect_cell<'a>(&'a self, to: SocketAddr, name: &'a str) -> Connecting<'a> {
        Box::pin(async move {
            let cells = self.cells.as_ref().ok_or_else(|| {
                io::Error::other("no `peer_ca` in [tls], so no cell can be trusted")
            })?;
            let handshake = cells.connect(server_name(name)?, connect(to).await?);
            Ok(Box::new(within(HANDSHAKE_TIMEOUT, handshake).await?) as BoxStream)
        })
    }
}

/// Accepts any certificate, but only one whose key the other side holds.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
