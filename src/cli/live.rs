//! The options of live replication, as typed.

use clap::Args;

/// How changes are followed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Live (with --mode live or liveonly)")]
pub struct Live {
    /// Copy the source's keys, then what changes, until stopped: as --mode live
    #[arg(long)]
    pub live: bool,
    /// How changes are learnt: keyspace (notifications), tracking (CLIENT TRACKING, needs no setting on the server), auto
    /// [default: auto]
    #[arg(long, value_name = "WAY")]
    pub events: Option<String>,
    /// Changed keys that are held by name; of more the slots are scanned again [default: 1000000]
    #[arg(long, value_name = "KEYS")]
    pub event_queue: Option<String>,
    /// In which order changed keys are copied: fifo, priority (by type, strings first) [default: fifo]
    #[arg(long, value_name = "ORDER")]
    pub event_order: Option<String>,
    /// Longest wait before a partial batch of changes is written [default: 50ms]
    #[arg(long, value_name = "DURATION")]
    pub flush_interval: Option<String>,
    /// End after this long without a change [default: go on until stopped]
    #[arg(long, value_name = "DURATION")]
    pub idle_timeout: Option<String>,
    /// Exit 0 though a guarantee could not be proved, as where a right is missing; the report names it
    #[arg(long)]
    pub accept_unproven: bool,
}
