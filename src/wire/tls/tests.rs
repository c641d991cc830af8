//! Handshakes in memory with certificates made for each test, and files that are not what they should be.

use std::io::Write as _;

use pkcs8::PrivateKeyInfo;
use pkcs8::pkcs5::pbes2;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConnection, ServerConfig, ServerConnection};
use tempfile::NamedTempFile;

use super::*;

/// An authority, and a server's certificate of it for `redis.example`.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// PEM of the authority's own certificate.
    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// PEM of a certificate for a name, and its key.
    fn issue(&self, name: &str) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }

    /// A server that shows a certificate for `redis.example`, and may want one of this authority from the client.
    fn server(&self, wants_client: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue("redis.example");
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn named(option: &str, file: &NamedTempFile) -> NamedFile {
    NamedFile {
        option: option.to_owned(),
        path: file.path().to_owned(),
    }
}

fn settings(verify: TlsVerify, ca: Option<&NamedTempFile>) -> Settings {
    Settings {
        verify,
        ca: ca.map(|ca| named("--source-cacert", ca)),
        client: None,
        key_password: None,
    }
}

/// Runs a handshake to its end, or to the first error of either side.
fn handshake(
    tls: &Tls,
    name: &'static str,
    server: Arc<ServerConfig>,
) -> Result<(), rustls::Error> {
    let mut client =
        ClientConnection::new(Arc::clone(&tls.client), ServerName::try_from(name).unwrap())?;
    let mut server = ServerConnection::new(server)?;
    // The client's certificate is judged after the client is done.
    for _ in 0..10 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

fn encrypted_pem(key: &KeyPair, password: &str) -> String {
    let der = key.serialize_der();
    let iv = [7; 16];
    let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(1000, b"saltsalt", &iv).unwrap();
    let encrypted = PrivateKeyInfo::try_from(der.as_slice())
        .unwrap()
        .encrypt_with_params(parameters, password)
        .unwrap();
    encrypted
        .to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF)
        .unwrap()
        .to_string()
}

#[test]
fn each_mode_verifies_what_it_says() {
    let (ours, others) = (Authority::new(), Authority::new());
    let ca = file(ours.pem());
    for (verify, authority, name, accepted) in [
        (TlsVerify::Full, &ours, "redis.example", true),
        (TlsVerify::Full, &ours, "other.example", false),
        (TlsVerify::Full, &ours, "127.0.0.1", false),
        (TlsVerify::Full, &others, "redis.example", false),
        (TlsVerify::Ca, &ours, "redis.example", true),
        (TlsVerify::Ca, &ours, "other.example", true),
        (TlsVerify::Ca, &ours, "127.0.0.1", true),
        (TlsVerify::Ca, &others, "redis.example", false),
        (TlsVerify::None, &ours, "other.example", true),
        (TlsVerify::None, &others, "redis.example", true),
    ] {
        let tls = settings(verify, Some(&ca)).build().unwrap();
        assert_eq!(tls.verify, verify);
        let result = handshake(&tls, name, authority.server(false));
        assert_eq!(result.is_ok(), accepted, "{verify:?} {name}: {result:?}");
    }
}

#[test]
fn a_certificate_that_has_run_out_is_refused_in_mode_ca_too() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["redis.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let ca = file(authority.pem());
    let tls = settings(TlsVerify::Ca, Some(&ca)).build().unwrap();
    assert!(handshake(&tls, "redis.example", Arc::new(server)).is_err());
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("client");
    let (ca, chain) = (file(authority.pem()), file(certificate));
    let without = settings(TlsVerify::Full, Some(&ca)).build().unwrap();
    assert!(handshake(&without, "redis.example", authority.server(true)).is_err());
    for (key, password) in [
        (file(key.serialize_pem()), None),
        (file(encrypted_pem(&key, "secret")), Some("secret")),
        (
            file(format!("Bag Attributes\n{}", encrypted_pem(&key, "secret"))),
            Some("secret"),
        ),
        (
            file(encrypted_pem(&key, "secret").replace('\n', "\r\n")),
            Some("secret"),
        ),
    ] {
        let mut settings = settings(TlsVerify::Full, Some(&ca));
        settings.client = Some((named("--source-cert", &chain), named("--source-key", &key)));
        settings.key_password = password.map(str::to_owned);
        let tls = settings.build().unwrap();
        handshake(&tls, "redis.example", authority.server(true)).unwrap();
    }
}

#[test]
fn files_that_are_wrong_are_named_with_their_option() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("client");
    let (_, other_key) = authority.issue("client");
    let error = |settings: &Settings| {
        settings
            .build()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let missing = NamedFile {
        option: "--target-cacert".to_owned(),
        path: PathBuf::from("/nonexistent/ca.pem"),
    };
    let text = error(&Settings {
        ca: Some(missing),
        ..settings(TlsVerify::Full, None)
    });
    assert_eq!(
        text,
        "--target-cacert: /nonexistent/ca.pem: No such file or directory (os error 2)"
    );

    for (text, reason) in [
        ("", "holds no certificate in PEM"),
        ("not PEM\n", "holds no certificate in PEM"),
        (key.serialize_pem().as_str(), "holds no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "is not well-formed PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate",
        ),
    ] {
        let ca = file(text);
        let text = error(&settings(TlsVerify::Ca, Some(&ca)));
        assert!(
            text.starts_with(&format!("--source-cacert: {}: ", ca.path().display())),
            "{text}"
        );
        assert!(text.contains(reason), "{text}");
    }

    let encrypted = encrypted_pem(&key, "secret");
    for (key, password, reason) in [
        ("", None, "holds no private key in PEM"),
        (certificate.as_str(), None, "holds no private key in PEM"),
        (
            encrypted.as_str(),
            None,
            "the key is encrypted: give its password with --source-key-pass",
        ),
        (
            encrypted.as_str(),
            Some("wrong"),
            "the key cannot be decrypted",
        ),
        (
            other_key.serialize_pem().as_str(),
            None,
            "is not the key of",
        ),
    ] {
        let (chain, key) = (file(&certificate), file(key));
        let mut settings = settings(TlsVerify::None, None);
        settings.client = Some((named("--source-cert", &chain), named("--source-key", &key)));
        settings.key_password = password.map(str::to_owned);
        let text = error(&settings);
        assert!(
            text.starts_with(&format!("--source-key: {}: ", key.path().display())),
            "{text}"
        );
        assert!(text.contains(reason) && !text.contains("wrong\""), "{text}");
    }
}

#[test]
fn the_systems_authorities_are_taken_where_no_file_is_named() {
    // A machine without any says so; either is right.
    match settings(TlsVerify::Full, None).build() {
        Ok(tls) => assert_eq!(tls.verify, TlsVerify::Full),
        Err(error) => assert!(matches!(error, TlsError::NoRoots), "{error}"),
    }
}
