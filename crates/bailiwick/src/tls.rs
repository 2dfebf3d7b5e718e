//! Certificates and TLS, for clients and between cells.
//!
//! Invariant: between cells both sides show a certificate of the cells' own authority; public
//! authorities are not asked (they issue no client certificates).
//! Refs: RFC 8446; RFC 9325; design §3.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::Tls;

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from `{}`", path.display()))
}

fn identity(tls: &Tls) -> Result<Identity> {
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("cannot read a private key from `{}`", tls.key.display()))?;
    Ok(Identity { chain: certificates(&tls.certificate)?, key })
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).with_context(|| format!("in `{}`", path.display()))?;
    }
    Ok(Arc::new(store))
}

/// For mail programs and other servers: our certificate, none asked of them.
pub(crate) fn server(tls: &Tls) -> Result<Arc<ServerConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Ok(Arc::new(config.context("the certificate and the key do not belong together")?))
}

/// For other cells coming to us: a certificate of the cells' authority is required.
pub(crate) fn relay_server(tls: &Tls, peer_ca: &Path) -> Result<Arc<ServerConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let verifier = WebPkiClientVerifier::builder(roots(peer_ca)?).build()?;
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    Ok(Arc::new(config.with_single_cert(chain, key)?))
}

/// For us going to another cell: theirs is checked against the cells' authority, ours is shown.
pub(crate) fn relay_client(tls: &Tls, peer_ca: &Path) -> Result<Arc<ClientConfig>> {
    let Identity { chain, key } = identity(tls)?;
    let config = ClientConfig::builder().with_root_certificates(roots(peer_ca)?);
    Ok(Arc::new(config.with_client_auth_cert(chain, key)?))
}
