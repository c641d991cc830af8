//! What a run needs of a server, and what was learnt of it.

use std::time::Duration;

use crate::clock::Offset;

/// What the run will ask of a server.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one command that is needed or not"
)]
pub struct Needs {
    /// Values are read.
    pub reads: bool,
    /// Expiries are asked for.
    pub expiries: bool,
    /// Keys are scanned.
    pub scans: bool,
    /// Keys may have to be looked for, after a gap: SCAN and EXISTS.
    pub searches: bool,
    /// Values go by DUMP and RESTORE where these are allowed.
    pub payloads: bool,
    /// Values are compared by their payloads: DUMP cannot be done without.
    pub dumps: bool,
    /// Big keys are known by MEMORY USAGE, where that is allowed.
    pub weighs: bool,
    /// Strings may go by MGET.
    pub texts: bool,
    /// Keys are written.
    pub writes: bool,
    /// MEMORY USAGE.
    pub memory: bool,
    /// TYPE.
    pub kinds: bool,
    /// MULTI around write batches.
    pub multi: bool,
    /// WAIT.
    pub waits: bool,
    /// SCAN TYPE.
    pub scan_type: bool,
    /// It is a cluster's: strings are read by GET too, and keys are asked for that are on their way.
    pub cluster: bool,
    /// It may be a replica of a cluster.
    pub replica: bool,
}

/// What was learnt of a server.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one ability that a server has or not"
)]
pub struct Profile {
    /// It is a node of a cluster.
    pub is_cluster: bool,
    /// `Redis 7.0.15, standalone`, with `, TLS` where it is.
    pub description: String,
    /// DBSIZE, where allowed.
    pub keys: Option<u64>,
    /// Databases that have keys, where INFO is allowed.
    pub databases: Vec<u32>,
    /// Keys with an expiry in the run's database, where INFO is allowed.
    pub expires: Option<u64>,
    /// `used_memory`, where INFO is allowed.
    pub memory: Option<u64>,
    /// Shortest of a few round trips.
    pub round_trip: Duration,
    /// The server process' own name.
    pub run_id: Option<String>,
    /// Its clock minus this machine's, where TIME is allowed.
    pub clock_offset: Option<Offset>,
    /// `evicted_keys` now, where INFO is allowed.
    pub evicted_keys: Option<u64>,
    /// It has PEXPIRETIME.
    pub pexpiretime: bool,
    /// It has SET … PXAT.
    pub pxat: bool,
    /// MULTI is allowed.
    pub multi: bool,
    /// TIME is allowed.
    pub time: bool,
    /// DUMP is allowed.
    pub dumps: bool,
    /// RESTORE is allowed.
    pub restores: bool,
    /// MEMORY USAGE is allowed, where that was asked.
    pub weighs: bool,
    /// It has CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// It has SCAN … TYPE.
    pub scan_type: bool,
    /// SCAN and EXISTS are allowed, where that was asked.
    pub searches: bool,
    /// What cannot be proved, with the ACL rule that would mend it.
    pub unproven: Vec<String>,
    /// What an operator should know before the run.
    pub warnings: Vec<String>,
}

/// `Redis 7.0.15`: its name, and the first two numbers of its version.
pub(crate) fn make(product: &str) -> Option<(&str, (u32, u32))> {
    let (name, version) = product.split_once(' ')?;
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((name, (major, minor))),
        _ => None,
    }
}

impl Profile {
    /// `Redis 7.0.15`, and `, TLS`-like words left out.
    #[must_use]
    pub fn product(&self) -> &str {
        self.description.split(',').next().unwrap_or_default()
    }

    /// Whether it reads the payloads that another server writes: it is of the same make and no older. Valkey reads those of
    /// Redis up to 7.2.
    #[must_use]
    pub fn reads_payloads_of(&self, source: &Self) -> bool {
        let (Some(own), Some(other)) = (make(self.product()), make(source.product())) else {
            return false;
        };
        match (own.0, other.0) {
            ("Valkey", "Redis") => other.1 <= (7, 2),
            (own_name, other_name) => own_name == other_name && own.1 >= other.1,
        }
    }

    /// Two nodes of a cluster as one: what both can do, and what they hold together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let sum = |one: Option<u64>, two: Option<u64>| Some(one? + two?);
        let mut unproven = self.unproven;
        unproven.extend(other.unproven);
        unproven.sort();
        unproven.dedup();
        let mut warnings = self.warnings;
        warnings.extend(other.warnings);
        warnings.sort();
        warnings.dedup();
        Self {
            is_cluster: true,
            description: self.description,
            keys: sum(self.keys, other.keys),
            databases: self.databases,
            expires: sum(self.expires, other.expires),
            memory: sum(self.memory, other.memory),
            round_trip: self.round_trip.max(other.round_trip),
            run_id: None,
            clock_offset: self.clock_offset,
            evicted_keys: sum(self.evicted_keys, other.evicted_keys),
            pexpiretime: self.pexpiretime && other.pexpiretime,
            pxat: self.pxat && other.pxat,
            multi: self.multi && other.multi,
            time: self.time && other.time,
            dumps: self.dumps && other.dumps,
            restores: self.restores && other.restores,
            weighs: self.weighs && other.weighs,
            no_touch: self.no_touch && other.no_touch,
            scan_type: self.scan_type && other.scan_type,
            searches: self.searches && other.searches,
            unproven,
            warnings,
        }
    }
}
