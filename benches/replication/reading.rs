//! Readers of the source: redis-benchmark, and some that keep to a pace, which redis-benchmark cannot.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hdrhistogram::Histogram;

/// What reads.
pub(crate) const PROGRAM: &str = "redis-benchmark";
/// Connections of the readers, each with one command under way.
pub(crate) const CLIENTS: u32 = 4;
/// The paced readers' GETs a second.
pub(crate) const PACED: u32 = 10_000;

/// What the readers saw, in milliseconds and GETs a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Half of the GETs took less.
    pub(crate) p50: f64,
    /// All but one in a hundred did.
    pub(crate) p99: f64,
    /// How many were answered.
    pub(crate) rate: f64,
}

/// redis-benchmark as it comes: each client asks again as soon as it is answered.
pub(crate) fn unpaced(port: u16, keys: u64, reads: u64) -> Result<Seen> {
    let output = Command::new(PROGRAM)
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(["-t", "get", "--csv", "-c", &CLIENTS.to_string()])
        .args(["-r", &keys.to_string(), "-n", &reads.to_string()])
        .output()?;
    ensure!(output.status.success(), "{PROGRAM}: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split(',').map(|cell| cell.trim_matches('"')).collect())
        .collect();
    let number = |name: &str| -> Result<f64> {
        let column = lines
            .first()
            .and_then(|names| names.iter().position(|one| *one == name));
        column
            .and_then(|column| lines.get(1)?.get(column)?.parse().ok())
            .with_context(|| format!("{PROGRAM} tells no {name} (6.2 and later do): {text}"))
    };
    Ok(Seen {
        p50: number("p50_latency_ms")?,
        p99: number("p99_latency_ms")?,
        rate: number("rps")?,
    })
}

/// Readers that ask at their pace, or as soon as they are answered where that is later. A GET's time is counted from when it is
/// sent.
pub(crate) fn paced(port: u16, keys: u64, seconds: u64) -> Result<Seen> {
    let address = format!("redis://127.0.0.1:{port}");
    let started = Instant::now();
    let readers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let address = address.clone();
            thread::spawn(move || one(&address, keys, number, started, seconds))
        })
        .collect();
    let mut times = Histogram::<u64>::new(3)?;
    for reader in readers {
        let found = reader.join().map_err(|_| anyhow!("a reader panicked"))?;
        times.add(found?)?;
    }
    Ok(Seen {
        p50: times.value_at_quantile(0.5) as f64 / 1e6,
        p99: times.value_at_quantile(0.99) as f64 / 1e6,
        rate: times.len() as f64 / started.elapsed().as_secs_f64(),
    })
}

/// One of them; the times in nanoseconds.
fn one(
    address: &str,
    keys: u64,
    number: u32,
    started: Instant,
    seconds: u64,
) -> Result<Histogram<u64>> {
    let mut connection = redis::Client::open(address)?.get_connection()?;
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let mut times = Histogram::<u64>::new(3)?;
    let each = f64::from(PACED / CLIENTS);
    let end = Duration::from_secs(seconds);
    while started.elapsed() < end {
        let key = format!("key:{:012}", random.u64(..keys));
        let asked = Instant::now();
        redis::cmd("GET").arg(key).exec(&mut connection)?;
        times.record(u64::try_from(asked.elapsed().as_nanos())?)?;
        let due = Duration::from_secs_f64(times.len() as f64 / each);
        thread::park_timeout(due.saturating_sub(started.elapsed()));
    }
    Ok(times)
}
