//! What the benchmark is told.

use clap::{Parser, ValueEnum};

use crate::contender::Contender;
use crate::fill::Data;

/// Measures riot against bare clients, between two servers of its own on loopback.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo bench --bench replication --")]
pub(crate) struct Options {
    /// The sizes that the goals are stated for, and five repetitions; without it about a minute.
    #[arg(long)]
    pub(crate) full: bool,
    /// What is copied.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "strings100,expiring100,json1k,strings100k,mixed"
    )]
    pub(crate) data: Vec<Data>,
    /// What is measured.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "copy,latency,memory,verify,live,cluster,tls,sparing"
    )]
    pub(crate) only: Vec<Scenario>,
    /// Who takes part in `copy`.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "riot,unweighed,struct,dump,get,multi,mget,best"
    )]
    pub(crate) contenders: Vec<Contender>,
    /// How often each is run [default: 3, with --full 5].
    #[arg(long)]
    repetitions: Option<usize>,
    /// Tries at a run of `copy` while other processes keep the cores busy; the quietest one counts.
    #[arg(long, default_value_t = 1)]
    pub(crate) patience: usize,
    /// Keys instead of the data's own number.
    #[arg(long)]
    keys: Option<u64>,
    /// Keys in a batch of the bare clients instead of the tuned number.
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Batches under way of the bare clients instead of the tuned number.
    #[arg(long)]
    pub(crate) depth: Option<usize>,
    /// COUNT of the bare clients' SCAN instead of the tuned number.
    #[arg(long)]
    pub(crate) count: Option<usize>,
    /// Percent of a core that the source may use, by a control group, so that it is what everything waits for.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=100))]
    pub(crate) source_share: Option<u64>,
    /// The server.
    #[arg(long, default_value = "redis-server")]
    pub(crate) server: String,
    /// Other builds of riot in place of the one that cargo makes; in `copy` each takes part, interleaved with the others.
    #[arg(
        long = "riot",
        value_name = "PATH",
        value_delimiter = ',',
        default_value = env!("CARGO_BIN_EXE_riot"),
        hide_default_value = true
    )]
    pub(crate) programs: Vec<String>,
    /// More words for riot, as one string.
    #[arg(long = "riot-options", default_value = "", allow_hyphen_values = true)]
    pub(crate) riot: String,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One question to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Keys a second, CPU and memory, by each contender.
    Copy,
    /// A round trip of 100 ms to the target, or to the source, against none.
    Latency,
    /// Peak memory with values of 50 MB.
    Memory,
    /// Comparing against copying.
    Verify,
    /// Following changes, and listening while nothing changes.
    Live,
    /// From one cluster to another.
    Cluster,
    /// With TLS on both sides, against bare clients with it.
    Tls,
    /// What readers of the source notice of a copy.
    Sparing,
}

impl Options {
    /// How often each contender is run.
    pub(crate) fn repetitions(&self) -> usize {
        self.repetitions
            .unwrap_or(if self.full { 5 } else { 3 })
            .max(1)
    }

    /// The same for one build of riot alone.
    pub(crate) fn with(&self, program: &str) -> Self {
        Self {
            programs: vec![program.to_owned()],
            ..self.clone()
        }
    }

    /// The build of riot that is measured: the first where there are several.
    pub(crate) fn program(&self) -> &str {
        self.programs.first().map_or("riot", String::as_str)
    }

    /// How many keys of this data.
    pub(crate) fn keys(&self, data: Data) -> u64 {
        let (short, full) = match data {
            Data::Strings100 | Data::Expiring100 => (300_000, 1_000_000),
            Data::Json1k => (100_000, 300_000),
            Data::Strings100k => (2_000, 5_000),
            Data::Mixed => (60_000, 200_000),
            Data::Strings50m => (12, 40),
        };
        self.keys.unwrap_or(if self.full { full } else { short })
    }

    /// How long the source is written to while it is followed.
    pub(crate) fn live_seconds(&self) -> u64 {
        if self.full { 30 } else { 5 }
    }

    /// How long the source is read from while it is copied.
    pub(crate) fn sparing_seconds(&self) -> u64 {
        if self.full { 10 } else { 2 }
    }

    /// How many keys go over the long way.
    pub(crate) fn latency_keys(&self) -> u64 {
        self.keys
            .unwrap_or(if self.full { 3_000_000 } else { 500_000 })
    }
}
