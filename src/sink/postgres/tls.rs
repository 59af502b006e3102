//! TLS to a PostgreSQL server, as libpq's `sslmode` has it. `tokio-postgres` asks the server for it; whom to trust is
//! said here.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use crate::config::postgres::{RootCertificates, SslMode};
use crate::sink::SinkError;

/// Makes connections secure; copies do the same.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    /// Whether the newest connection is encrypted.
    used: Arc<AtomicBool>,
}

/// What is wrong with TLS, for people.
#[derive(Debug)]
pub(super) struct TlsFault(pub String);

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TlsFault {}

impl Tls {
    /// Trusts whom `roots` names, as far as `mode` wants it.
    ///
    /// # Errors
    /// [`SinkError::Options`] names a file of certificates that cannot be read.
    pub(super) fn new(mode: SslMode, roots: &RootCertificates) -> Result<Tls, SinkError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| SinkError::Options(format!("TLS cannot be set up: {error}")))?;
        let config = match mode {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient {
                    signed: None,
                    provider,
                }))
                .with_no_client_auth(),
            SslMode::VerifyCa => {
                let signed = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(trusted(roots)?),
                    Arc::clone(&provider),
                );
                let signed = signed.build().map_err(|error| {
                    SinkError::Options(format!("sslrootcert: nobody to trust ({error})"))
                })?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Lenient {
                        signed: Some(signed),
                        provider,
                    }))
                    .with_no_client_auth()
            }
            SslMode::VerifyFull => builder
                .with_root_certificates(trusted(roots)?)
                .with_no_client_auth(),
        };
        Ok(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            used: Arc::default(),
        })
    }

    /// Whether the newest connection is encrypted.
    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Before a new connection.
    pub(super) fn forget(&self) {
        self.used.store(false, Ordering::Relaxed);
    }
}

/// Whose certificates are taken.
fn trusted(roots: &RootCertificates) -> Result<RootCertStore, SinkError> {
    let mut store = RootCertStore::empty();
    let file = match roots {
        RootCertificates::System => {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            let system = rustls_native_certs::load_native_certs();
            // One that cannot be parsed is no authority; Mozilla's remain.
            store.add_parsable_certificates(system.certs);
            return Ok(store);
        }
        RootCertificates::File(file) => file,
    };
    let refused =
        |why: String| SinkError::Options(format!("sslrootcert: {}: {why}", file.display()));
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| refused(format!("cannot be read as PEM ({error})")))?;
    if certificates.is_empty() {
        return Err(refused("holds no certificate".to_owned()));
    }
    for certificate in certificates {
        store
            .add(certificate)
            .map_err(|error| refused(format!("holds what is no authority ({error})")))?;
    }
    Ok(store)
}

/// What of a refused certificate a person can do something about; `None`: it is not the certificate.
pub(super) fn refusal(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(fault) = error else {
        return None;
    };
    Some(match fault {
        CertificateError::UnknownIssuer => {
            "the server's certificate is signed by nobody who is trusted; name its authority's file by sslrootcert=FILE in the URL".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name than the URL's host; use the name it is for, or sslmode=verify-ca".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is this machine's clock right?".to_owned()
        }
        other => format!("the server's certificate is refused: {other:?}"),
    })
}

/// A certificate for any name, signed by somebody trusted or by anybody.
#[derive(Debug)]
struct Lenient {
    /// `None`: whoever it is.
    signed: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(signed) = &self.signed else {
            return Ok(ServerCertVerified::assertion());
        };
        // The name is looked at last, so one that is wrong is the only thing that is.
        match signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Connect;
    type Error = TlsFault;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect, TlsFault> {
        // tokio-postgres asks for one also where TLS is not wanted.
        let name = ServerName::try_from(host.to_owned());
        Ok(Connect {
            tls: self.clone(),
            name: name.ok(),
        })
    }
}

/// Makes one connection secure.
pub(super) struct Connect {
    tls: Tls,
    /// `None`: the host is none that a certificate could name.
    name: Option<ServerName<'static>>,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = self.name.ok_or_else(|| {
                TlsFault("TLS needs a host's name or address, and the URL's host is neither".into())
            })?;
            let stream = self.tls.connector.connect(name, stream).await?;
            self.tls.used.store(true, Ordering::Relaxed);
            Ok(Encrypted(Box::new(stream)))
        })
    }
}

/// A connection that is encrypted.
pub(super) struct Encrypted<S>(Box<client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    /// Deliberately none: `verify-full` protects from whoever is in between, and SCRAM goes on without.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
