//! Whom a feed's TLS connection trusts: the system's certificate authorities, Mozilla's, and those of a
//! file of the user's, as a proxy that looks into connections needs.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tracing::debug;

use super::FeedError;

/// Whom to trust; made once a feed, since reading the system's certificates takes milliseconds.
pub type Trust = Arc<ClientConfig>;

/// The system's and Mozilla's authorities, and those of `file` (PEM).
///
/// # Errors
/// [`FeedError::Refused`] names the file if it cannot be read or holds no certificate.
pub fn trust(file: Option<&Path>) -> Result<Trust, FeedError> {
    // Another crate's choice, or an earlier feed's, is as good as ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        debug!(%error, "A certificate authority of the system cannot be read.");
    }
    // One that cannot be parsed is no authority; Mozilla's remain.
    roots.add_parsable_certificates(system.certs);
    if let Some(file) = file {
        let refused = |why: String| {
            FeedError::Refused(format!(
                "STOCKPULSE_CA_FILE or --ca-file: {}: {why}",
                file.display()
            ))
        };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| refused(format!("cannot be read as PEM ({error})")))?;
        if certificates.is_empty() {
            return Err(refused("holds no certificate".to_string()));
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| refused(format!("holds what is no authority ({error})")))?;
        }
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_without_certificates_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello").unwrap();
        for (path, said) in [
            (file.path().to_path_buf(), "holds no certificate"),
            ("no/such.pem".into(), "cannot be read as PEM"),
        ] {
            let Err(FeedError::Refused(text)) = trust(Some(&path)) else {
                panic!("{path:?} was taken");
            };
            assert!(text.contains(said) && text.contains("--ca-file"), "{text}");
        }
    }
}
