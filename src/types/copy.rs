//! Keys copied by the commands of their types: small ones many in a pipeline, each written by one transaction.
//!
//! A key's copying is a row of steps, as its comparison is (`Reader`): each asks the source something, and says what
//! writes the answer. What does not fit into one answer is `Large`, and is copied by [`large`].

mod commands;
mod large;
mod reader;
mod text;

use std::sync::Arc;

use bytes::Bytes;

pub(in crate::types) use self::commands::{Commands, number};
use self::commands::{Executed, Manner, executed, first_error, transaction};
pub use self::large::large;
use self::reader::reader;
pub(in crate::types) use self::reader::{Means, Reader, Size, Step};
use super::ask::{Answers, Questions, Sides, bytes, collect_all, has_command, size};
use super::{CHUNK, End, LEAST_CHUNK, LIGHT, explained};
use crate::config::Side;
use crate::entry::Millis;
use crate::error::Lost;
use crate::transform::Rename;
use crate::wire::{Connection, Reply};

/// Memory of a key from which on it is not read by one command: its text may be larger.
const WHOLE: usize = 512 * 1024;
/// Keys that are copied at once.
const TASKS: usize = 512;
/// No key, no expiry.
const NO_EXPIRY: Millis = -1;
const NO_KEY: Millis = -2;

/// How many bytes of text a byte of memory may be.
fn density(kind: &[u8]) -> usize {
    match kind {
        // A sample takes two bytes or less where it is like the one before.
        b"TSDB-TYPE" => 16,
        // A component may be a bit, and is written as 32; adding to a graph takes long, too.
        b"vectorset" => 8,
        _ => 1,
    }
}

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
        if error.starts_with("NOPERM") || error.contains("unknown command"))
}

/// The clocks' part.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now on the source's clock, where it is known: what is past its expiry is deleted, not written.
    pub source_now: Option<Millis>,
    /// What is added to the source's instants.
    pub shift: Millis,
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
    /// It does not fit into one answer: to be copied by [`large`].
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
}

impl Copied {
    fn of(commands: &Commands) -> Self {
        Self {
            bytes: commands.total as u64,
            lost_field_expiries: commands.lost_field_expiries,
            notes: commands.notes.clone(),
            digest: commands.digest,
            groups: commands.groups,
        }
    }
}

impl CopyTerms {
    fn means(&self, abilities: Abilities, moment: Moment) -> Means {
        Means {
            chunk: (self.budget / 4).clamp(LEAST_CHUNK, CHUNK),
            shift: moment.shift,
            field_expiry: abilities.field_expiry,
            keep_expiry: self.keep_expiry,
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

/// Keys that are being copied, many at once.
pub struct Bench {
    terms: Arc<CopyTerms>,
    abilities: Abilities,
    tasks: Vec<Task>,
}

struct Task {
    ticket: usize,
    order: Order,
    kind: Bytes,
    state: State,
}

enum State {
    /// Type and size.
    Look,
    Read(Reading),
    /// All was read: one transaction writes it.
    Write(Commands, Manner, usize),
    /// The stream has no messages.
    Prune,
}

struct Reading {
    reader: Box<dyn Reader>,
    commands: Commands,
    expiry: Option<Millis>,
    weight: usize,
}

/// What one step of a task came to.
enum Next {
    Go(State),
    End(Fate),
}

impl Bench {
    /// For keys that are copied between servers with these abilities.
    #[must_use]
    pub fn new(terms: Arc<CopyTerms>, abilities: Abilities) -> Self {
        Self {
            terms,
            abilities,
            tasks: Vec::new(),
        }
    }

    /// How many more keys it takes.
    #[must_use]
    pub fn room(&self) -> usize {
        TASKS.saturating_sub(self.tasks.len())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// A key, and the number that its fate will have.
    pub fn add(&mut self, ticket: usize, order: Order) {
        self.tasks.push(Task {
            ticket,
            order,
            kind: Bytes::new(),
            state: State::Look,
        });
    }

    /// A connection was lost: every key is begun again, but those that may have been written and must not be twice.
    pub fn begin_again(&mut self) -> Vec<(usize, String)> {
        let mut failed = Vec::new();
        let terms = self.terms.clone();
        self.tasks.retain_mut(|task| {
            let written = matches!(task.state, State::Write(..));
            if written && !terms.may_repeat(&task.kind) {
                let why = "the answer to its writing was lost: it may have been added, and is not added twice";
                failed.push((task.ticket, why.to_owned()));
                return false;
            }
            task.state = State::Look;
            true
        });
        failed
    }

    /// A key is not copied after all.
    pub fn forget(&mut self, ticket: usize) {
        self.tasks.retain(|task| task.ticket != ticket);
    }

    /// Takes a step of every key, as many as fit into one pipeline. The fates of those that are through come back.
    ///
    /// The connections have nothing in flight. An error is a connection that cannot go on.
    pub async fn round(
        &mut self,
        source: &mut Connection,
        target: &mut Connection,
        moment: Moment,
    ) -> Result<Vec<(usize, Fate)>, (Side, Lost)> {
        let means = self.terms.means(self.abilities, moment);
        let mut sides = Sides {
            source,
            target,
            asking: (false, false),
        };
        let (mut to_source, mut to_target) = sides.questions();
        let mut asked = Vec::with_capacity(self.tasks.len());
        let mut load = 0_usize;
        let mut writes = false;
        for task in &mut self.tasks {
            let weight = task.weight();
            if load > 0 && load.saturating_add(weight) > means.chunk {
                asked.push(None);
                continue;
            }
            load = load.saturating_add(weight);
            let before = (to_source.count(), to_target.count());
            writes |= task.ask(&self.terms, &means, &mut to_source, &mut to_target);
            asked.push(Some((
                to_source.count() - before.0,
                to_target.count() - before.1,
            )));
        }
        let waits = writes && self.terms.wait.0 > 0;
        if waits {
            let (replicas, millis) = self.terms.wait;
            to_target.ask(&[
                b"WAIT",
                replicas.to_string().as_bytes(),
                millis.to_string().as_bytes(),
            ]);
        }
        let counts = (to_source.count(), to_target.count());
        let (of_source, of_target) = tokio::join!(
            collect_all(sides.source, counts.0),
            collect_all(sides.target, counts.1)
        );
        let mut ours = Answers::new(
            Side::Source,
            of_source.map_err(|lost| (Side::Source, lost))?,
        );
        let mut theirs = Answers::new(
            Side::Target,
            of_target.map_err(|lost| (Side::Target, lost))?,
        );
        let mut ended = Vec::new();
        let mut left = Vec::with_capacity(self.tasks.len());
        for (mut task, asked) in std::mem::take(&mut self.tasks).into_iter().zip(asked) {
            let Some((of_source, of_target)) = asked else {
                left.push(task);
                continue;
            };
            let mut ours = ours.split(of_source);
            let mut theirs = theirs.split(of_target);
            match task.accept(&self.terms, &means, moment, &mut ours, &mut theirs) {
                Next::Go(state) => {
                    task.state = state;
                    left.push(task);
                }
                Next::End(fate) => ended.push((task.ticket, fate)),
            }
        }
        self.tasks = left;
        if waits {
            self.terms.hold_to_replicas(&theirs.raw(), &mut ended);
        }
        Ok(ended)
    }
}

impl CopyTerms {
    /// What was written counts only where enough replicas have it.
    fn hold_to_replicas(&self, reply: &Reply, ended: &mut [(usize, Fate)]) {
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
                let why = format!(
                    "NOREPLICAS {found} of {wanted} replicas acknowledged (--wait-replicas)"
                );
                *fate = Fate::Failed(Side::Target, why);
            }
        }
    }
}

impl Task {
    fn weight(&self) -> usize {
        LIGHT
            + match &self.state {
                State::Read(reading) => reading.weight,
                State::Write(commands, ..) => commands.bytes() / 4,
                State::Look | State::Prune => 0,
            }
    }

    /// Encodes the next step. `true`: it writes.
    fn ask(
        &mut self,
        terms: &CopyTerms,
        means: &Means,
        source: &mut Questions<'_>,
        target: &mut Questions<'_>,
    ) -> bool {
        let key = &self.order.source;
        match &mut self.state {
            State::Look => {
                source.ask(&[b"TYPE", key]);
                source.ask(&[b"MEMORY", b"USAGE", key]);
            }
            State::Read(reading) if !reading.reader.is_of_one_instant() => {
                reading.reader.ask(means, source);
            }
            State::Read(reading) if terms.source_multi => {
                source.ask(&[b"MULTI"]);
                terms.ask_expiry(key, source);
                reading.reader.ask(means, source);
                source.ask(&[b"EXEC"]);
            }
            State::Read(reading) => {
                terms.ask_expiry(key, source);
                reading.reader.ask(means, source);
                terms.ask_expiry(key, source);
            }
            State::Write(commands, manner, inside) => {
                *inside = transaction(commands, *manner, target);
                return true;
            }
            State::Prune => target.ask(&[b"EXISTS", &self.order.target]),
        }
        false
    }

    fn accept(
        &mut self,
        terms: &CopyTerms,
        means: &Means,
        moment: Moment,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Next {
        let outcome = match std::mem::replace(&mut self.state, State::Look) {
            State::Look => self.accept_look(terms, source),
            State::Read(reading) => self.accept_part(reading, terms, means, moment, source),
            State::Write(commands, _, inside) => Ok(Next::End(written(
                &commands,
                &self.kind,
                terms,
                executed(inside, || target.raw()),
            ))),
            State::Prune => target
                .size()
                .map(|found| Next::End(if found == 0 { Fate::Pruned } else { Fate::Gone })),
        };
        outcome.unwrap_or_else(|end| Next::End(fate(end)))
    }

    fn accept_look(&mut self, terms: &CopyTerms, source: &mut Answers) -> Result<Next, End> {
        self.kind = source.parse(bytes)?;
        // MEMORY USAGE is a courtesy: a user without the right to it copies all the same.
        let memory = size(&source.raw());
        if self.kind.as_ref() == b"none" {
            return Err(End::Gone);
        }
        if let Some(fate) = terms.refusal(&self.order, &self.kind, memory) {
            return Ok(Next::End(fate));
        }
        let pages = !matches!(self.kind.as_ref(), b"ReJSON-RL");
        let density = density(&self.kind);
        if pages && memory.is_none_or(|memory| memory > WHOLE / density) {
            return Ok(Next::End(Fate::Large));
        }
        let Some(reader) = reader(&self.kind, self.order.source.clone(), Size::Whole) else {
            return Ok(Next::End(unknown(&self.kind)));
        };
        Ok(Next::Go(State::Read(Reading {
            reader,
            commands: Commands::new(self.order.target.clone()),
            expiry: None,
            weight: memory.unwrap_or_default().saturating_mul(density),
        })))
    }

    fn accept_part(
        &mut self,
        mut reading: Reading,
        terms: &CopyTerms,
        means: &Means,
        moment: Moment,
        source: &mut Answers,
    ) -> Result<Next, End> {
        let now = moment.source_now.unwrap_or_default();
        let step = if !reading.reader.is_of_one_instant() {
            reading
                .reader
                .accept(means, source, &mut reading.commands)?
        } else {
            let mut inner = if terms.source_multi {
                let inside = source.len().saturating_sub(2);
                match executed(inside, || source.raw()) {
                    Executed::Answers(answers) => Answers::new(Side::Source, answers),
                    Executed::Void => return Err(End::Differs),
                    Executed::Refused(error) => return Err(End::Failed(Side::Source, error)),
                }
            } else {
                source.split(source.len())
            };
            let expiry = terms.take_expiry(&mut inner, now)?;
            if expiry == NO_KEY {
                return Err(End::Gone);
            }
            let step = reading
                .reader
                .accept(means, &mut inner, &mut reading.commands)?;
            if !terms.source_multi {
                let again = terms.take_expiry(&mut inner, now)?;
                if !same_instant(terms, expiry, again) {
                    return Err(End::Differs);
                }
            }
            let before = reading.expiry.replace(expiry);
            if before.is_some_and(|before| !same_instant(terms, before, expiry)) {
                return Err(End::Differs);
            }
            step
        };
        if step == Step::More {
            return Ok(Next::Go(State::Read(reading)));
        }
        if terms.prune_streams && reading.reader.is_empty_stream() {
            return Ok(Next::Go(State::Prune));
        }
        let (expiry, passed) = terms.expiry(reading.expiry.unwrap_or(NO_EXPIRY), moment);
        let mut commands = reading.commands;
        if self.kind.as_ref() == b"stream" {
            commands.digest = Some(commands.digest_with(reading.expiry));
            if self.order.known.is_some() && self.order.known == commands.digest {
                return Ok(Next::End(Fate::Unchanged));
            }
        }
        if passed {
            commands.clear();
        }
        let manner = Manner {
            merge: terms.merge && !passed,
            expiry: expiry.filter(|_| !passed),
        };
        Ok(Next::Go(State::Write(commands, manner, 0)))
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
                None => Fate::Copied(Copied::of(commands)),
            }
        }
        Executed::Void => Fate::Changed,
        Executed::Refused(error) => refused(kind, &error),
    }
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
