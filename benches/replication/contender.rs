//! Who copies: riot, or a bare client in one of its ways; both as processes of their own, measured alike.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::fill::Data;
use crate::measure::{self, Cost, machine_cpu};
use crate::options::Options;
use crate::server::Server;
use crate::way::Way;

/// The word by which this program is told to be a bare client.
pub(crate) const ROLE: &str = "bare";
/// Keys that are compared after a copy.
const SAMPLE: usize = 300;

/// One that copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// riot, with its default options but for verification.
    Riot,
    /// riot, without a look at how large keys are (`--big-key 0`).
    Unweighed,
    /// riot, everything by the commands of its type (`--type struct`).
    Struct,
    /// The bare client: DUMP, PTTL, RESTORE.
    Dump,
    /// The bare client: GET, PEXPIRETIME, SET.
    Get,
    /// The bare client: MGET and PEXPIRETIME in MULTI, MSET.
    Multi,
    /// The bare client: MGET, MSET, no expiries.
    Mget,
    /// The bare client: strings as `multi`, the rest as `dump`.
    Best,
}

/// What one copy took, for one key where it can be said for one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Keys a second, by the process's whole time.
    pub(crate) rate: f64,
    /// Keys a second, by the time that riot's report gives.
    pub(crate) own_rate: Option<f64>,
    /// CPU of the client, in microseconds a key.
    pub(crate) client: f64,
    /// CPU of the source, in microseconds a key.
    pub(crate) source: f64,
    /// CPU of the target, in microseconds a key.
    pub(crate) target: f64,
    /// Peak resident memory of the client, in bytes.
    pub(crate) peak: f64,
    /// Cores that were busy with something else.
    pub(crate) others: f64,
}

impl Contender {
    /// What the tables call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Unweighed => "riot --big-key 0",
            Self::Struct => "riot --type struct",
            _ => self.way().map_or("riot", Way::title),
        }
    }

    /// Whether it is riot, however it is told to go.
    pub(crate) fn is_riot(self) -> bool {
        self.way().is_none()
    }

    fn way(self) -> Option<Way> {
        match self {
            Self::Riot | Self::Unweighed | Self::Struct => None,
            Self::Dump => Some(Way::Dump),
            Self::Get => Some(Way::Get),
            Self::Multi => Some(Way::Multi),
            Self::Mget => Some(Way::Mget),
            Self::Best => Some(Way::Best),
        }
    }

    /// Whether it can copy this data.
    pub(crate) fn takes(self, data: Data) -> bool {
        match self {
            Self::Riot | Self::Unweighed | Self::Dump => true,
            Self::Best | Self::Struct => data == Data::Mixed,
            // It loses the expiries.
            Self::Mget => data != Data::Mixed && data != Data::Expiring100,
            Self::Get | Self::Multi => data != Data::Mixed,
        }
    }

    /// The command line.
    pub(crate) fn words(
        self,
        data: Data,
        source: &str,
        target: &str,
        options: &Options,
    ) -> Result<Vec<String>> {
        let Some(way) = self.way() else {
            let mut words = vec!["--no-verify", "--progress", "none", "--report", "json"];
            match self {
                Self::Unweighed => words.extend(["--big-key", "0"]),
                Self::Struct => words.extend(["--type", "struct"]),
                _ => {}
            }
            return Ok(riot("replicate", source, target, &words, options));
        };
        let (batch, depth, count) = tuned(data);
        let name = way
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        Ok(vec![
            std::env::current_exe()?.to_string_lossy().into_owned(),
            ROLE.to_owned(),
            source.to_owned(),
            target.to_owned(),
            format!("--way={}", name.unwrap_or_default()),
            format!("--batch={}", options.batch.unwrap_or(batch)),
            format!("--depth={}", options.depth.unwrap_or(depth)),
            format!("--count={}", options.count.unwrap_or(count)),
        ])
    }

    /// Copies once into an empty target, and checks the copy.
    pub(crate) fn copy(
        self,
        data: Data,
        source: &mut Server,
        target: &mut Server,
        options: &Options,
    ) -> Result<Sample> {
        let words = self.words(data, &source.address(), &target.address(), options)?;
        let sample = copy(&words, source, target)?;
        source.same_as(target, SAMPLE)?;
        Ok(sample)
    }
}

/// Runs a command line that copies into the target, emptied before.
pub(crate) fn copy(words: &[String], source: &mut Server, target: &mut Server) -> Result<Sample> {
    target.flush()?;
    let machine = machine_cpu();
    let before = (source.cpu()?, target.cpu()?);
    let cost = measure::run(words)?;
    let after = (source.cpu()?, target.cpu()?);
    let machine = machine_cpu().zip(machine);
    succeeded(&cost)?;
    let source_cpu = after.0.saturating_sub(before.0);
    let target_cpu = after.1.saturating_sub(before.1);
    let others = machine.map_or(Duration::ZERO, |(after, before)| {
        after.saturating_sub(before + cost.cpu + source_cpu + target_cpu)
    });
    let keys = target.keys()? as f64;
    ensure!(keys > 0.0, "nothing was copied");
    let each = |time: Duration| time.as_secs_f64() * 1e6 / keys;
    Ok(Sample {
        rate: keys / cost.wall.as_secs_f64(),
        own_rate: own_seconds(&cost).map(|seconds| keys / seconds),
        client: each(cost.cpu),
        source: each(source_cpu),
        target: each(target_cpu),
        peak: cost.peak as f64,
        others: others.as_secs_f64() / cost.wall.as_secs_f64(),
    })
}

/// A command line of riot.
pub(crate) fn riot(
    command: &str,
    source: &str,
    target: &str,
    words: &[&str],
    options: &Options,
) -> Vec<String> {
    let mut line = vec![
        options.program().to_owned(),
        command.to_owned(),
        uri(source),
        uri(target),
    ];
    line.extend(words.iter().map(|word| (*word).to_owned()));
    line.extend(options.riot.split_whitespace().map(str::to_owned));
    line
}

/// An address becomes a URI; what is one stays it.
fn uri(address: &str) -> String {
    if address.contains("://") {
        address.to_owned()
    } else {
        format!("redis://{address}")
    }
}

/// Fails with what was said where a process did.
pub(crate) fn succeeded(cost: &Cost) -> Result<()> {
    ensure!(
        cost.status == Some(0),
        "status {:?}: {}{}",
        cost.status,
        cost.errors.trim_end(),
        cost.output.trim_end()
    );
    Ok(())
}

/// How long riot's report says that copying took.
fn own_seconds(cost: &Cost) -> Option<f64> {
    let report: Value = serde_json::from_str(&cost.output).ok()?;
    report.get("scan_seconds")?.as_f64()
}

/// Keys in a batch, batches under way and SCAN's COUNT with which the bare clients were fastest.
fn tuned(data: Data) -> (usize, usize, usize) {
    match data {
        Data::Strings100 | Data::Expiring100 => (500, 3, 1000),
        Data::Json1k | Data::Mixed => (200, 3, 1000),
        // A value is written while the cache still holds it: a sixth faster at the target than ten at a time.
        Data::Strings100k => (1, 16, 100),
        Data::Strings50m => (1, 1, 10),
    }
}
