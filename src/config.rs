//! What a run was told: resolved and validated, nothing left to look up, secrets redacted in `Debug`.

mod databases;

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

pub use self::databases::{Databases, Which};

/// One run of the program.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to do.
    pub command: Command,
    /// Where keys come from.
    pub source: Endpoint,
    /// Where keys go.
    pub target: Endpoint,
    /// Several databases in place of the one that each endpoint has.
    pub databases: Option<Databases>,
    /// Which keys.
    pub selection: Selection,
    /// What changes on the way.
    pub rewrite: Rewrite,
    /// Lanes, batches, memory, retries.
    pub flow: Flow,
    /// How changes are followed; `None` is a snapshot.
    pub live: Option<Live>,
    /// What is compared, and how.
    pub verification: Verification,
    /// Where the copy's place is kept, so that it can be picked up; `None` is nowhere.
    pub state: Option<PathBuf>,
    /// Bars, logs and the report.
    pub console: Console,
    /// Where metrics are served; `None` is nowhere.
    pub metrics: Option<Metrics>,
}

/// What the run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Copy, then verify.
    Replicate,
    /// Verify alone.
    Compare,
}

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Keys are read here.
    Source,
    /// Keys are written here.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// How to reach one side and who to be there: the same for both planes.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Source or target.
    pub side: Side,
    /// Where it listens.
    pub address: Address,
    /// TLS, or plain where `None`.
    pub tls: Option<Tls>,
    /// ACL user; `None` is the server's default user.
    pub user: Option<String>,
    /// Where the password comes from, asked again at each connection.
    pub password: Password,
    /// Database number.
    pub database: u32,
    /// `CLIENT SETNAME`.
    pub client_name: String,
    /// Protocol version.
    pub resp: Resp,
    /// Longest wait for a connection, its handshake included.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one command.
    pub command_timeout: Duration,
    /// Most connections to this server; of a cluster, to each node.
    pub pool: usize,
    /// It was told that this is a cluster; without, riot finds out.
    pub cluster: bool,
    /// Which node of a shard is read.
    pub read_from: ReadFrom,
}

/// Which node of a shard keys are scanned, read and watched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// The master.
    #[default]
    Upstream,
    /// The master, or a replica where it cannot be reached.
    UpstreamPreferred,
    /// A replica.
    Replica,
    /// A replica, or the master where none can be reached.
    ReplicaPreferred,
    /// Any node.
    Any,
    /// Any replica.
    AnyReplica,
    /// The node with the shortest round trip.
    LowestLatency,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address (IPv6 without brackets) and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A unix socket's path.
    Unix(PathBuf),
    /// Sentinels that know where the master is.
    Sentinel {
        /// Sentinels' hosts and ports, tried in order.
        nodes: Vec<(String, u16)>,
        /// The master's name at the sentinels.
        master: String,
    },
}

impl fmt::Display for Address {
    /// `host:port`, `[v6]:port`, the socket's path, or `sentinel master NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Sentinel { master, .. } => write!(f, "sentinel master {master}"),
        }
    }
}

/// TLS settings, built once from the files and modes that were named.
#[derive(Clone)]
pub struct Tls {
    /// rustls' configuration: roots, verifier, client certificate.
    pub client: Arc<rustls::ClientConfig>,
    /// What is verified, for messages.
    pub verify: TlsVerify,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

/// What of the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVerify {
    /// Chain and name.
    Full,
    /// Chain alone.
    Ca,
    /// Nothing.
    None,
}

/// Where a password comes from. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Password {
    /// No authentication.
    #[default]
    None,
    /// Typed, from the environment, from a URI or from a prompt.
    Fixed(String),
    /// First line of a file, read at each connection.
    File(PathBuf),
    /// First line that a shell command prints, run at each connection.
    Command(String),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Fixed(_) => f.write_str("Fixed(***)"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Command(_) => f.write_str("Command(***)"),
        }
    }
}

/// RESP version of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resp {
    /// 3 where the server has it, else 2.
    Auto,
    /// 2.
    Two,
    /// 3, or the run does not start.
    Three,
}

/// A number that was given, or is found by measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// Found while the run goes on.
    Measured,
    /// As told.
    Fixed(T),
}

/// Which keys are taken.
#[derive(Debug, Clone)]
pub struct Selection {
    /// SCAN MATCH glob, as bytes; `*` takes all.
    pub pattern: Vec<u8>,
    /// Type names as TYPE gives them, lower case; empty takes all.
    pub types: Vec<String>,
    /// A key must match one of these, whole; empty takes all. Anchored already.
    pub include: Vec<Regex>,
    /// A key that matches one of these, whole, is not taken. Anchored already.
    pub exclude: Vec<Regex>,
    /// Inclusive ranges of slots within 0..=16383, sorted and apart; `--shard` is already cut in.
    pub slots: Vec<(u16, u16)>,
    /// SCAN COUNT.
    pub scan_count: Auto<u32>,
    /// Keys over this many bytes of MEMORY USAGE are skipped; `None` is off.
    pub memory_limit: Option<NonZeroU64>,
    /// MEMORY USAGE SAMPLES.
    pub memory_samples: u32,
}

/// What changes between source and target.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// Key template, parsed; `None` keeps names.
    pub template: Option<Template>,
    /// Regular expression and replacement (`$1` for groups) on key names.
    pub replace: Option<(Regex, Vec<u8>)>,
    /// Keys are written without their expiry, and expiry is not compared.
    pub drop_expiry: bool,
}

/// A key template: `prefix:#{key}` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Literal text and fields, in order.
    pub parts: Vec<TemplatePart>,
}

/// One part of a key template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Bytes as they stand.
    Text(Vec<u8>),
    /// `#{key}`.
    Key,
    /// `#{type}`.
    Type,
    /// `#{#source.database}`.
    SourceDatabase,
    /// `#{#target.database}`.
    TargetDatabase,
}

/// How strings are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// Strings by MGET and MSET or SET, all else by DUMP and RESTORE.
    Auto,
    /// Everything by DUMP and RESTORE.
    Dump,
    /// Everything by the commands of its type.
    Struct,
}

/// Lanes, batches, memory, retries.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option that is given or not"
)]
pub struct Flow {
    /// How values are carried.
    pub carriage: Carriage,
    /// Keys over this many bytes of MEMORY USAGE move in chunks by their type's commands; `None` is off.
    pub big_key: Option<NonZeroU64>,
    /// What is copied by its type's commands is added to what the target has, not put in its place.
    pub merge: bool,
    /// Messages of streams keep their ids; without, the target gives new ones.
    pub stream_ids: bool,
    /// Streams without messages are left out.
    pub prune_streams: bool,
    /// `--threads`.
    pub write_lanes: Auto<usize>,
    /// `--batch`, keys.
    pub write_batch: Auto<usize>,
    /// `--read-threads`.
    pub read_lanes: Auto<usize>,
    /// `--read-batch`, keys.
    pub read_batch: Auto<usize>,
    /// `--read-queue`, keys between readers and writers.
    pub read_queue: Auto<usize>,
    /// `--pipeline`, batches in flight on one connection.
    pub pipeline: Auto<usize>,
    /// Bytes of values held at once.
    pub memory_budget: u64,
    /// Pause after each batch; zero is none.
    pub sleep: Duration,
    /// Most keys a second; `None` is no limit.
    pub rate: Option<NonZeroU64>,
    /// Most of one core of each of the source's servers that the run may use, from 0 to 1; `None` is no limit.
    pub source_cpu: Option<f64>,
    /// Transient errors of writes.
    pub write_retry: RetryLimit,
    /// Transient errors of reads.
    pub read_retry: RetryLimit,
    /// Keys that failed for good, in writes.
    pub write_skip: SkipLimit,
    /// Keys that failed for good, in reads.
    pub read_skip: SkipLimit,
    /// MULTI/EXEC around each write batch.
    pub multi_exec: bool,
    /// WAIT for this many replicas after each write batch; 0 is off.
    pub wait_replicas: u32,
    /// WAIT's timeout.
    pub wait_timeout: Duration,
    /// A lost connection is opened again (`--no-auto-reconnect` turns it off).
    pub reconnect: bool,
    /// How long a server that is away is waited for.
    pub reconnect_timeout: Duration,
    /// Run again after this long.
    pub repeat: Option<Duration>,
    /// Read, do not write.
    pub dry_run: bool,
    /// Log each key read and written.
    pub log_keys: bool,
}

/// How changes at the source are followed.
#[derive(Debug, Clone)]
pub struct Live {
    /// The source's keys are scanned too; without, only what changes is copied (`liveonly`).
    pub scans: bool,
    /// How changes are learnt.
    pub events: Events,
    /// Distinct changed keys that are held by name; what exceeds them is remembered by slot.
    pub queue: usize,
    /// In which order changed keys are copied.
    pub order: EventOrder,
    /// Longest wait before changed keys are copied; a key is copied at most once in it.
    pub flush_interval: Duration,
    /// The run ends after this long without a change.
    pub idle_timeout: Option<Duration>,
    /// Exit 0 though a guarantee could not be proved.
    pub accept_unproven: bool,
}

/// How changes at the source are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Notifications where they are on, both where that cannot be known, else tracking.
    Auto,
    /// Keyspace notifications.
    Keyspace,
    /// CLIENT TRACKING in broadcast mode.
    Tracking,
}

/// In which order changed keys are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrder {
    /// As they changed.
    Fifo,
    /// By type: strings first, then hashes, JSON, lists, sets, sorted sets, streams, time series.
    Priority,
}

/// How often a transient error is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryLimit {
    /// Until it works.
    Always,
    /// This many times after the first try; 0 is never.
    Times(u32),
}

/// How many keys may fail for good before the run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipLimit {
    /// Any number.
    Always,
    /// One more than this ends the run; 0 is `never`.
    Keys(u64),
}

/// What is compared after a replicate, or by `compare`.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option that is given or not"
)]
pub struct Verification {
    /// How deep.
    pub depth: Depth,
    /// Largest difference between expiries that counts as equal.
    pub expiry_tolerance: Duration,
    /// One line a difference on standard output.
    pub show_differences: bool,
    /// How often a difference is looked at, at least 1.
    pub rounds: u32,
    /// Pause between rounds.
    pub round_interval: Duration,
    /// Keys that only the target has are looked for too.
    pub both: bool,
    /// What differs is copied again.
    pub repair: bool,
    /// Keys that only the target has are deleted, in a repair.
    pub delete_extra: bool,
    /// Messages of streams are compared with their ids.
    pub message_ids: bool,
    /// A stream without messages at the source need not be at the target.
    pub prune_streams: bool,
}

/// How deep a comparison goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// No comparison.
    None,
    /// Existence, type, expiry.
    Quick,
    /// These, and values.
    Full,
}

/// Bars, logs and the report.
#[derive(Debug, Clone)]
pub struct Console {
    /// How progress is shown.
    pub progress: Progress,
    /// Time between two updates.
    pub progress_rate: Duration,
    /// Logging.
    pub log: Log,
    /// The closing report's form.
    pub report: ReportFormat,
    /// Latency of commands in the report and the log lines.
    pub latency: bool,
}

/// Where metrics are served, and when the target counts as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// A name or an address; empty is every address of this machine.
    pub host: String,
    /// The port; 0 is one that is free.
    pub port: u16,
    /// The target is ready while no change has waited for so long.
    pub ready_lag: Duration,
}

/// How progress is shown on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A bar of line-drawing characters.
    Bar,
    /// A bar of blocks.
    Block,
    /// A bar of `=` and `>`.
    Ascii,
    /// A line each `progress_rate`.
    Log,
    /// Nothing.
    None,
}

/// Logging.
#[derive(Debug, Clone)]
pub struct Log {
    /// Lowest level shown.
    pub level: tracing::level_filters::LevelFilter,
    /// Where lines go.
    pub target: LogTarget,
    /// Text or JSON.
    pub format: LogFormat,
    /// strftime-like pattern in Java's letters; `None` shows no time.
    pub time: Option<String>,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Form of the closing report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// Three lines.
    Text,
    /// One JSON object.
    Json,
    /// riot-redis 2's one line.
    Short,
}
