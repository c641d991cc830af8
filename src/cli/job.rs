//! The options of `replicate` and `compare`, as typed.

use std::ffi::OsString;

use clap::Args;

use super::{Bare, Foreign, Hidden, Live, SourceSide, TargetSide};

/// `replicate` and `compare`: the same words, of which each command refuses some.
#[derive(Debug, Args)]
pub struct Job {
    /// Where keys are read: URI or host:port; of a cluster, any node's
    #[arg(value_name = "SOURCE")]
    pub source: Option<Hidden>,
    /// Where keys are written: URI or host:port; of a cluster, any node's
    #[arg(value_name = "TARGET")]
    pub target: Option<Hidden>,
    /// Which keys.
    #[command(flatten)]
    pub keys: Keys,
    /// What changes on the way.
    #[command(flatten)]
    pub changes: Changes,
    /// How fast.
    #[command(flatten)]
    pub pace: Pace,
    /// What changes meanwhile.
    #[command(flatten)]
    pub live: Live,
    /// What goes wrong.
    #[command(flatten)]
    pub trouble: Trouble,
    /// Comparing.
    #[command(flatten)]
    pub checking: Checking,
    /// `--source-X`.
    #[command(flatten)]
    pub source_side: SourceSide,
    /// `--target-X`.
    #[command(flatten)]
    pub target_side: TargetSide,
    /// The target in RIOT 3's spelling.
    #[command(flatten)]
    pub bare: Bare,
    /// What has no meaning here.
    #[command(flatten)]
    pub foreign: Foreign,
}

/// Which keys are taken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which keys")]
pub struct Keys {
    /// What to do: scan (the source's keys, once), live (these, then what changes, until stopped), liveonly (what changes
    /// alone), compare (as riot compare) [default: scan]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// With several databases (--source-db 0-15, 1,3 or all): database A of the source goes to database B of the target;
    /// several allowed [default: each to the same number]
    #[arg(long, value_name = "A=B")]
    pub db_map: Vec<String>,
    /// Keys that match this glob, as SCAN MATCH has it [default: *]
    #[arg(long, alias = "scan-match", value_name = "GLOB")]
    pub key_pattern: Option<OsString>,
    /// Keys of this type; several with commas [default: all]
    #[arg(long, alias = "scan-type", value_name = "TYPE")]
    pub key_type: Vec<String>,
    /// Keys that match this regular expression, whole; glob:PATTERN for a glob; several allowed
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub key_include: Vec<String>,
    /// Leave out keys that match this; wins over --key-include
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub key_exclude: Vec<String>,
    /// Keys in these slots: 0-8000 or 0:8000; several allowed [default: 0-16383]
    #[arg(long, alias = "key-slot", value_name = "RANGE", num_args = 1..)]
    pub key_slots: Vec<String>,
    /// The I-th of N runs that share the keys by equal ranges of slots, on hosts of their own: 2/3. auto/3 takes I from the
    /// index of a Kubernetes Indexed Job or an AWS Batch array job, auto takes N from the array job, too
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// Keys that one SCAN asks for; auto is 1000, and more over a long way [default: auto]
    #[arg(long, value_name = "KEYS")]
    pub scan_count: Option<String>,
    /// Leave out keys of more memory than this; a bare number is megabytes; 0 is off [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub mem_limit: Option<String>,
    /// Members sampled by MEMORY USAGE [default: 5]
    #[arg(long, value_name = "NUMBER")]
    pub mem_samples: Option<String>,
}

/// What changes on the way, and how values are carried.
#[derive(Debug, Args)]
#[command(next_help_heading = "What changes on the way")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Changes {
    /// How values are carried: auto (strings by their commands, all else by DUMP and RESTORE), dump (all by DUMP and
    /// RESTORE), struct (all by each type's own commands) [default: auto]
    #[arg(id = "carriage", long = "type", value_name = "HOW")]
    pub carriage: Option<String>,
    /// All by each type's own commands, as --type struct
    #[arg(long = "struct")]
    pub structure: bool,
    /// Keys of more memory than this move in chunks, by their type's commands, whatever --type; 0 is off [default: 16MB]
    #[arg(long, value_name = "SIZE")]
    pub big_key: Option<String>,
    /// With --type struct: add to what the target has, instead of replacing it
    #[arg(long)]
    pub merge: bool,
    /// What becomes of what the target has: overwrite, merge (as --merge) [default: overwrite]
    #[arg(long, value_name = "POLICY")]
    pub merge_policy: Option<String>,
    /// With --type struct: the target gives streams' messages new ids; streams are compared without ids
    #[arg(long)]
    pub no_stream_id: bool,
    /// Ids of streams' messages: propagate, drop (as --no-stream-id) [default: propagate]
    #[arg(long, value_name = "WHAT")]
    pub stream_id: Option<String>,
    /// With --type struct: leave out streams without messages
    #[arg(long)]
    pub stream_prune: bool,
    /// Key names by a template: "copy:#{key}", with #{type}, #{#source.database}, #{#target.database}
    #[arg(long, alias = "key-proc", value_name = "TEMPLATE")]
    pub key_process: Option<OsString>,
    /// Key names by a regular expression: "^old:=>new:"; $1 is the first group
    #[arg(long, value_name = "RE=>TEXT")]
    pub key_replace: Option<String>,
    /// Leave expiries out: keys are written without, and expiry is not compared
    #[arg(long)]
    pub no_ttl: bool,
    /// Read, but write nothing; nothing is compared then, unless --compare says so
    #[arg(long)]
    pub dry_run: bool,
    /// Log each key read and written
    #[arg(long)]
    pub log_keys: bool,
    /// MULTI and EXEC around each batch of writes
    #[arg(long)]
    pub multi_exec: bool,
    /// WAIT for this many replicas of the target after each batch
    #[arg(long, value_name = "NUMBER")]
    pub wait_replicas: Option<String>,
    /// Longest WAIT [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub wait_timeout: Option<String>,
}

/// Lanes, batches, memory, pace.
#[derive(Debug, Args)]
#[command(next_help_heading = "How fast (auto: found by measuring)")]
pub struct Pace {
    /// Lanes that write, or that write to each node of a cluster [default: auto]
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<String>,
    /// Keys in a batch of writes [default: auto]
    #[arg(short, long, value_name = "KEYS")]
    pub batch: Option<String>,
    /// Lanes that read, or that read from each node of a cluster [default: auto]
    #[arg(long, value_name = "NUMBER")]
    pub read_threads: Option<String>,
    /// Keys in a batch of reads [default: auto]
    #[arg(long, value_name = "KEYS")]
    pub read_batch: Option<String>,
    /// Keys that wait between reading and writing [default: auto]
    #[arg(long, value_name = "KEYS")]
    pub read_queue: Option<String>,
    /// Batches in flight on one connection: what keeps a long link full [default: auto]
    #[arg(long, value_name = "BATCHES")]
    pub pipeline: Option<String>,
    /// Bytes of values held in memory at once [default: 256MB]
    #[arg(long, value_name = "SIZE")]
    pub mem_budget: Option<String>,
    /// Pause after each batch
    #[arg(long, value_name = "DURATION")]
    pub sleep: Option<String>,
    /// Most keys a second
    #[arg(long, value_name = "KEYS")]
    pub rate: Option<String>,
    /// Most of one core of each server of the source that this run may use, in percent: 30%
    #[arg(long, value_name = "PERCENT")]
    pub source_cpu: Option<String>,
    /// When done, run again after this long, until stopped
    #[arg(long, value_name = "DURATION")]
    pub repeat: Option<String>,
}

/// Retries, skips, reconnection.
#[derive(Debug, Args)]
#[command(next_help_heading = "When something fails")]
pub struct Trouble {
    /// Transient errors are tried again: limit, always, never [default: limit]
    #[arg(long, alias = "retry-policy", value_name = "POLICY")]
    pub retry: Option<String>,
    /// How often, with --retry limit [default: 3]
    #[arg(long, value_name = "NUMBER")]
    pub retry_limit: Option<String>,
    /// How often reads are tried again [default: as --retry]
    #[arg(long, value_name = "NUMBER")]
    pub read_retry: Option<String>,
    /// A key that failed for good is counted and named, and the run goes on: always, never, limit [default: always]
    #[arg(long, alias = "skip-policy", value_name = "POLICY")]
    pub skip: Option<String>,
    /// How many keys may fail, with --skip limit [default: 1000]
    #[arg(long, value_name = "KEYS")]
    pub skip_limit: Option<String>,
    /// How many keys may fail to be read [default: as --skip]
    #[arg(long, value_name = "KEYS")]
    pub read_skip: Option<String>,
    /// Keep in this file where the copy is: killed, it is picked up there by the same command line
    #[arg(long, value_name = "FILE")]
    pub state: Option<OsString>,
    /// How long a server that is away is waited for [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub reconnect_timeout: Option<String>,
}

/// Comparing, after `replicate` or by itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "Checking")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Checking {
    /// What is compared when the copy is done: full (values too), quick (existence, type, expiry), none [default: quick]
    #[arg(long, value_name = "DEPTH")]
    pub compare: Option<String>,
    /// Compare nothing, as --compare none
    #[arg(long)]
    pub no_verify: bool,
    /// Compare existence, type and expiry, not values
    #[arg(long)]
    pub quick: bool,
    /// Largest difference between expiries that counts as equal [default: 100ms]
    #[arg(long, value_name = "DURATION")]
    pub ttl_tolerance: Option<String>,
    /// Print one line a difference
    #[arg(long)]
    pub show_diffs: bool,
    /// How often a difference is looked at before it counts [default: 3]
    #[arg(long, value_name = "NUMBER")]
    pub rounds: Option<String>,
    /// Pause before a difference is looked at again [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub round_interval: Option<String>,
    /// Look for keys that only the target has, too
    #[arg(long)]
    pub both: bool,
    /// Copy again what differs, and compare it again
    #[arg(long)]
    pub repair: bool,
    /// With --repair: delete keys that only the target has
    #[arg(long)]
    pub delete_extra: bool,
    /// Compare the ids of streams' messages, as is the default
    #[arg(long, hide = true)]
    pub stream_msg_id: bool,
    /// Compare streams without the ids of their messages
    #[arg(long)]
    pub no_stream_msg_id: bool,
}
