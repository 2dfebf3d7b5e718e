//! Certificates and TLS, for clients and between cells.
//!
//! Invariant: between cells both sides show a certificate of the cells' own authority, in the
//! name of a cell that the configuration knows; public authorities are not asked (they issue no
//! client certificates).
//! Refs: RFC 8446; RFC 9325; design §3.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};

use crate::config::Tls;

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn certificates(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).with_context(|| {
        let path = path.display();
        format!("cannot read certificates from `{path}`; change `{setting}` in [tls]")
    })
}

fn identity(tls: &Tls) -> Result<Identity> {
    let key = PrivateKeyDer::from_pem_file(&tls.key).with_context(|| {
        let path = tls.key.display();
        format!("cannot read a private key from `{path}`; change `key` in [tls]")
    })?;
    Ok(Identity { chain: certificates(&tls.certificate, "certificate")?, key })
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "peer_ca")? {
        store.add(certificate).with_context(|| format!("in `{}`", path.display()))?;
    }
    Ok(Arc::new(store))
}

/// For mail programs and other servers: our certificate, none asked of them.
pub(crate) fn server(tls: &Tls) -> Result<Arc<ServerConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let why = "[tls] `certificate` is no certificate for `key`; change one of them";
    Ok(Arc::new(config.context(why)?))
}

/// For other cells coming to us: a certificate of the cells' authority in one of these names is
/// required.
pub(crate) fn relay_server<'a>(
    tls: &Tls,
    peer_ca: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<Arc<ServerConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let name = |name: &str| {
        ServerName::try_from(name.to_owned()).with_context(|| {
            format!("`{name}` is not a host name; change `relay_name` in [[peer]]")
        })
    };
    let known = KnownCells {
        signed: WebPkiClientVerifier::builder(roots(peer_ca)?).build()?,
        names: names.map(name).collect::<Result<_>>()?,
    };
    let config = ServerConfig::builder().with_client_cert_verifier(Arc::new(known));
    Ok(Arc::new(config.with_single_cert(chain, key)?))
}

/// For us going to another cell: theirs is checked against the cells' authority, ours is shown.
pub(crate) fn relay_client(tls: &Tls, peer_ca: &Path) -> Result<Arc<ClientConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let config = ClientConfig::builder().with_root_certificates(roots(peer_ca)?);
    Ok(Arc::new(config.with_client_auth_cert(chain, key)?))
}

/// Whether the files that the configuration names can be served with.
pub(crate) fn check(tls: &Tls) -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    server(tls)?;
    if let Some(peer_ca) = &tls.peer_ca {
        relay_client(tls, peer_ca)?;
    }
    Ok(())
}

/// Asks more than the authority's signature: it may have signed hosts that are not cells, and
/// what a cell says of a letter's origin is believed.
#[derive(Debug)]
struct KnownCells {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for KnownCells {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.signed.verify_client_cert(end_entity, intermediates, now)?;
        let shown = ParsedCertificate::try_from(end_entity)?;
        if self.names.iter().any(|name| verify_server_name(&shown, name).is_ok()) {
            Ok(verified)
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
