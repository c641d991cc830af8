//! Reads values and expiries of one instant, in the order of the lane; what was read leaves in the order of its answers.
//!
//! The order of answers is the order in which the source was read. A guess that was wrong, a batch that a lost connection
//! took, a key that is tried again: all are read again and leave with their new answer, so an older value never follows
//! a newer one of the same key.

mod settle;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::Context;
use crate::clock;
use crate::config::{Auto, Side};
use crate::entry::{Key, Parcel};
use crate::error::{Class, Lost, classify, is_away};
use crate::queue::{Lease, Receiver, Sender};
pub use crate::reading::Dialect;
use crate::reading::{
    ASKED_BYTES, Answer, BATCH_BYTES, BATCH_KEYS, Batch, LONG, LONG_EXTRA, Limits, Road, Waiting,
};
use crate::retry::Backoff;
use crate::shape::Shapes;
use crate::transform::Rename;
use crate::window::{self, Window};
use crate::wire::{Connection, Link, run_id};

/// Keys that are looked at before they are read.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Types to take; empty takes all.
    pub kinds: Vec<String>,
    /// SCAN has looked at the type already: of keys that events name alone it is asked.
    pub scan_knows_kind: bool,
    /// Bytes of MEMORY USAGE over which a key is skipped.
    pub memory_limit: Option<NonZeroU64>,
}

impl Inspection {
    /// Whether keys of this type are taken.
    fn wants(&self, kind: &[u8]) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted.as_bytes() == kind)
    }

    fn is_needed(&self, key: &Key) -> bool {
        let kind = !self.kinds.is_empty() && (!self.scan_knows_kind || key.mark.is_event());
        kind || self.memory_limit.is_some()
    }
}

/// One read lane.
pub struct ReadLane {
    context: Arc<Context>,
    link: Arc<Link>,
    dialect: Dialect,
    inspection: Inspection,
    rename: Arc<Rename>,
    input: Receiver<Vec<Key>>,
    outputs: Vec<Sender<Parcel>>,
    waiting: Waiting,
    shapes: Shapes,
    window: Window,
    flying: VecDeque<Batch>,
    /// Bytes that are asked for and have not come, as they were guessed.
    asked: usize,
    answers: Vec<Answer>,
    prepaid: Option<Lease>,
    /// Since when the source answers that it cannot answer.
    away: Option<Instant>,
    /// Moves of the events' server that this lane has followed.
    moves: u64,
    backoff: Backoff,
    open: bool,
}

/// What a lane does next.
enum Step {
    Keys(Option<Vec<Key>>),
    Moved(Result<(), Lost>),
}

/// Nobody downstream takes entries any more: the run is being torn down.
struct Abandoned;

impl ReadLane {
    /// A lane that takes keys from `input` and sends entries to the write lane of their target name.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        link: Arc<Link>,
        dialect: Dialect,
        inspection: Inspection,
        rename: Arc<Rename>,
        input: Receiver<Vec<Key>>,
        outputs: Vec<Sender<Parcel>>,
    ) -> Self {
        let keys = match context.flow.read_batch {
            Auto::Fixed(keys) => keys.max(1),
            Auto::Measured => BATCH_KEYS,
        };
        let window = Window::new(context.flow.pipeline, keys);
        Self {
            waiting: Waiting::new(Limits {
                keys,
                bytes: BATCH_BYTES,
            }),
            context,
            link,
            dialect,
            inspection,
            rename,
            input,
            outputs,
            shapes: Shapes::default(),
            window,
            flying: VecDeque::new(),
            asked: 0,
            answers: Vec::new(),
            prepaid: None,
            away: None,
            moves: 0,
            backoff: Backoff::default(),
            open: true,
        }
    }

    /// Runs until the input is closed and everything is read.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut connection = match self.link.open().await {
            Ok(connection) => connection,
            Err(error) => {
                self.context.give_up(error);
                self.fail_everything().await;
                return Ok(());
            }
        };
        loop {
            if let Some(moves) = self.has_moved() {
                self.moves = moves;
                let why = "events are heard at another server now";
                let lost = Lost::Io(std::io::Error::other(why));
                if !self.recover(&mut connection, lost).await {
                    self.fail_everything().await;
                    return Ok(());
                }
            }
            self.fill(&mut connection);
            match self.take_answers(&mut connection).await {
                Ok(Ok(())) => {}
                Ok(Err(Abandoned)) => return Ok(()),
                Err(lost) => {
                    if !self.recover(&mut connection, lost).await {
                        self.fail_everything().await;
                        return Ok(());
                    }
                    continue;
                }
            }
            if self.flying.is_empty() && self.waiting.len() == 0 && !self.open {
                return Ok(());
            }
            if self.flying.is_empty() && self.waiting.len() > 0 {
                continue;
            }
            match self.wait(&mut connection).await {
                Step::Keys(Some(keys)) => self.take_in(keys),
                Step::Keys(None) => self.open = false,
                Step::Moved(Ok(())) => {}
                Step::Moved(Err(lost)) => {
                    if !self.recover(&mut connection, lost).await {
                        self.fail_everything().await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Values are read where events are heard.
    fn has_moved(&self) -> Option<u64> {
        let moves = self.context.follow.as_ref()?.moves();
        (moves != self.moves).then_some(moves)
    }

    async fn wait(&mut self, connection: &mut Connection) -> Step {
        let hungry = self.open && self.waiting.len() < 2 * BATCH_KEYS.max(self.waiting.limit());
        let flying = !self.flying.is_empty();
        let limit = connection.limit();
        tokio::select! {
            keys = self.input.receive(), if hungry => Step::Keys(keys),
            moved = timeout(limit, connection.drive()), if flying => {
                Step::Moved(moved.unwrap_or(Err(Lost::Timeout(limit))))
            }
        }
    }

    fn take_in(&mut self, keys: Vec<Key>) {
        let carriage = self.dialect.carriage;
        for key in keys {
            if self.inspection.is_needed(&key) {
                let bytes = key.name.len() + 64;
                self.waiting.add(key, Road::Inspect, bytes);
            } else {
                self.waiting.add_guessed(key, &self.shapes, carriage);
            }
        }
    }

    /// Sends batches while the window is open; a partial one only where the source would have nothing to do.
    fn fill(&mut self, connection: &mut Connection) {
        while self.may_ask() {
            while self.open && self.waiting.len() < self.waiting.limit() {
                let Some(keys) = self.input.try_receive() else {
                    break;
                };
                self.take_in(keys);
            }
            if !self.flying.iter().any(|batch| batch.strange)
                && let Some(batch) = self
                    .waiting
                    .next_strangers(&self.shapes, self.dialect.carriage)
            {
                self.send(batch, connection);
                continue;
            }
            let Some(batch) = self.waiting.next(self.flying.len() < 2) else {
                return;
            };
            self.send(batch, connection);
        }
    }

    fn send(&mut self, mut batch: Batch, connection: &mut Connection) {
        let now = self
            .context
            .clocks
            .now(Side::Source)
            .unwrap_or_else(clock::now);
        batch.encode(self.dialect, connection.outgoing(), now);
        self.window
            .send(window::load(batch.keys.len(), batch.bytes), Instant::now());
        self.asked += batch.bytes;
        self.flying.push_back(batch);
    }

    /// What is asked for lies in the source's memory until it is read.
    fn may_ask(&self) -> bool {
        self.window.is_open() && (self.asked < ASKED_BYTES || self.flying.is_empty())
    }

    /// Takes every answer that has come.
    async fn take_answers(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Result<(), Abandoned>, Lost> {
        while let Some(head) = self.flying.front_mut() {
            if head.is_done() {
                if self.finish(connection).await.is_err() {
                    return Ok(Err(Abandoned));
                }
                continue;
            }
            head.skip(connection);
            let Some(token) = connection.token()? else {
                let streaming = head.is_streaming();
                if let Some(length) = connection.partial().filter(|length| *length >= LONG)
                    && streaming
                    && self.prepaid.is_none()
                {
                    if self.settle(connection, None).await.is_err() {
                        return Ok(Err(Abandoned));
                    }
                    self.prepaid = Some(self.context.budget.lease(length + LONG_EXTRA).await);
                } else if streaming
                    && connection.is_crowded()
                    && !self.answers.is_empty()
                    && self.settle(connection, None).await.is_err()
                {
                    return Ok(Err(Abandoned));
                }
                return Ok(Ok(()));
            };
            let answer = head.accept(token, connection)?;
            let found = matches!(answer, Answer::Found(_));
            if answer != Answer::Part {
                self.answers.push(answer);
            }
            if found
                && let Some(lease) = self.prepaid.take()
                && self.settle(connection, Some(lease)).await.is_err()
            {
                return Ok(Err(Abandoned));
            }
        }
        Ok(Ok(()))
    }

    /// The head batch has all its answers.
    async fn finish(&mut self, connection: &mut Connection) -> Result<(), Abandoned> {
        let refusal = self.flying.front_mut().and_then(Batch::take_refusal);
        let void = self.flying.front().is_some_and(Batch::is_void);
        if refusal.is_none() && !void {
            self.settle(connection, None).await?;
        }
        let Some(batch) = self.flying.pop_front() else {
            return Ok(());
        };
        self.asked = self.asked.saturating_sub(batch.bytes);
        if batch.strange {
            self.shapes.meet(batch.size);
        }
        let took = self.window.answer(Instant::now());
        let command = match batch.road {
            Road::Inspect => "MEMORY USAGE",
            Road::Texts | Road::Doubts => "MGET",
            Road::Payloads => "DUMP",
        };
        self.context.stats.latency(Side::Source, command, took, 1);
        if let Some(refusal) = refusal {
            connection.release();
            self.answers.clear();
            if self.waits_for_source(refusal.as_bytes()).await {
                self.waiting.again(batch);
            } else {
                self.refused(batch, &refusal);
            }
        } else if void {
            connection.release();
            self.answers.clear();
            self.dialect.expiring = true;
            self.waiting.again(batch);
        } else {
            self.away = None;
        }
        if !self.context.flow.sleep.is_zero() {
            sleep(self.context.flow.sleep).await;
        }
        Ok(())
    }

    /// A source that is away for a moment is waited for, as long as one that cannot be reached. `false`: it is not that.
    async fn waits_for_source(&mut self, refusal: &[u8]) -> bool {
        if !is_away(refusal) {
            return false;
        }
        let since = *self.away.get_or_insert_with(|| {
            self.backoff = Backoff::default();
            Instant::now()
        });
        if since.elapsed() >= self.context.flow.reconnect_timeout {
            return false;
        }
        if self.link.may_tell() {
            let refusal = String::from_utf8_lossy(refusal);
            warn!(
                "source {}: {refusal}; asking again",
                self.link.endpoint().address
            );
        }
        self.context.stats.retried(1);
        sleep(self.backoff.pause()).await;
        true
    }

    /// A batch that was refused as a whole: its keys are tried one by one, so that each has its own error.
    fn refused(&mut self, batch: Batch, refusal: &str) {
        let alone = batch.keys.len() == 1;
        let transient = classify(refusal.as_bytes()) == Class::Transient;
        let failed = batch.failed + u32::from(transient || alone);
        let again = !alone || (transient && self.context.flow.read_retry.allows(failed));
        debug!(
            "a batch of {} keys was refused: {refusal}",
            batch.keys.len()
        );
        for key in batch.keys {
            if again {
                self.context.stats.retried(1);
                self.waiting.retry(key, batch.road, failed);
            } else {
                self.context.fail(Side::Source, &key.name, refusal);
            }
        }
    }

    /// The connection is gone: another takes what has no answer, in the same order. `false`: there is none to be had.
    async fn recover(&mut self, connection: &mut Connection, lost: Lost) -> bool {
        self.answers.clear();
        self.prepaid = None;
        self.window.reset();
        self.asked = 0;
        if self.context.is_lost(Side::Source) {
            return false;
        }
        match self.link.reopen(&lost).await {
            Ok(new) => {
                *connection = new;
                if let Some(follow) = &self.context.follow {
                    follow.reads_at(run_id(connection).await);
                }
            }
            Err(error) => {
                self.context.give_up(error);
                return false;
            }
        }
        let mut flying = std::mem::take(&mut self.flying);
        if let Some(head) = flying.pop_front() {
            self.retry_head(head, &lost, connection);
        }
        for batch in flying {
            self.context.stats.retried(batch.keys.len() as u64);
            self.send(batch, connection);
        }
        true
    }

    /// The batch that was being answered when the connection went: it may be what breaks it.
    fn retry_head(&mut self, mut head: Batch, lost: &Lost, connection: &mut Connection) {
        head.failed += 1;
        let failed = head.failed;
        if self.context.flow.read_retry.allows(failed) {
            self.context.stats.retried(head.keys.len() as u64);
            self.send(head, connection);
            return;
        }
        let alone = head.keys.len() == 1;
        let message = format!("{lost} (tried {failed} times)");
        for key in head.into_unsettled() {
            if alone {
                self.context.fail(Side::Source, &key.name, &message);
            } else {
                self.waiting.retry(key, Road::Payloads, 0);
            }
        }
    }

    /// There is no source any more: what was taken in, and what still comes, has failed.
    async fn fail_everything(&mut self) {
        let flying = std::mem::take(&mut self.flying);
        let mut keys: Vec<Key> = flying.into_iter().flat_map(Batch::into_unsettled).collect();
        keys.append(&mut self.waiting.drain());
        loop {
            for key in keys.drain(..) {
                self.context
                    .fail(Side::Source, &key.name, "the source is lost");
            }
            match self.input.receive().await {
                Some(more) => keys = more,
                None => return,
            }
        }
    }
}
