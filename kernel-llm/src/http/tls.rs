//! TLS by rustls with ring, passed explicitly: nothing here depends on, or installs, a process-wide provider.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The TLS settings of a client. Certificates are judged by the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR`
/// count); a client that speaks plain HTTP only needs, and gets, none.
pub(super) fn config(is_plain: bool) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let mut config = if is_plain {
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    } else {
        builder.with_platform_verifier()?.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
