//! What TLS on both sides costs: riot and bare clients over it, and over plain connections to the same servers.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::contender::{self, Contender, Sample};
use crate::fill::{Data, fill};
use crate::options::Options;
use crate::server::{Server, free_port};
use crate::table::{Table, grouped, median};

/// What riot is to reach of the fastest bare client.
const GOAL: f64 = 0.8;
/// Keys that are compared after a copy.
const SAMPLE: usize = 300;
/// Those that keep expiries, in turn.
const CONTENDERS: [Contender; 3] = [Contender::Riot, Contender::Multi, Contender::Get];

/// One contender over one kind of connection.
struct Entrant {
    contender: Contender,
    encrypted: bool,
    samples: Vec<Sample>,
}

/// Measures them all, interleaved.
pub(crate) fn run(options: &Options) -> Result<()> {
    let files = Files::new()?;
    let mut source = Encrypted::start(options, &files)?;
    let mut target = Encrypted::start(options, &files)?;
    let data = Data::Strings100;
    fill(&source.server.address(), data, options.keys(data))?;
    println!(
        "## TLS on both sides: {} {}, {} repetitions\n",
        grouped(source.server.keys()? as f64),
        data.title(),
        options.repetitions()
    );
    let mut entrants: Vec<Entrant> = [true, false]
        .into_iter()
        .flat_map(|encrypted| {
            CONTENDERS.map(|contender| Entrant {
                contender,
                encrypted,
                samples: Vec::new(),
            })
        })
        .collect();
    // A run that does not count, for the servers' tables and buffers.
    copy(
        Contender::Multi,
        true,
        &mut source,
        &mut target,
        &files,
        options,
    )?;
    for repetition in 0..options.repetitions() {
        let count = entrants.len();
        for turn in 0..count {
            let entrant = &mut entrants[(turn + repetition) % count];
            entrant.samples.push(copy(
                entrant.contender,
                entrant.encrypted,
                &mut source,
                &mut target,
                &files,
                options,
            )?);
        }
    }
    print(&entrants);
    Ok(())
}

fn copy(
    contender: Contender,
    encrypted: bool,
    source: &mut Encrypted,
    target: &mut Encrypted,
    files: &Files,
    options: &Options,
) -> Result<Sample> {
    let address = |server: &Encrypted| match (encrypted, contender.is_riot()) {
        (false, _) => server.server.address(),
        (true, false) => format!("127.0.0.1:{}", server.port),
        (true, true) => format!("rediss://127.0.0.1:{}", server.port),
    };
    let mut words = contender.words(
        Data::Strings100,
        &address(source),
        &address(target),
        options,
    )?;
    if encrypted {
        let names: &[&str] = if contender.is_riot() {
            &["--source-cacert", "--target-cacert"]
        } else {
            &["--cacert"]
        };
        for name in names {
            words.extend([(*name).to_owned(), files.authority.clone()]);
        }
    }
    let sample = contender::copy(&words, &mut source.server, &mut target.server)?;
    source.server.same_as(&mut target.server, SAMPLE)?;
    Ok(sample)
}

fn print(entrants: &[Entrant]) {
    let of = |entrant: &Entrant, value: fn(&Sample) -> f64| {
        median(entrant.samples.iter().map(value).collect())
    };
    let rate = |entrant: &Entrant| of(entrant, |sample| sample.rate);
    let best = |encrypted: bool| {
        entrants
            .iter()
            .filter(|one| one.encrypted == encrypted && !one.contender.is_riot())
            .map(rate)
            .fold(f64::NAN, f64::max)
    };
    let mut table = Table::new(&[
        "",
        "keys/s",
        "client µs/key",
        "source µs/key",
        "target µs/key",
        "of the best bare",
        "of the same without TLS",
    ]);
    for entrant in entrants {
        let plain = entrants
            .iter()
            .find(|one| one.contender == entrant.contender && !one.encrypted)
            .map_or(f64::NAN, rate);
        let way = if entrant.encrypted { "TLS" } else { "plain" };
        table.row(vec![
            format!("{}, {way}", entrant.contender.title()),
            grouped(rate(entrant)),
            format!("{:.2}", of(entrant, |sample| sample.client)),
            format!("{:.2}", of(entrant, |sample| sample.source)),
            format!("{:.2}", of(entrant, |sample| sample.target)),
            format!("{:.2}", rate(entrant) / best(entrant.encrypted)),
            format!("{:.2}", rate(entrant) / plain),
        ]);
    }
    table.print();
    let riot = entrants
        .iter()
        .find(|one| one.encrypted && one.contender.is_riot())
        .map_or(f64::NAN, rate);
    let ratio = riot / best(true);
    let met = if ratio >= GOAL { "met" } else { "missed" };
    println!("Goal: with TLS at least {GOAL} of the best bare client. {ratio:.2}: {met}.\n");
}

/// A server with a port for TLS beside the plain one, by which it is filled and asked.
struct Encrypted {
    server: Server,
    port: u16,
}

impl Encrypted {
    fn start(options: &Options, files: &Files) -> Result<Self> {
        let port = free_port()?;
        let digits = port.to_string();
        let more = [
            ["--tls-port", &digits],
            ["--tls-cert-file", &files.certificate],
            ["--tls-key-file", &files.key],
            ["--tls-ca-cert-file", &files.authority],
            ["--tls-auth-clients", "no"],
        ]
        .concat();
        let server = Server::start_with(&options.server, &more)
            .context("a server with TLS: it may have been built without")?;
        Ok(Self { server, port })
    }
}

/// An authority of this benchmark's own, and what it signed for 127.0.0.1, in PEM.
struct Files {
    authority: String,
    certificate: String,
    key: String,
    _folder: TempDir,
}

impl Files {
    fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("riot-bench-ca-")?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "riot's benchmark");
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let mut server = CertificateParams::new(["127.0.0.1".to_owned()])?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server_certificate = server.signed_by(&server_key, &issuer)?;
        let write = |name: &str, pem: String| -> Result<String> {
            let path = folder.path().join(name);
            std::fs::write(&path, pem)?;
            let path = path.to_str().context("a folder's name that is no text")?;
            Ok(path.to_owned())
        };
        Ok(Self {
            authority: write("authority.pem", authority_certificate.pem())?,
            certificate: write("server.crt", server_certificate.pem())?,
            key: write("server.key", server_key.serialize_pem())?,
            _folder: folder,
        })
    }
}
