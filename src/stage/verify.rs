//! Compares keys by existence, type and expiry: the source is asked first, the target for what the source holds.

mod aside;
mod extra;
mod full;
mod half;
mod question;
mod sheet;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

pub use self::extra::{Extra, ExtraLane};
pub use self::full::FullLane;
use self::question::{Expiries, Kind, NO_KEY, Question, State};
use super::Context;
use crate::clock;
use crate::config::{RetryLimit, Side};
use crate::entry::{Key, Millis};
use crate::error::{Class, Lost, RunError, classify};
use crate::queue::Receiver;
use crate::reading::BATCH_KEYS;
use crate::stats::{Difference, DifferenceKind, Step};
use crate::transform::Rename;
use crate::types;
use crate::window::{self, Window};
use crate::wire::{Connection, Link};

/// What is compared, and how.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What a comparison by type knows too: expiries, tolerance, streams.
    pub values: types::Terms,
    /// Keys at the source, and at the target, may have expiries.
    pub expiring: (bool, bool),
    /// The database at the source, and at the target.
    pub databases: (u32, u32),
    /// Types to look at; empty looks at all.
    pub kinds: Vec<String>,
    /// Keys over this many bytes of MEMORY USAGE are left out.
    pub memory_limit: Option<NonZeroU64>,
    /// SAMPLES of MEMORY USAGE.
    pub memory_samples: u32,
}

impl Terms {
    /// Whether a key of this type and memory is compared.
    fn wants(&self, kind: &[u8], memory: u64) -> bool {
        let gone = kind == b"none";
        let other_kind =
            !self.kinds.is_empty() && !self.kinds.iter().any(|wanted| wanted.as_bytes() == kind);
        let large = self.memory_limit.is_some_and(|limit| memory > limit.get());
        !(gone || other_kind || large)
    }
}

/// A key that cannot be compared: told, and counted.
pub fn fail(context: &Context, side: Side, key: &Key, error: &str) {
    tracing::error!(
        "not compared: {}: {side}: {error}",
        context.stats.named(&key.name)
    );
    context.stats.erred(side, classify(error.as_bytes()));
    context.stats.failed(Step::Compare, &key.name, error);
}

/// Whether the key is at another node, or its cluster cannot tell for now.
fn is_astray(error: &str) -> bool {
    classify(error.as_bytes()) == Class::Moved
}

/// A key that differed when it was looked at.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// The source's key.
    pub key: Key,
    /// What differed.
    pub difference: Difference,
}

/// Where lanes put what differs.
#[derive(Debug, Default, Clone)]
pub struct Suspects {
    found: Arc<Mutex<Vec<Suspect>>>,
    astray: Arc<Mutex<Vec<Key>>>,
}

impl Suspects {
    /// All that were found since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Suspect> {
        std::mem::take(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keys that were not at the nodes that were asked, since the last time: their slots have moved.
    #[must_use]
    pub fn take_astray(&self) -> Vec<Key> {
        std::mem::take(&mut self.astray.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lead_astray(&self, keys: impl IntoIterator<Item = Key>) {
        self.astray
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(keys);
    }

    /// Keys differ.
    pub fn add(&self, suspects: Vec<Suspect>) {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(suspects);
    }
}

/// One verify lane.
pub struct VerifyLane {
    context: Arc<Context>,
    terms: Terms,
    rename: Arc<Rename>,
    input: Receiver<Vec<Key>>,
    suspects: Suspects,
    source: Half,
    target: Half,
    open: bool,
}

/// One side's connection and what it was asked.
struct Half {
    link: Arc<Link>,
    expiries: Expiries,
    /// Expiries are not asked for while INFO tells that there are none.
    presumes: bool,
    database: u32,
    flying: VecDeque<Question>,
    window: Window,
    failed: u32,
}

enum Turn {
    Keys(Option<Vec<Key>>),
    Moved(Side, Result<(), Lost>),
}

impl VerifyLane {
    /// A lane that compares what comes from `input`.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        (source, target): (Arc<Link>, Arc<Link>),
        terms: Terms,
        rename: Arc<Rename>,
        input: Receiver<Vec<Key>>,
        suspects: Suspects,
    ) -> Self {
        let half = |link, expiries, expiring: bool, database| Half {
            link,
            expiries,
            presumes: !expiring,
            database,
            flying: VecDeque::new(),
            window: Window::new(context.flow.pipeline, BATCH_KEYS),
            failed: 0,
        };
        let source = half(
            source,
            Expiries::new(terms.values.source_pexpiretime, terms.values.source_time),
            terms.expiring.0,
            terms.databases.0,
        );
        let target = half(
            target,
            Expiries::new(terms.values.target_pexpiretime, terms.values.target_time),
            terms.expiring.1,
            terms.databases.1,
        );
        Self {
            context,
            terms,
            rename,
            input,
            suspects,
            source,
            target,
            open: true,
        }
    }

    /// Runs until the input is closed and everything is compared.
    pub async fn run(mut self) -> anyhow::Result<()> {
        if let Err(error) = self.compare().await {
            if matches!(error, RunError::Left { .. }) {
                return self.leave().await;
            }
            self.context.give_up(error);
            // Whoever deals keys must not wait for a lane that has ended.
            while self.input.receive().await.is_some() {}
        }
        Ok(())
    }

    /// A node has lost its slots: the keys are looked for elsewhere.
    async fn leave(mut self) -> anyhow::Result<()> {
        for half in [&mut self.source, &mut self.target] {
            let flying = std::mem::take(&mut half.flying);
            let keys = flying.into_iter().flat_map(|question| question.keys);
            self.suspects.lead_astray(keys);
        }
        while let Some(keys) = self.input.receive().await {
            self.suspects.lead_astray(keys);
        }
        Ok(())
    }

    async fn compare(&mut self) -> Result<(), RunError> {
        let mut source = self.source.link.open().await?;
        let mut target = self.target.link.open().await?;
        self.source.window.is_as_far_as(source.round_trip());
        self.target.window.is_as_far_as(target.round_trip());
        loop {
            while self.open && self.may_ask() {
                let Some(keys) = self.input.try_receive() else {
                    break;
                };
                self.ask_source(keys, &mut source);
            }
            if let Err(lost) = self.take_source(&mut source, &mut target) {
                self.source
                    .recover(&mut source, lost, self.context.flow.read_retry)
                    .await?;
                continue;
            }
            if let Err(lost) = self.take_target(&mut target) {
                self.target
                    .recover(&mut target, lost, self.context.flow.read_retry)
                    .await?;
                continue;
            }
            if self.source.flying.is_empty() && self.target.flying.is_empty() && !self.open {
                return Ok(());
            }
            match self.wait(&mut source, &mut target).await {
                Turn::Keys(Some(keys)) => self.ask_source(keys, &mut source),
                Turn::Keys(None) => self.open = false,
                Turn::Moved(_, Ok(())) => {}
                Turn::Moved(Side::Source, Err(lost)) => {
                    self.source
                        .recover(&mut source, lost, self.context.flow.read_retry)
                        .await?;
                }
                Turn::Moved(Side::Target, Err(lost)) => {
                    self.target
                        .recover(&mut target, lost, self.context.flow.read_retry)
                        .await?;
                }
            }
        }
    }

    /// The target's answers bound what the source is asked: both windows must be open.
    fn may_ask(&self) -> bool {
        self.source.window.is_open() && self.target.window.is_open()
    }

    async fn wait(&mut self, source: &mut Connection, target: &mut Connection) -> Turn {
        let hungry = self.open && self.may_ask();
        let (asked, told) = (
            !self.source.flying.is_empty(),
            !self.target.flying.is_empty(),
        );
        let limits = (source.limit(), target.limit());
        tokio::select! {
            keys = self.input.receive(), if hungry => Turn::Keys(keys),
            moved = timeout(limits.0, source.drive()), if asked => {
                Turn::Moved(Side::Source, moved.unwrap_or(Err(Lost::Timeout(limits.0))))
            }
            moved = timeout(limits.1, target.drive()), if told => {
                Turn::Moved(Side::Target, moved.unwrap_or(Err(Lost::Timeout(limits.1))))
            }
        }
    }

    fn ask_source(&mut self, keys: Vec<Key>, source: &mut Connection) {
        let names = keys.iter().map(|key| key.name.clone()).collect();
        let memory = self.terms.memory_limit.map(|_| self.terms.memory_samples);
        let now = self
            .context
            .clocks
            .now(Side::Source)
            .unwrap_or_else(clock::now);
        self.source
            .ask(Question::new(keys, Vec::new(), names, memory, now), source);
    }

    fn take_source(
        &mut self,
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<(), Lost> {
        while let Some(question) = self.source.next_answered(source)? {
            self.ask_target(question, target);
        }
        Ok(())
    }

    /// What the source holds and the run wants is asked of the target.
    fn ask_target(&mut self, question: Question, target: &mut Connection) {
        let mut names = Vec::with_capacity(question.keys.len());
        let mut keys = Vec::with_capacity(question.keys.len());
        let mut expected = Vec::with_capacity(question.keys.len());
        let mut asked = question.keys.len();
        let mut astray = Vec::new();
        for (key, state) in question.keys.into_iter().zip(question.seen) {
            if let Some(error) = &state.error {
                if is_astray(error) {
                    astray.push(key);
                } else {
                    fail(&self.context, Side::Source, &key, error);
                }
                continue;
            }
            if state.expiry == NO_KEY || !self.terms.wants(&state.kind, state.memory) {
                continue;
            }
            let name = match self.rename.apply(&key.name, Some(&state.kind)) {
                Cow::Borrowed(_) => key.name.clone(),
                Cow::Owned(name) => Bytes::from(name),
            };
            names.push(name);
            keys.push(key);
            expected.push(state);
        }
        asked -= astray.len();
        self.suspects.lead_astray(astray);
        self.context.stats.compared((asked - keys.len()) as u64);
        if keys.is_empty() {
            return;
        }
        let now = self
            .context
            .clocks
            .now(Side::Target)
            .unwrap_or_else(clock::now);
        self.target
            .ask(Question::new(keys, expected, names, None, now), target);
    }

    fn take_target(&mut self, target: &mut Connection) -> Result<(), Lost> {
        let shift = self.context.clocks.shift() + self.target.link.skew() - self.source.link.skew();
        while let Some(question) = self.target.next_answered(target)? {
            let mut suspects = Vec::new();
            let mut astray = Vec::new();
            let asked = question.keys.len();
            for ((key, expected), seen) in question
                .keys
                .into_iter()
                .zip(question.expected)
                .zip(question.seen)
            {
                if let Some(error) = &seen.error {
                    if is_astray(error) {
                        astray.push(key);
                    } else {
                        fail(&self.context, Side::Target, &key, error);
                    }
                } else if let Some(kind) = self.differ(&expected, &seen, shift) {
                    let difference = Difference {
                        key: key.name.to_vec(),
                        kind,
                    };
                    suspects.push(Suspect { key, difference });
                }
            }
            self.context.stats.compared((asked - astray.len()) as u64);
            self.suspects.lead_astray(astray);
            if !suspects.is_empty() {
                self.suspects.add(suspects);
            }
        }
        Ok(())
    }

    fn differ(&self, expected: &State, seen: &State, shift: Millis) -> Option<DifferenceKind> {
        let text = |kind: &Kind| String::from_utf8_lossy(kind).into_owned();
        if *seen.kind == *b"none" || seen.expiry == NO_KEY {
            return Some(DifferenceKind::Missing {
                r#type: text(&expected.kind),
            });
        }
        if expected.kind != seen.kind {
            return Some(DifferenceKind::Type {
                expected: text(&expected.kind),
                found: text(&seen.kind),
            });
        }
        let terms = &self.terms.values;
        if terms.same_expiry(expected.expiry, seen.expiry, shift) {
            return None;
        }
        let now = self
            .context
            .clocks
            .now(Side::Target)
            .unwrap_or_else(clock::now);
        Some(types::ttl_difference(
            expected.expiry,
            seen.expiry,
            shift,
            now,
        ))
    }
}

impl Half {
    fn ask(&mut self, mut question: Question, connection: &mut Connection) {
        question.encode(self.expiries, self.presumes, connection);
        self.window
            .send(window::load(question.names.len(), 0), Instant::now());
        self.flying.push_back(question);
    }

    /// The oldest question, once all its answers have come.
    fn next_answered(&mut self, connection: &mut Connection) -> Result<Option<Question>, Lost> {
        while let Some(head) = self.flying.front_mut() {
            if head.is_done() {
                connection.release();
                self.window.answer(Instant::now());
                self.failed = 0;
                let Some(question) = self.flying.pop_front() else {
                    return Ok(None);
                };
                if question.is_void() {
                    self.presumes = false;
                    self.ask(question, connection);
                    continue;
                }
                return Ok(Some(question));
            }
            head.skip(connection);
            if head.is_done() {
                continue;
            }
            let Some(token) = connection.token()? else {
                return Ok(None);
            };
            head.accept(token, self.expiries, self.database, connection)?;
        }
        Ok(None)
    }

    /// Asks again on another connection what has no answer.
    async fn recover(
        &mut self,
        connection: &mut Connection,
        lost: Lost,
        retry: RetryLimit,
    ) -> Result<(), RunError> {
        self.window.reset();
        *connection = self.link.retry(&lost, &mut self.failed, retry).await?;
        self.window.is_as_far_as(connection.round_trip());
        for question in std::mem::take(&mut self.flying) {
            self.ask(question, connection);
        }
        Ok(())
    }
}
