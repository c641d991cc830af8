//! Small keys, many at once: what each asks next goes into one pipeline, and what is read of one is written while the next
//! is read.

use std::sync::Arc;

use bytes::Bytes;

use super::commands::{Commands, Executed, Manner, executed, transaction};
use super::reader::{Means, Reader, Size, Step, reader};
use super::{
    Abilities, CopyTerms, Fate, Moment, NO_EXPIRY, NO_KEY, Order, fate, not_behind, same_instant,
    unknown, written,
};
use crate::config::Side;
use crate::entry::Millis;
use crate::error::Lost;
use crate::types::ask::{Answers, Questions, Sides, bytes, collect_all, size};
use crate::types::{End, LIGHT};
use crate::wire::Connection;

/// Memory of a key from which on it is not read by one command: its text may be larger.
const WHOLE: usize = 512 * 1024;
/// Keys that are copied at once.
const TASKS: usize = 512;

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
    /// It is added to a stream, whose last message must be older.
    Behind(Commands, Manner),
    /// The stream has no messages.
    Prune,
}

struct Reading {
    reader: Box<dyn Reader>,
    commands: Commands,
    expiry: Option<Millis>,
    weight: usize,
}

impl Reading {
    /// Takes answers that are of one instant with the key's expiry.
    fn accept(
        &mut self,
        terms: &CopyTerms,
        means: &Means,
        moment: Moment,
        source: &mut Answers,
    ) -> Result<Step, End> {
        let now = moment.now();
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
        let step = self.reader.accept(means, &mut inner, &mut self.commands)?;
        if !terms.source_multi {
            let again = terms.take_expiry(&mut inner, now)?;
            if !same_instant(terms, expiry, again) {
                return Err(End::Differs);
            }
        }
        let before = self.expiry.replace(expiry);
        if before.is_some_and(|before| !same_instant(terms, before, expiry)) {
            return Err(End::Differs);
        }
        Ok(step)
    }
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
            to_target.wait(self.terms.wait);
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

impl Task {
    fn weight(&self) -> usize {
        LIGHT
            + match &self.state {
                State::Read(reading) => reading.weight,
                State::Write(commands, ..) => commands.bytes() / 4,
                State::Look | State::Behind(..) | State::Prune => 0,
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
                terms.ask_memory(key, source);
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
            State::Behind(..) => target.ask(&[b"XINFO", b"STREAM", &self.order.target]),
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
            State::Behind(commands, manner) => Ok(match not_behind(&commands, target.raw()) {
                Some(fate) => Next::End(fate),
                None => Next::Go(State::Write(commands, manner, 0)),
            }),
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
        let step = reading.accept(terms, means, moment, source)?;
        if step == Step::More {
            return Ok(Next::Go(State::Read(reading)));
        }
        if terms.prune_streams && reading.reader.is_empty_stream() {
            if terms.merge {
                return Ok(Next::End(Fate::Pruned));
            }
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
        if passed && terms.merge {
            return Err(End::Gone);
        }
        if passed {
            commands.clear();
        }
        let manner = Manner {
            merge: terms.merge,
            expiry: expiry.filter(|_| !passed),
        };
        if manner.merge && commands.first.is_some() {
            return Ok(Next::Go(State::Behind(commands, manner)));
        }
        Ok(Next::Go(State::Write(commands, manner, 0)))
    }
}
