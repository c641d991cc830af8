//! Keys copied by the commands of their types: small ones many in a pipeline, each written by one transaction.
//!
//! A key's copying is a row of steps, as its comparison is (`Reader`): each asks the source something, and says what
//! writes the answer. What does not fit into one answer is `Large`, and is copied by [`large()`].

mod bench;
mod built;
mod commands;
mod large;
mod reader;
mod text;

use std::sync::Arc;

use bytes::Bytes;

pub use self::bench::Bench;
pub(in crate::types) use self::commands::{Commands, number};
use self::commands::{Executed, first_error};
pub use self::large::large;
pub(in crate::types) use self::reader::{Means, Reader, Size, Step};
use super::ask::{Answers, Questions, has_command};
use super::stream::Info;
use super::{CHUNK, End, LEAST_CHUNK, explained};
use crate::clock;
use crate::config::Side;
use crate::entry::Millis;
use crate::error::{Lost, denies_a_command};
use crate::stats::Kind;
use crate::transform::Rename;
use crate::wire::{Connection, Reply};

/// No key, no expiry.
const NO_EXPIRY: Millis = -1;
const NO_KEY: Millis = -2;

/// What is copied, and how.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one ability or wish")]
pub struct CopyTerms {
    /// PEXPIRETIME at the source; before 7.0 PTTL.
    pub source_pexpiretime: bool,
    /// TIME is allowed at the source: what its PTTLs count from.
    pub source_time: bool,
    /// MULTI is allowed at the source.
    pub source_multi: bool,
    /// The target is Redis 7.0 or newer.
    pub target_since_70: bool,
    /// The target is Redis 6.2 or newer.
    pub target_since_62: bool,
    /// Keys are written with their expiry.
    pub keep_expiry: bool,
    /// Collections are added to.
    pub merge: bool,
    /// Messages of streams keep their ids.
    pub stream_ids: bool,
    /// Streams without messages are left out.
    pub prune_streams: bool,
    /// What changes while it is read is read again because of its event.
    pub follows: bool,
    /// Types that are taken; none takes all.
    pub kinds: Vec<String>,
    /// Keys of more memory are skipped.
    pub memory_limit: Option<u64>,
    /// MEMORY USAGE SAMPLES.
    pub memory_samples: u32,
    /// Names at the target.
    pub rename: Arc<Rename>,
    /// WAIT for this many replicas, so many milliseconds; 0 replicas is off.
    pub wait: (u32, u64),
    /// Bytes of memory that copying may use.
    pub budget: usize,
}

/// What a try told of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// HPEXPIRETIME at the source, HPEXPIREAT at the target.
    field_expiry: (bool, bool),
    /// XSETID is allowed at the target.
    xsetid: bool,
    /// WATCH is allowed at the source.
    watch: bool,
    /// OBJECT ENCODING is allowed at the source.
    encoding: bool,
}

impl Abilities {
    /// Tries both sides, with commands that change nothing.
    pub async fn of(
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<Self, (Side, Lost)> {
        const NOBODY: &[u8] = b"riot:probe:0b8f6b4e";
        let at_source = |lost| (Side::Source, lost);
        let at_target = |lost| (Side::Target, lost);
        let reads = source
            .request(&[b"HPEXPIRETIME"])
            .await
            .map_err(at_source)?;
        let watched = source
            .request(&[b"WATCH", NOBODY])
            .await
            .map_err(at_source)?;
        source.request(&[b"UNWATCH"]).await.map_err(at_source)?;
        let encoding = source
            .request(&[b"OBJECT", b"ENCODING", NOBODY])
            .await
            .map_err(at_source)?;
        let writes = target.request(&[b"HPEXPIREAT"]).await.map_err(at_target)?;
        // Malformed: the server looks at the right first, and then refuses the words.
        let set = target
            .request(&[b"XSETID", NOBODY, b"x"])
            .await
            .map_err(at_target)?;
        Ok(Self {
            field_expiry: (has_command(&reads), has_command(&writes)),
            xsetid: !is_denied(&set),
            watch: !is_denied(&watched),
            encoding: !is_denied(&encoding),
        })
    }

    /// Whether a change while a key is read is certain to be noticed.
    #[must_use]
    pub fn notice_changes(&self) -> bool {
        self.watch
    }
}

/// Whether a server does not have a command, or not for this user.
fn is_denied(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(error)
        if denies_a_command(error.as_bytes()) || error.contains("unknown command"))
}

/// The clocks' part.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now on the source's clock, where it is known: what is past its expiry is deleted, not written.
    pub source_now: Option<Millis>,
    /// What is added to the source's instants.
    pub shift: Millis,
}

impl Moment {
    /// About now on the source's clock: by this machine's, where that is all there is.
    #[must_use]
    pub fn now(self) -> Millis {
        self.source_now.unwrap_or_else(clock::now)
    }
}

/// A key to be copied.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its name at the source.
    pub source: Bytes,
    /// Its name at the target.
    pub target: Bytes,
    /// A stream whose turn it is: it is not written where it is as it was then.
    pub known: Option<u64>,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The target has it.
    Copied(Copied),
    /// The source does not have it any more.
    Gone,
    /// It is not of a type that is taken.
    OtherType,
    /// It is over the limit of memory.
    OverLimit,
    /// It does not fit into one answer: to be copied by [`large()`].
    Large,
    /// A stream without messages, which the target does not have.
    Pruned,
    /// A stream that is as it was copied last.
    Unchanged,
    /// It has changed while it was read; nothing was written.
    Changed,
    /// It could not be copied: that side's own error.
    Failed(Side, String),
}

/// What was copied of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of names and values in the commands.
    pub bytes: u64,
    /// Fields whose expiry the target cannot hold.
    pub lost_field_expiries: u64,
    /// What could not be carried.
    pub notes: Vec<&'static str>,
    /// Of a stream: what was written, to be known again.
    pub digest: Option<u64>,
    /// It is a stream with groups.
    pub groups: bool,
    /// Its type.
    pub kind: Kind,
}

impl Copied {
    fn of(kind: &[u8], commands: &Commands) -> Self {
        Self {
            bytes: commands.total as u64,
            lost_field_expiries: commands.lost_field_expiries,
            notes: commands.notes.clone(),
            digest: commands.digest,
            groups: commands.groups,
            kind: Kind::of(kind),
        }
    }
}

impl CopyTerms {
    fn means(&self, abilities: Abilities, moment: Moment) -> Means {
        Means {
            chunk: (self.budget / 4).clamp(LEAST_CHUNK, CHUNK),
            shift: moment.shift,
            field_expiry: abilities.field_expiry,
            encoding: abilities.encoding,
            keep_expiry: self.keep_expiry,
            source_time: self.source_time,
            now: moment.now(),
            xsetid: abilities.xsetid,
            since_62: self.target_since_62,
            since_70: self.target_since_70,
            stream_ids: self.stream_ids,
            merge: self.merge,
            follows: self.follows,
        }
    }

    /// An error of what makes a stream's group, or a series, that is there already: one that is merged.
    fn is_harmless(&self, error: &str) -> bool {
        self.merge && (error.starts_with("BUSYGROUP") || error.contains("TSDB: key already exists"))
    }

    /// Whether writing a key of this type twice is the same as writing it once.
    fn may_repeat(&self, kind: &[u8]) -> bool {
        !self.merge || !matches!(kind, b"list" | b"stream")
    }

    /// Why a key of this type is not taken, or cannot be under the name that it was given.
    fn refusal(&self, order: &Order, kind: &[u8], memory: Option<usize>) -> Option<Fate> {
        let wanted = |known: &String| known.as_bytes() == kind;
        if !self.kinds.is_empty() && !self.kinds.iter().any(wanted) {
            return Some(Fate::OtherType);
        }
        if let (Some(limit), Some(memory)) = (self.memory_limit, memory)
            && memory as u64 > limit
        {
            return Some(Fate::OverLimit);
        }
        if self.rename.needs_type()
            && *self.rename.apply(&order.source, Some(kind)) != *order.target
        {
            let why = "its type, which its name tells, has changed";
            return Some(Fate::Failed(Side::Source, why.into()));
        }
        None
    }

    /// The target's instant of an expiry at the source, and whether it has passed.
    fn expiry(&self, expiry: Millis, moment: Moment) -> (Option<Millis>, bool) {
        if expiry < 0 {
            return (None, false);
        }
        let passed = moment.source_now.is_some_and(|now| expiry <= now);
        let instant = expiry.saturating_add(moment.shift);
        (
            self.keep_expiry.then_some(instant),
            passed || (self.keep_expiry && instant <= 0),
        )
    }

    /// Asks for a key's memory.
    fn ask_memory(&self, key: &[u8], source: &mut Questions<'_>) {
        let samples = self.memory_samples.to_string();
        source.ask(&[b"MEMORY", b"USAGE", key, b"SAMPLES", samples.as_bytes()]);
    }

    /// Asks for an expiry.
    fn ask_expiry(&self, key: &[u8], source: &mut Questions<'_>) {
        if self.source_pexpiretime {
            source.ask(&[b"PEXPIRETIME", key]);
            return;
        }
        if self.source_time {
            source.ask(&[b"TIME"]);
        }
        source.ask(&[b"PTTL", key]);
    }

    /// The answers to [`CopyTerms::ask_expiry`]: an instant, or that there is none. `now`: the clock where it is not told.
    fn take_expiry(&self, source: &mut Answers, now: Millis) -> Result<Millis, End> {
        if self.source_pexpiretime {
            return source.integer();
        }
        let now = if self.source_time {
            super::state::time(source.raw()).unwrap_or(now)
        } else {
            now
        };
        let left = source.integer()?;
        Ok(if left < 0 { left } else { now + left })
    }
}

impl CopyTerms {
    /// What was written counts only where enough replicas have it.
    pub(crate) fn hold_to_replicas(&self, reply: &Reply, ended: &mut [(usize, Fate)]) {
        let (wanted, _) = self.wait;
        let found = match reply {
            Reply::Integer(found) => *found,
            _ => 0,
        };
        if found >= i64::from(wanted) {
            return;
        }
        for (_, fate) in ended {
            if matches!(fate, Fate::Copied(_)) {
                // What was added is not added again.
                let added = if self.merge { "added, but " } else { "" };
                let why = format!(
                    "{added}NOREPLICAS {found} of {wanted} replicas acknowledged (--wait-replicas)"
                );
                *fate = Fate::Failed(Side::Target, why);
            }
        }
    }
}

/// A PTTL falls while it is read, and is told in milliseconds of two clocks.
fn same_instant(terms: &CopyTerms, one: Millis, other: Millis) -> bool {
    one == other
        || (!terms.source_pexpiretime && one >= 0 && other >= 0 && (one - other).abs() < 1000)
}

/// What a transaction's answers say of a key.
fn written(commands: &Commands, kind: &[u8], terms: &CopyTerms, executed: Executed) -> Fate {
    match executed {
        Executed::Answers(answers) => {
            match first_error(&answers, |error| terms.is_harmless(error)) {
                Some(error) => refused(kind, error),
                None => Fate::Copied(Copied::of(kind, commands)),
            }
        }
        Executed::Void => Fate::Changed,
        Executed::Refused(error) => refused(kind, &error),
    }
}

/// Why messages cannot be added to a stream of which XINFO STREAM says this.
fn not_behind(commands: &Commands, reply: Reply) -> Option<Fate> {
    let last = match reply {
        Reply::Error(error) if error.starts_with("ERR no such key") => return None,
        Reply::Error(error) => return Some(Fate::Failed(Side::Target, error)),
        reply => Info::of(reply)?.last,
    };
    let first = commands.first.filter(|first| *first <= last)?;
    Some(Fate::Failed(
        Side::Target,
        format!(
            "its messages begin at {first}, and the target's stream has been at {last}: nothing is added (--no-stream-id gives them new ids)"
        ),
    ))
}

/// An error of the target for a key of this type.
fn refused(kind: &[u8], error: &str) -> Fate {
    Fate::Failed(Side::Target, explained(kind, Side::Target, error))
}

fn unknown(kind: &[u8]) -> Fate {
    let kind = String::from_utf8_lossy(kind);
    let why = format!("its type is {kind}, a module's: DUMP and RESTORE alone copy it");
    Fate::Failed(Side::Source, why)
}

/// What the end of a key's reading means for its copying.
fn fate(end: End) -> Fate {
    match end {
        End::Differs => Fate::Changed,
        End::Missing | End::Gone => Fate::Gone,
        End::Failed(side, why) => Fate::Failed(side, why),
    }
}
