//! What others who read from the source notice of a copy: how long their GETs take alone, and beside riot.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::contender::riot;
use crate::fill::{Data, fill};
use crate::options::Options;
use crate::reading::{CLIENTS, PACED, PROGRAM, Seen, paced, unpaced};
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// GETs of the readings that say how many make the wanted time.
const FIRST: u64 = 20_000;
/// The readers begin this long before riot.
const LEAD: Duration = Duration::from_millis(100);
/// riot's status where it was interrupted.
const INTERRUPTED: i32 = 130;

/// Beside what the readers read.
struct Load {
    title: &'static str,
    /// More words for riot; none where it does not run.
    riot: Option<&'static [&'static str]>,
}

const LOADS: [Load; 4] = [
    Load {
        title: "alone",
        riot: None,
    },
    Load {
        title: "beside riot replicate",
        riot: Some(&[]),
    },
    Load {
        title: "beside riot replicate --source-cpu 30%",
        riot: Some(&["--source-cpu", "30%"]),
    },
    Load {
        title: "beside riot replicate --source-cpu 10%",
        riot: Some(&["--source-cpu", "10%"]),
    },
];

struct Row {
    seen: Seen,
    /// Keys a second that riot copied.
    copied: f64,
}

/// Measures them all, interleaved.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    if Command::new(PROGRAM).arg("--version").output().is_err() {
        println!("Sparing is left out: no {PROGRAM} (Debian: apt-get install redis-tools)\n");
        return Ok(());
    }
    source.flush()?;
    target.flush()?;
    let keys = options.keys(Data::Strings100);
    fill(&source.address(), Data::Strings100, keys)?;
    println!(
        "## Sparing the source: {CLIENTS} clients GET out of {} {}, pipelining off, {} s, {} repetitions\n",
        grouped(keys as f64),
        Data::Strings100.title(),
        options.sparing_seconds(),
        options.repetitions()
    );
    // redis-benchmark is told a number, not a time: how many make it, a reading that does not count says for each load.
    let seconds = options.sparing_seconds();
    let mut reads = [0; LOADS.len()];
    for (load, reads) in LOADS.iter().zip(&mut reads) {
        let mut took = Duration::ZERO;
        measure(source, target, load, options, |port| {
            let began = Instant::now();
            let seen = unpaced(port, keys, FIRST);
            took = began.elapsed();
            seen
        })?;
        *reads = FIRST * 1000 * seconds / u64::try_from(took.as_millis())?.max(1);
    }
    let mut rows: [[Vec<Row>; LOADS.len()]; 2] = Default::default();
    for repetition in 0..options.repetitions() {
        for turn in 0..2 * LOADS.len() {
            let turn = (turn + repetition) % (2 * LOADS.len());
            let (way, place) = (turn % 2, turn / 2);
            let read = |port| match way {
                0 => unpaced(port, keys, reads[place]),
                _ => paced(port, keys, seconds),
            };
            rows[way][place].push(measure(source, target, &LOADS[place], options, read)?);
        }
    }
    source.flush()?;
    target.flush()?;
    print(&rows);
    Ok(())
}

fn measure(
    source: &Server,
    target: &mut Server,
    load: &Load,
    options: &Options,
    read: impl FnOnce(u16) -> Result<Seen> + Send,
) -> Result<Row> {
    let port = source.port();
    let Some(words) = load.riot else {
        return Ok(Row {
            seen: read(port)?,
            copied: f64::NAN,
        });
    };
    target.flush()?;
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(port));
        // riot finds the readers at work, as it does where applications are: it takes what comes later for its own.
        thread::park_timeout(LEAD);
        let beside = Beside::start(source, target, words, options)?;
        let seen = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
        let copied = beside.end()?;
        Ok(Row {
            seen: seen?,
            copied,
        })
    })
}

fn print(rows: &[[Vec<Row>; LOADS.len()]; 2]) {
    let mut table = Table::new(&[
        "",
        "GET p50 ms",
        "GET p99 ms",
        "p99, of reading alone",
        "GETs/s",
        "of reading alone",
        "riot keys/s",
    ]);
    let names = [
        PROGRAM.to_owned(),
        format!("{} GETs a second", grouped(f64::from(PACED))),
    ];
    for (name, rows) in names.iter().zip(rows) {
        let of =
            |place: usize, value: fn(&Row) -> f64| median(rows[place].iter().map(value).collect());
        let p99 = |place| of(place, |row| row.seen.p99);
        let rate = |place| of(place, |row| row.seen.rate);
        for (place, load) in LOADS.iter().enumerate() {
            let copied = of(place, |row| row.copied);
            table.row(vec![
                format!("{name}, {}", load.title),
                format!("{:.3}", of(place, |row| row.seen.p50)),
                format!("{:.3}", p99(place)),
                format!("{:.2}", p99(place) / p99(0)),
                grouped(rate(place)),
                format!("{:.2}", rate(place) / rate(0)),
                if copied.is_nan() {
                    String::new()
                } else {
                    grouped(copied)
                },
            ]);
        }
    }
    table.print();
}

/// riot, copying again and again until it is told to end.
struct Beside {
    ending: Sender<()>,
    copier: JoinHandle<Result<f64>>,
}

impl Beside {
    /// Comes back when the first keys are at the target, which is empty.
    fn start(
        source: &Server,
        target: &mut Server,
        more: &[&str],
        options: &Options,
    ) -> Result<Self> {
        let quiet = ["--no-verify", "--progress", "none", "--report", "json"];
        let words = riot(
            "replicate",
            &source.address(),
            &target.address(),
            &[&quiet, more].concat(),
            options,
        );
        let (ending, ended) = mpsc::channel();
        let copier = thread::spawn(move || {
            let began = Instant::now();
            let mut keys = 0.0;
            loop {
                let (copied, over) = once(&words, &ended)?;
                keys += copied;
                if over {
                    return Ok(keys / began.elapsed().as_secs_f64());
                }
            }
        });
        let beside = Self { ending, copier };
        let deadline = Instant::now() + Duration::from_secs(10);
        while target.keys()? == 0 {
            if beside.copier.is_finished() || Instant::now() > deadline {
                beside.end()?;
                return Err(anyhow!("riot copies nothing"));
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(beside)
    }

    /// Keys a second from its start until now.
    fn end(self) -> Result<f64> {
        drop(self.ending);
        self.copier
            .join()
            .map_err(|_| anyhow!("the copier panicked"))?
    }
}

/// One copy, to its end or until the other end of `ended` is gone: keys written, and whether it is.
fn once(words: &[String], ended: &mpsc::Receiver<()>) -> Result<(f64, bool)> {
    let (program, arguments) = words.split_first().context("words")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut over = false;
    while child.try_wait()?.is_none() {
        if ended.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Disconnected) {
            over = true;
            interrupt(&child)?;
            break;
        }
    }
    let output = child.wait_with_output()?;
    let status = output.status.code();
    // One that had only just begun is ended by the signal itself.
    if over && status.is_none() {
        return Ok((0.0, true));
    }
    ensure!(
        status == Some(0) || over && status == Some(INTERRUPTED),
        "riot: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let written = report["written"]
        .as_f64()
        .context("a report without keys")?;
    Ok((written, over))
}

/// As ^C does.
fn interrupt(child: &Child) -> Result<()> {
    let pid = child.id().to_string();
    // One that has just ended by itself is as good.
    Command::new("sh")
        .args(["-c", "kill -INT \"$0\"", &pid])
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}
