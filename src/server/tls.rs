//! TLS: the certificate, the handshake, and reading the certificate anew while serving.
//!
//! Not here: who asks for that (`cli/serve.rs`). Bounded by: `ServerLimits::head_deadline` for a handshake.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
    server::TlsStream,
};

/// Why a certificate and its key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or holds something else.
    #[error("{path}: {cause}")]
    Pem {
        /// Which.
        path: String,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// They don't belong together, or are of a kind that isn't known.
    #[error("{path}: {cause}")]
    Unusable {
        /// The certificate's file.
        path: String,
        /// What is wrong with it.
        cause: rustls::Error,
    },
}

/// What the server shows of itself, and proves.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads a certificate, with those that lead to its issuer behind it, and its key; both as PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let config = read(certificate, key)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: RwLock::new(config),
        }))
    }

    /// Reads them anew, for connections to come. Where they can't be used those that were read before stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.certificate, &self.key)?;
        *self.config.write() = config;
        Ok(())
    }

    /// The handshake.
    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.read().clone();
        TlsAcceptor::from(config).accept(tcp).await
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let shown = |path: &Path| path.display().to_string();
    let no_pem = |path: &Path, cause| TlsError::Pem {
        path: shown(path),
        cause,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| no_pem(certificate, cause))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| no_pem(key, cause))?;
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|cause| TlsError::Unusable {
        path: shown(certificate),
        cause,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
