//! Who is trusted when this machine speaks TLS.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// Certificates are verified against the authorities that this machine trusts, or Mozilla's where it
/// names none. The first time this reads files.
///
/// # Errors
///
/// There is no TLS to be had.
pub fn config() -> Result<Arc<ClientConfig>, String> {
    TLS.clone()
}

static TLS: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        for error in found.errors {
            warn!("cannot load this machine's certificate authorities: {error}");
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
});
