//! What a process costs: wall time, CPU, peak memory, by a parent of its own, so that nothing else is counted with it.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// The word by which this program is told to be that parent.
pub(crate) const ROLE: &str = "measured";

/// What a process did and cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// User and system, all threads.
    pub(crate) cpu: Duration,
    /// Most memory resident at once, in bytes.
    pub(crate) peak: u64,
    /// Exit status; none where a signal ended it.
    pub(crate) status: Option<i32>,
    /// What it printed.
    pub(crate) output: String,
    /// What it said.
    pub(crate) errors: String,
}

/// Runs `words` to the end and measures it.
pub(crate) fn run(words: &[String]) -> Result<Cost> {
    // Between the two stands a small process: the kernel counts a child's peak from before its exec, with its parent's memory,
    // and sums the usage of all children.
    let output = Command::new(std::env::current_exe()?)
        .arg(ROLE)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "measuring {words:?}: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("what the measuring process printed")
}

/// The part of that small process.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().context("a program to measure")?;
    let start = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("run {program}"))?;
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cost = Cost {
        wall,
        cpu: Duration::from_micros(micros.unsigned_abs()),
        peak: usage.max_rss().unsigned_abs() << 10,
        status: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(ExitCode::SUCCESS)
}

/// CPU that all processes of this machine have used, where the kernel says so.
pub(crate) fn machine_cpu() -> Option<Duration> {
    /// User, nice, system, then idle and waiting, interrupts, stolen.
    const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];
    // What Linux counts in here, whatever the kernel's own tick.
    const TICKS_A_SECOND: u64 = 100;
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let ticks: u64 = BUSY.iter().filter_map(|place| fields.get(*place)).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
}
