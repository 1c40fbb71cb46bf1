//! The server's own certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{FrontError, certificate_validity};
use toolhost_core::manifest::TlsConfig;

/// The longest certificate or key file, in bytes.
const MAX_PEM: u64 = 1 << 20;

/// Reads the files.
///
/// # Errors
///
/// Which of them is wrong, and how.
pub(super) fn acceptor(files: &TlsConfig) -> Result<TlsAcceptor, FrontError> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| FrontError::File {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let TlsConfig {
        certificate,
        key,
        paths,
        ..
    } = files;
    let read = |path: &Path| paths.read(path, MAX_PEM);
    let text = read(certificate).map_err(|error| wrong(certificate, &error))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(certificate, &error))?;
    let Some(first) = chain.first() else {
        return Err(wrong(certificate, &"it contains no certificate"));
    };
    if let Some(problem) = certificate_validity::problem(first, SystemTime::now()) {
        let path = certificate.display();
        tracing::warn!("the certificate {path} {problem}: clients will refuse it");
    }
    let text = read(key).map_err(|error| wrong(key, &error))?;
    let private = PrivateKeyDer::from_pem_slice(&text)
        // Not the error's own text, which might quote the file.
        .map_err(|_| wrong(key, &"it contains no private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let why = format!("it is not the key of {}", certificate.display());
                wrong(key, &why)
            }
            rustls::Error::General(_) => wrong(key, &error),
            error => wrong(certificate, &error),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
