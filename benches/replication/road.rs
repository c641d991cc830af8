//! The way to a server: TCP as it is, or TLS over it, by the library that riot uses.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What is read of a socket at once: rustls alone asks for 4 KB, which is four system calls a record.
const CIPHERTEXT: usize = 64 << 10;

/// A connection that sends at once what it is given, and waits for what it asks.
pub(crate) enum Road {
    /// Nothing between.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Road {
    /// To `address`, an IP address and a port; with TLS where there is an authority that signs for it.
    pub(crate) fn to(address: &str, authority: Option<&Path>) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let Some(authority) = authority else {
            return Ok(Self::Plain(stream));
        };
        let host = stream.peer_addr()?.ip();
        let client =
            ClientConnection::new(Arc::new(configuration(authority)?), ServerName::from(host))?;
        let socket = Socket(BufReader::with_capacity(CIPHERTEXT, stream));
        Ok(Self::Tls(Box::new(StreamOwned::new(client, socket))))
    }
}

/// As riot's own: the same provider, the same versions and suites.
fn configuration(authority: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority)
        .with_context(|| format!("read {}", authority.display()))?;
    roots.add(certificate)?;
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Read for Road {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Road {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            Self::Tls(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket that is read through a buffer.
pub(crate) struct Socket(BufReader<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
