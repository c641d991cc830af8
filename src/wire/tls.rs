//! TLS settings: the files and modes that were named, read once into rustls' configuration.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::config::{Tls, TlsVerify};

/// A file and the option that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// As the operator types it.
    pub option: String,
    /// Where it is.
    pub path: PathBuf,
}

/// What one side was told about TLS.
#[derive(Clone)]
pub struct Settings {
    /// What of the server's certificate is verified.
    pub verify: TlsVerify,
    /// Certificate authorities, PEM; `None` takes the system's.
    pub ca: Option<NamedFile>,
    /// Client certificate chain and its private key, PEM.
    pub client: Option<(NamedFile, NamedFile)>,
    /// Password of an encrypted private key.
    pub key_password: Option<String>,
}

/// Why settings make no configuration. Each names the option and the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else than it should.
    #[error("{option}: {path}: {reason}")]
    File {
        /// The option that named it.
        option: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No file was named, and the system has no roots.
    #[error(
        "TLS: this system has no certificate authorities; name a file with --source-cacert or --target-cacert"
    )]
    NoRoots,
    /// rustls refuses the whole.
    #[error("TLS: {0}")]
    Refused(String),
}

impl NamedFile {
    fn error(&self, reason: &(impl fmt::Display + ?Sized)) -> TlsError {
        TlsError::File {
            option: self.option.clone(),
            path: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        fs::read(&self.path).map_err(|error| self.error(&error))
    }

    /// At least one certificate.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates =
            CertificateDer::pem_slice_iter(&self.read()?).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| self.error(pem_reason(&error)))?;
        if certificates.is_empty() {
            Err(self.error("holds no certificate in PEM"))
        } else {
            Ok(certificates)
        }
    }

    /// The first private key, decrypted where it is encrypted.
    fn private_key(&self, password: Option<&str>) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = self.read()?;
        if let Some(der) = encrypted_key(&text) {
            let Some(password) = password else {
                return Err(self.error(&format!(
                    "the key is encrypted: give its password with {}-pass",
                    self.option
                )));
            };
            let info = EncryptedPrivateKeyInfo::try_from(der.as_slice());
            let info = info.map_err(|_| self.error("the encrypted key is not PKCS#8"))?;
            let plain = info.decrypt(password).map_err(|_| {
                self.error(
                    "the key cannot be decrypted: wrong password, or a cipher that is not AES",
                )
            })?;
            return Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into());
        }
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => self.error("holds no private key in PEM"),
            error => self.error(pem_reason(&error)),
        })
    }
}

fn pem_reason(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "holds nothing in PEM",
        _ => "is not well-formed PEM",
    }
}

/// The DER of a section `ENCRYPTED PRIVATE KEY`.
fn encrypted_key(text: &[u8]) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(text).ok()?;
    let section = text.get(text.find(BEGIN)?..)?;
    let section = section.get(..section.find(END)? + END.len())?;
    // The label is in the constants; the `pkcs8` crate wants exact line lengths, so lines are joined again by it alone.
    pkcs8::SecretDocument::from_pem(section)
        .ok()
        .map(|(_, document)| document.as_bytes().to_vec())
}

impl Settings {
    /// Reads the files and builds the configuration.
    ///
    /// The provider is named here, so that no process-wide default is needed.
    pub fn build(&self) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Refused(error.to_string()))?;
        let builder = match self.verify {
            TlsVerify::Full => builder.with_webpki_verifier(self.chain(&provider)?),
            TlsVerify::Ca => {
                let verifier = AnyName {
                    chain: self.chain(&provider)?,
                };
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            TlsVerify::None => {
                if let Some(file) = &self.ca {
                    file.certificates()?;
                }
                let verifier = Anyone {
                    algorithms: provider.signature_verification_algorithms,
                };
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let client = match &self.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificate.certificates()?;
                let private = key.private_key(self.key_password.as_deref())?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| match error {
                        rustls::Error::InconsistentKeys(_) => {
                            key.error(&format!("is not the key of {}", certificate.path.display()))
                        }
                        error => key.error(&error),
                    })?
            }
        };
        Ok(Tls {
            client: Arc::new(client),
            verify: self.verify,
        })
    }

    /// The verifier of chain and name.
    fn chain(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for certificate in file.certificates()? {
                    roots.add(certificate).map_err(|error| file.error(&error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Refused(error.to_string()))
    }
}

/// Mode `ca`: the chain is verified, the name is forgiven.
#[derive(Debug)]
struct AnyName {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name comes last in the delegate: an error of the name says that the chain was right.
        match self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Mode `none`: any certificate will do, but the handshake must be signed with its key.
#[derive(Debug)]
struct Anyone {
    algorithms: WebPkiSupportedAlgorithms,
}

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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
