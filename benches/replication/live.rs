//! Following changes: how many writes a second the source takes while riot follows them, and how far behind it is.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::contender::riot;
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// Names that the writers use: few events fall together.
const NAMES: u32 = 1_000_000;
/// Connections of the writers, each with one command under way.
const CLIENTS: u32 = 8;
/// The paced writers' changes a second.
const PACED: u32 = 10_000;
/// riot ends after this long without a change.
const IDLE: Duration = Duration::from_secs(1);

/// Writers alone, writers followed in each way, and paced writers followed.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    println!(
        "## Live: {CLIENTS} clients write 100 B strings among {NAMES} names, pipelining off, {} repetitions\n",
        options.repetitions()
    );
    let mut table = Table::new(&[
        "",
        "writes/s",
        "of writing alone",
        "lag p50 ms",
        "lag p99 ms",
        "lag max ms",
        "behind at the end ms",
        "riot µs/write",
    ]);
    let writes = options.live_seconds() * 40_000;
    let mut alone = Vec::new();
    let mut rows: Vec<(String, Vec<Row>)> = Vec::new();
    for way in ["keyspace", "tracking"] {
        rows.push((format!("followed by {way}, as fast as it goes"), Vec::new()));
        rows.push((
            format!("followed by {way}, {} a second", grouped(f64::from(PACED))),
            Vec::new(),
        ));
    }
    for _ in 0..options.repetitions() {
        source.flush()?;
        set_notifications(source, "")?;
        alone.push(unpaced(source, writes)?);
        for (at, (_, found)) in rows.iter_mut().enumerate() {
            let way = if at < 2 { "keyspace" } else { "tracking" };
            source.flush()?;
            target.flush()?;
            set_notifications(source, if at < 2 { "KA" } else { "" })?;
            found.push(followed(source, target, way, options, |source| {
                if at % 2 == 0 {
                    unpaced(source, writes)
                } else {
                    paced(source, options.live_seconds())
                }
            })?);
        }
    }
    set_notifications(source, "")?;
    source.flush()?;
    target.flush()?;
    let alone = median(alone);
    let empty = String::new;
    table.row(vec![
        "redis-benchmark alone".to_owned(),
        grouped(alone),
        "1.00".to_owned(),
        empty(),
        empty(),
        empty(),
        empty(),
        empty(),
    ]);
    for (name, found) in rows {
        let middle = |value: fn(&Row) -> f64| median(found.iter().map(value).collect());
        let rate = middle(|row| row.rate);
        table.row(vec![
            name,
            grouped(rate),
            format!("{:.2}", rate / alone),
            format!("{:.0}", middle(|row| row.p50)),
            format!("{:.0}", middle(|row| row.p99)),
            format!("{:.0}", middle(|row| row.max)),
            format!("{:.0}", middle(|row| row.behind)),
            format!("{:.1}", middle(|row| row.cpu)),
        ]);
    }
    table.print();
    Ok(())
}

/// What one run was like; times in milliseconds, riot's CPU in microseconds for a write.
struct Row {
    rate: f64,
    p50: f64,
    p99: f64,
    max: f64,
    behind: f64,
    cpu: f64,
}

/// Which classes of events the source publishes.
pub(crate) fn set_notifications(source: &Server, classes: &str) -> Result<()> {
    let client = redis::Client::open(format!("redis://{}", source.address()))?;
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("notify-keyspace-events")
        .arg(classes)
        .exec(&mut client.get_connection()?)?;
    Ok(())
}

/// redis-benchmark as it comes: SET, no pipelining. Writes a second.
fn unpaced(source: &Server, writes: u64) -> Result<f64> {
    let address = source.address();
    let (host, port) = address.split_once(':').context("an address")?;
    let started = Instant::now();
    let output = Command::new("redis-benchmark")
        .args(["-h", host, "-p", port, "-t", "set", "-d", "100", "-q"])
        .args(["-c", &CLIENTS.to_string(), "-r", &NAMES.to_string()])
        .args(["-n", &writes.to_string()])
        .output()
        .context("start redis-benchmark (Debian: apt-get install redis-tools)")?;
    ensure!(output.status.success(), "redis-benchmark failed");
    Ok(writes as f64 / started.elapsed().as_secs_f64())
}

/// Writers that keep to a pace. Writes a second.
fn paced(source: &Server, seconds: u64) -> Result<f64> {
    let address = format!("redis://{}", source.address());
    let each = PACED / CLIENTS;
    let started = Instant::now();
    let writers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let address = address.clone();
            thread::spawn(move || -> Result<u64> {
                let mut connection = redis::Client::open(address)?.get_connection()?;
                let value = vec![b'x'; 100];
                let mut random = fastrand::Rng::with_seed(u64::from(number));
                let mut written = 0_u64;
                let end = Duration::from_secs(seconds);
                while started.elapsed() < end {
                    redis::cmd("SET")
                        .arg(format!("key:{:012}", random.u32(..NAMES)))
                        .arg(&value)
                        .exec(&mut connection)?;
                    written += 1;
                    let due = Duration::from_secs_f64(written as f64 / f64::from(each));
                    let early = due.saturating_sub(started.elapsed());
                    if early > Duration::from_millis(1) {
                        thread::park_timeout(early);
                    }
                }
                Ok(written)
            })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += writer
            .join()
            .map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    Ok(written as f64 / started.elapsed().as_secs_f64())
}

/// riot follows while the writers write; then it ends by itself, and both hold the same number of keys.
fn followed(
    source: &mut Server,
    target: &mut Server,
    way: &str,
    options: &Options,
    write: impl FnOnce(&Server) -> Result<f64>,
) -> Result<Row> {
    let idle = format!("{}ms", IDLE.as_millis());
    let more = ["--mode", "live", "--events", way, "--idle-timeout", &idle];
    let rest = [
        "--report",
        "json",
        "--progress",
        "none",
        "--compare",
        "none",
    ];
    let words = riot(
        "replicate",
        &source.address(),
        &target.address(),
        &[&more[..], &rest].concat(),
        options,
    );
    let (program, arguments) = words.split_first().context("words")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut talk = BufReader::new(child.stderr.take().context("standard error")?);
    let mut line = String::new();
    while !line.starts_with("listening") {
        line.clear();
        ensure!(talk.read_line(&mut line)? > 0, "riot does not listen");
    }
    let drained = thread::spawn(move || talk.lines().count());
    let before = Instant::now();
    let rate = write(source)?;
    let took = before.elapsed();
    let output = child.wait_with_output()?;
    let ended = before.elapsed();
    let _ = drained.join();
    ensure!(output.status.success(), "riot: {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        source.keys()? == target.keys()?,
        "the target holds another number of keys"
    );
    source.same_as(target, 100)?;
    let lag = &report["live"]["lag"];
    let millis = |name: &str| lag[name].as_f64().unwrap_or(f64::NAN) / 1e3;
    let cpu = report["cpu_seconds"].as_f64().unwrap_or(f64::NAN);
    Ok(Row {
        rate,
        p50: millis("p50_us"),
        p99: millis("p99_us"),
        max: millis("max_us"),
        behind: ended
            .saturating_sub(took)
            .saturating_sub(IDLE)
            .as_secs_f64()
            * 1e3,
        cpu: cpu * 1e6 / (rate * took.as_secs_f64()),
    })
}
