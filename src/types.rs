//! Values by their types: read whole or in chunks on both sides at once and compared as each type means it, or read on one
//! and written to the other ([`copy`]).
//!
//! A key's comparison is a row of steps (`Comparison`): each asks both sides something and judges the answers. The steps
//! of many keys go into one pipeline, so that a batch takes as many round trips as its longest key has steps.

mod ask;
pub mod copy;
mod end;
mod hash;
mod json;
mod list;
mod other;
mod pace;
mod rank;
mod series;
mod set;
mod state;
mod stream;
mod string;
mod vector;
mod zset;

use std::time::Duration;

use bytes::Bytes;

use self::ask::{Answers, Questions, Sides};
use self::end::{End, explained};
use self::state::Known;
use crate::config::Side;
use crate::entry::{Key, Millis};
use crate::error::Lost;
use crate::stats::DifferenceKind;
use crate::wire::{Connection, Reply};

/// Bytes that one command's answer, and one pipeline's answers together, should not go far beyond.
const CHUNK: usize = 1024 * 1024;
/// A piece of a string has to hold a `HyperLogLog`'s header, and a round trip for less is not worth it.
const LEAST_CHUNK: usize = 256;
/// What a command costs that answers a number.
const LIGHT: usize = 64;

/// A key that the fast comparison could not call equal.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// The key, as the source calls it.
    pub key: Key,
    /// Its name at the target.
    pub target: Bytes,
    /// Size of the larger payload that was seen; 0 is unknown.
    pub bytes: usize,
}

/// What is compared, and how.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one ability or wish")]
pub struct Terms {
    /// PEXPIRETIME at the source; before 7.0 PTTL.
    pub source_pexpiretime: bool,
    /// The same at the target.
    pub target_pexpiretime: bool,
    /// TIME is allowed at the source: what its PTTLs count from.
    pub source_time: bool,
    /// The same at the target.
    pub target_time: bool,
    /// Expiry counts, that of keys and that of hash fields.
    pub expiry: bool,
    /// Largest difference of expiries that counts as equal.
    pub tolerance: Duration,
    /// Streams are compared with the ids of their entries, and all that names them.
    pub message_ids: bool,
    /// An empty stream at the source is not missing at the target.
    pub prune_streams: bool,
}

/// What became of a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides hold the same.
    Equal,
    /// Not at the source any more.
    Gone,
    /// They do not hold the same.
    Differs(DifferenceKind),
    /// It could not be compared: that side's own error.
    Failed(Side, String),
}

/// Compares each doubt exactly; verdicts come in the doubts' order.
///
/// The connections have nothing in flight. `shift` is added to the source's expiries, in milliseconds; about `budget` bytes
/// of memory are used at most. An error is a connection that cannot go on, or a server that cannot answer now.
pub async fn compare(
    source: &mut Connection,
    target: &mut Connection,
    doubts: &[Doubt],
    terms: &Terms,
    shift: Millis,
    budget: usize,
) -> Result<Vec<Verdict>, (Side, Lost)> {
    compare_asking(
        (source, target),
        (false, false),
        doubts,
        terms,
        shift,
        budget,
    )
    .await
}

/// [`compare`] for keys that are on their way to the source's node, or to the target's: it is asked for each (ASKING).
pub async fn compare_asking(
    (source, target): (&mut Connection, &mut Connection),
    asking: (bool, bool),
    doubts: &[Doubt],
    terms: &Terms,
    shift: Millis,
    budget: usize,
) -> Result<Vec<Verdict>, (Side, Lost)> {
    let mut sides = Sides {
        source,
        target,
        asking,
    };
    let known = state::look(&mut sides, doubts, terms, shift).await?;
    let mut verdicts = vec![Verdict::Equal; doubts.len()];
    let mut tasks = Vec::new();
    for (place, (doubt, known)) in doubts.iter().zip(known).enumerate() {
        let names = Names {
            source: doubt.key.name.clone(),
            target: doubt.target.clone(),
        };
        tasks.push(match known {
            Known::Settled(settled) => {
                set(&mut verdicts, place, settled);
                continue;
            }
            Known::PerhapsEmpty => Task {
                place,
                comparison: Box::new(stream::Emptiness::new(names.clone())),
                names,
                kind: Bytes::from_static(b"stream"),
                expiry: None,
            },
            Known::Open { kind, expiry } => Task {
                place,
                comparison: comparison(&kind, names.clone(), doubt.bytes),
                names,
                kind,
                expiry,
            },
        });
    }
    let ground = Ground {
        terms,
        shift,
        // Both sides' pages of one round, decoded.
        chunk: (budget / 4).clamp(LEAST_CHUNK, CHUNK),
        field_expiry: Ability::Unknown,
        smismember: None,
    };
    let ended = run(&mut sides, tasks, ground).await?;
    for (place, verdict) in confirm(&mut sides, ended).await? {
        set(&mut verdicts, place, verdict);
    }
    Ok(verdicts)
}

fn set(verdicts: &mut [Verdict], place: usize, verdict: Verdict) {
    if let Some(entry) = verdicts.get_mut(place) {
        *entry = verdict;
    }
}

impl Terms {
    /// Whether a target's expiry counts as the source's: instants, -1 for ever, -2 nothing there.
    pub(crate) fn same_expiry(&self, source: Millis, target: Millis, shift: Millis) -> bool {
        if !self.expiry {
            return true;
        }
        if source < 0 || target < 0 {
            return source == target;
        }
        u128::from((source.saturating_add(shift)).abs_diff(target)) <= self.tolerance.as_millis()
    }
}

/// How two expiries differ, in milliseconds left to live on the target's clock, which says `now`.
pub(crate) fn ttl_difference(
    source: Millis,
    target: Millis,
    shift: Millis,
    now: Millis,
) -> DifferenceKind {
    let left = |expiry: Millis, shift| {
        if expiry < 0 {
            expiry
        } else {
            expiry + shift - now
        }
    };
    DifferenceKind::Ttl {
        expected: left(source, shift),
        found: left(target, 0),
    }
}

/// A key's name at both sides.
#[derive(Debug, Clone)]
struct Names {
    source: Bytes,
    target: Bytes,
}

/// How far a comparison is when no difference was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is another step.
    More,
    /// That was all.
    Equal,
}

/// What only a try tells of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ability {
    Unknown,
    Asked,
    /// At the source, at the target.
    Known(bool, bool),
}

impl Ability {
    fn anywhere(self) -> bool {
        matches!(self, Self::Known(source, target) if source || target)
    }
}

/// What all comparisons of a batch stand on.
struct Ground<'a> {
    terms: &'a Terms,
    shift: Millis,
    /// Bytes that an answer should have at most.
    chunk: usize,
    /// HPEXPIRETIME (Redis 7.4, Valkey 9).
    field_expiry: Ability,
    /// SMISMEMBER at the target (6.2).
    smismember: Option<bool>,
}

impl Ground<'_> {
    fn compares_field_expiries(&self) -> bool {
        self.terms.expiry && self.field_expiry == Ability::Known(true, true)
    }

    fn same_expiry(&self, source: Millis, target: Millis) -> bool {
        self.terms.same_expiry(source, target, self.shift)
    }
}

/// One key's comparison: steps of questions to both sides and their answers.
trait Comparison {
    /// Bytes that the next step's answer of one side is expected to have.
    fn weight(&self) -> usize;

    /// Encodes the next step's commands.
    fn ask<'q>(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    );

    /// Judges the answers to what was asked last.
    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End>;
}

fn comparison(kind: &[u8], names: Names, bytes: usize) -> Box<dyn Comparison + Send> {
    match kind {
        b"string" => Box::new(string::StringComparison::new(names)),
        b"hash" => Box::new(hash::HashComparison::new(names, bytes)),
        b"list" => Box::new(rank::ByRank::<list::List>::new(names, bytes)),
        b"set" => Box::new(set::SetComparison::new(names, bytes)),
        b"zset" => Box::new(rank::ByRank::<zset::SortedSet>::new(names, bytes)),
        b"stream" => Box::new(stream::StreamComparison::new(names, bytes)),
        b"ReJSON-RL" => Box::new(json::JsonComparison::new(names, bytes)),
        b"TSDB-TYPE" => Box::new(series::SeriesComparison::new(names)),
        b"vectorset" => Box::new(vector::VectorComparison::new(names)),
        other => Box::new(other::OtherComparison::new(names, bytes, other)),
    }
}

/// A key whose comparison is under way.
struct Task {
    place: usize,
    names: Names,
    kind: Bytes,
    /// How the expiry differs, for equal values.
    expiry: Option<DifferenceKind>,
    comparison: Box<dyn Comparison + Send>,
}

/// A key whose comparison is over.
struct Ended {
    place: usize,
    names: Names,
    kind: Bytes,
    outcome: Result<Verdict, End>,
}

/// Takes the steps of all tasks, many in a pipeline, until each has ended.
async fn run(
    sides: &mut Sides<'_>,
    mut tasks: Vec<Task>,
    mut ground: Ground<'_>,
) -> Result<Vec<Ended>, (Side, Lost)> {
    let mut ended = Vec::with_capacity(tasks.len());
    while !tasks.is_empty() {
        let mut asked = Vec::new();
        let mut load = 0_usize;
        let (mut source, mut target) = sides.questions();
        for task in &mut tasks {
            let weight = task.comparison.weight().saturating_add(LIGHT);
            if load > 0 && load.saturating_add(weight) > ground.chunk {
                asked.push(None);
                continue;
            }
            load = load.saturating_add(weight);
            let before = (source.count(), target.count());
            task.comparison.ask(&mut ground, &mut source, &mut target);
            asked.push(Some((source.count() - before.0, target.count() - before.1)));
        }
        let counts = (source.count(), target.count());
        let (mut source, mut target) = sides.answers(counts.0, counts.1).await?;
        let mut left = Vec::with_capacity(tasks.len());
        for (mut task, asked) in tasks.into_iter().zip(asked) {
            let Some((of_source, of_target)) = asked else {
                left.push(task);
                continue;
            };
            let (mut ours, mut theirs) = (source.split(of_source), target.split(of_target));
            let outcome = match task.comparison.accept(&mut ground, &mut ours, &mut theirs) {
                Ok(Progress::More) => {
                    left.push(task);
                    continue;
                }
                Ok(Progress::Equal) => Ok(task.expiry.map_or(Verdict::Equal, Verdict::Differs)),
                Err(end) => Err(end),
            };
            ended.push(Ended {
                place: task.place,
                names: task.names,
                kind: task.kind,
                outcome,
            });
        }
        tasks = left;
    }
    Ok(ended)
}

/// What differs may have gone while it was read: a key that a side does not have any more is not a difference in value.
async fn confirm(
    sides: &mut Sides<'_>,
    ended: Vec<Ended>,
) -> Result<Vec<(usize, Verdict)>, (Side, Lost)> {
    let is_open = |ended: &Ended| matches!(ended.outcome, Err(End::Differs | End::Missing));
    let (mut source, mut target) = sides.questions();
    for ended in ended.iter().filter(|ended| is_open(ended)) {
        source.ask(&[b"EXISTS", &ended.names.source]);
        target.ask(&[b"EXISTS", &ended.names.target]);
    }
    let counts = (source.count(), target.count());
    let (mut source, mut target) = sides.answers(counts.0, counts.1).await?;
    let gone = |answers: &mut Answers| answers.raw() == Reply::Integer(0);
    let verdicts = ended.into_iter().map(|ended| {
        let verdict = match ended.outcome {
            Ok(verdict) => verdict,
            Err(end @ (End::Differs | End::Missing)) => {
                match (gone(&mut source), gone(&mut target)) {
                    (true, _) => Verdict::Gone,
                    (false, true) => End::Missing.verdict(&ended.kind),
                    (false, false) => end.verdict(&ended.kind),
                }
            }
            Err(end) => end.verdict(&ended.kind),
        };
        (ended.place, verdict)
    });
    Ok(verdicts.collect())
}
