//! A certificate authority of the tests' own, and certificates from it, as PEM files.

use std::path::{Path, PathBuf};

use pkcs8::LineEnding;
use pkcs8::pkcs5::pbes2;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::servers::TlsFiles;

/// An authority and a folder for what it signs.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    /// A new authority that nobody knows yet.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("riot-it-ca-").unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters
            .distinguished_name
            .push(DnType::CommonName, "riot's tests");
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let file = write(folder.path(), "authority.pem", &certificate.pem());
        Self {
            folder,
            issuer: Issuer::new(parameters, key),
            file,
        }
    }

    /// Its certificate: what `--cacert` names.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Files of a server that is called `names`.
    pub(crate) fn server(&self, names: &[&str]) -> TlsFiles {
        let (certificate, key) = self.sign(
            &format!("server-{}", names.join("-")),
            names,
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        TlsFiles {
            certificate,
            key,
            authority: self.file.clone(),
            client_certificates: false,
        }
    }

    /// Certificate and key of a client.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        self.sign("client", &["client"], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        name: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) -> (PathBuf, PathBuf) {
        let mut parameters =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())
                .unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (
            write(
                self.folder.path(),
                &format!("{name}.crt"),
                &certificate.pem(),
            ),
            write(
                self.folder.path(),
                &format!("{name}.key"),
                &key.serialize_pem(),
            ),
        )
    }
}

/// The same PKCS#8 key, encrypted with a password, beside the plain one.
pub(crate) fn encrypted(key: &Path, password: &str) -> PathBuf {
    let pair = KeyPair::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let plain = pair.serialize_der();
    let info = pkcs8::PrivateKeyInfo::try_from(plain.as_slice()).unwrap();
    let way =
        pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"twelve bytes", b"sixteen bytes it")
            .unwrap();
    let document = info.encrypt_with_params(way, password).unwrap();
    let pem = document
        .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
        .unwrap();
    let name = format!("{}.encrypted", key.file_name().unwrap().to_str().unwrap());
    write(key.parent().unwrap(), &name, &pem)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}
