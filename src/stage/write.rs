//! Writes entries in the order of the lane. An entry's fate is known when the target has answered for it.
//!
//! When something has to be done again, the lane stops sending, waits for all that is in flight, leaves out what a newer
//! entry of the same key has overtaken, and goes on with the rest: an older value never overwrites a newer one. In a
//! cluster a lane has a connection to each node that has slots of its own, mostly one, and learns of a slot that has
//! moved in the same way.

mod answers;
mod batch;
mod finish;
mod live;
mod pipe;
mod recover;
mod redo;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

pub use self::batch::Dialect;
use self::batch::{Batch, Moment};
use self::pipe::WritePipe;
use self::redo::Redo;
use super::Context;
use super::graves::Graves;
use super::handover::Handover;
use super::pipes::{Home, any_moved};
use crate::config::{Auto, Side};
use crate::entry::{Entry, Key, Parcel, Value};
use crate::error::Lost;
use crate::nodes::{Node, Routes};
use crate::queue::{Lease, Receiver};
use crate::reading::BATCH_BYTES;
pub use crate::reading::BATCH_KEYS;
use crate::slots::slot;
use crate::stats::{SkipReason, Wait};

/// One write lane.
pub struct WriteLane {
    context: Arc<Context>,
    home: Home,
    routes: Arc<Routes>,
    dialect: Dialect,
    input: Receiver<Parcel>,
    handover: Arc<Handover>,
    limit: usize,
    waiting: VecDeque<Parcel>,
    redo: Redo,
    /// Connections that were lost with something in flight, and are not known to be closed at the server; by node.
    graves: Graves,
    /// Since when the cluster answers that it cannot answer.
    down: Option<Instant>,
    /// How often in a row entries were sent to another node.
    moved: u32,
    news: watch::Receiver<u64>,
    turn: usize,
    open: bool,
}

enum Step {
    Parcel(Option<Parcel>),
    Moved(usize, Result<(), Lost>),
    /// Slots have moved.
    News,
    /// A key that was handed over has its fate.
    Returned,
}

/// The target is lost.
struct Gone;

/// Tells the carriers that no more keys come, however the lane ends.
struct Closing(Arc<Handover>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl WriteLane {
    /// A lane that writes what comes from `input`, and hands over what is copied by the commands of its type.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        home: Home,
        dialect: Dialect,
        input: Receiver<Parcel>,
        handover: Arc<Handover>,
    ) -> Self {
        let limit = match context.flow.write_batch {
            Auto::Fixed(keys) => keys.max(1),
            Auto::Measured => BATCH_KEYS,
        };
        Self {
            routes: home.nodes.routes(),
            news: home.nodes.news(),
            context,
            home,
            dialect,
            input,
            handover,
            limit,
            waiting: VecDeque::new(),
            redo: Redo::default(),
            graves: Graves::default(),
            down: None,
            moved: 0,
            turn: 0,
            open: true,
        }
    }

    /// Runs until the input is closed and everything is written.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let _closes = Closing(self.handover.clone());
        if self.context.flow.dry_run {
            return self.discard().await;
        }
        let mut pipes = Vec::new();
        if self.write(&mut pipes).await.is_err() {
            self.fail_everything(pipes).await;
        }
        Ok(())
    }

    async fn write(&mut self, pipes: &mut Vec<WritePipe>) -> Result<(), Gone> {
        self.reroute(pipes).await?;
        while !self.turn(pipes).await? {}
        Ok(())
    }

    /// One turn. `true`: all is done.
    async fn turn(&mut self, pipes: &mut Vec<WritePipe>) -> Result<bool, Gone> {
        self.take_returned();
        let stale = |pipe: &WritePipe| pipe.stale && pipe.flying.is_empty();
        if let Some(place) = pipes.iter().position(stale) {
            let why = "the target is read-only now: a failover";
            let lost = Lost::Io(std::io::Error::other(why));
            self.recover(pipes, place, lost).await?;
        }
        let idle = pipes.iter().all(|pipe| pipe.flying.is_empty());
        if idle {
            self.give_reserved();
        }
        if self.must_reroute() {
            if idle {
                self.reroute(pipes).await?;
            }
        } else if self.handover.has_reserved() {
            // Nothing more is sent until what is in flight of them is answered.
        } else if self.redo.is_empty() && !is_asking(pipes) {
            self.fill(pipes);
        } else if idle {
            self.send_again(pipes).await?;
        }
        let mut place = 0;
        while let Some(pipe) = pipes.get_mut(place) {
            if let Err(lost) = self.take_answers(pipe) {
                self.recover(pipes, place, lost).await?;
                return Ok(false);
            }
            place += 1;
        }
        let left = !(self.waiting.is_empty() && self.redo.is_empty());
        // What waits for the carriers waits until they have moved.
        let full = self.redo.is_empty() && !self.handover.has_room();
        let idle = pipes.iter().all(|pipe| pipe.flying.is_empty());
        if idle && self.handover.has_reserved() {
            return Ok(false);
        }
        if idle && ((left && !full) || (!self.open && !left && self.handover.is_idle())) {
            return Ok(!left);
        }
        match self.wait(pipes).await {
            Step::Parcel(Some(parcel)) => self.waiting.push_back(parcel),
            Step::Parcel(None) => self.open = false,
            Step::Moved(_, Ok(())) | Step::Returned => {}
            Step::Moved(place, Err(lost)) => self.recover(pipes, place, lost).await?,
            Step::News => self.leave(pipes),
        }
        Ok(false)
    }

    async fn wait(&mut self, pipes: &mut [WritePipe]) -> Step {
        let hungry = self.open
            && self.redo.is_empty()
            && is_open(pipes)
            && !is_asking(pipes)
            && self.handover.has_room();
        let flying = pipes.iter().any(|pipe| !pipe.flying.is_empty());
        let since = std::time::Instant::now();
        let step = tokio::select! {
            parcel = self.input.receive(), if hungry => Step::Parcel(parcel),
            (place, moved) = any_moved(pipes, &mut self.turn), if flying => Step::Moved(place, moved),
            Ok(()) = self.news.changed() => Step::News,
            () = self.handover.moved() => Step::Returned,
        };
        let wait = if flying {
            Wait::WriteForTarget
        } else {
            Wait::WriteForValues
        };
        self.context.stats.waited(wait, since);
        step
    }

    /// Sends batches while the windows are open, each to its node.
    fn fill(&mut self, pipes: &mut [WritePipe]) {
        while is_open(pipes) && self.handover.has_room() && !self.handover.has_reserved() {
            let Some(batch) = self.next_batch(self.awaits_more(pipes)) else {
                return;
            };
            let batch = self.hand_over(batch, pipes);
            if batch.entries.is_empty() {
                continue;
            }
            if let [pipe] = &mut *pipes {
                self.send(batch, pipe);
                continue;
            }
            for (place, batch) in self.split(batch, pipes) {
                if let Some(pipe) = pipes.get_mut(place) {
                    self.send(batch, pipe);
                }
            }
        }
    }

    /// What the carriers were given back: it goes before all that waits.
    fn take_returned(&mut self) {
        let (entries, overtaken) = self.handover.take_returned();
        self.context.succeed(&overtaken);
        if !entries.is_empty() {
            self.waiting.push_front(Parcel {
                bytes: entries.iter().map(Entry::cost).sum(),
                entries,
                lease: Lease::default(),
            });
        }
    }

    /// Nothing is in flight: what was to come first has come, or will be left out.
    fn give_reserved(&mut self) {
        for entry in self.handover.give_reserved() {
            self.redo.written(&entry);
        }
    }

    /// Takes out what is copied by the commands of its type, and what waits for a key that is.
    fn hand_over(&mut self, batch: Batch, pipes: &[WritePipe]) -> Batch {
        let by_type = |entry: &Entry| matches!(entry.value, Value::ByType(_));
        if !self.handover.holds_any() && !batch.entries.iter().any(by_type) {
            return batch;
        }
        let flying = pipes.iter().flat_map(|pipe| &pipe.flying);
        let mut flying: HashSet<u64> = flying
            .flat_map(|batch| batch.entries.iter().map(|entry| entry.key.road))
            .collect();
        let mut rest = Batch::new(Vec::with_capacity(batch.entries.len()), 0, Lease::default());
        let mut lease = batch.lease;
        for entry in batch.entries {
            let Some(entry) = self.handover.attach(entry) else {
                continue;
            };
            if !by_type(&entry) {
                flying.insert(entry.key.road);
                rest.take(entry, &mut lease);
            } else if flying.contains(&entry.key.road) {
                // What is in flight of the key comes first.
                self.handover.reserve(entry);
            } else {
                self.handover.give(entry);
            }
        }
        rest
    }

    /// A batch for each node that has keys of this one.
    fn split(&self, batch: Batch, pipes: &[WritePipe]) -> Vec<(usize, Batch)> {
        let mut parts: Vec<(usize, Batch)> = Vec::new();
        let mut lease = batch.lease;
        for entry in batch.entries {
            let place = self.place(&entry.key, pipes).unwrap_or_default();
            if !parts.iter().any(|(known, _)| *known == place) {
                parts.push((place, Batch::new(Vec::new(), 0, Lease::default())));
            }
            if let Some((_, part)) = parts.iter_mut().find(|(known, _)| *known == place) {
                part.take(entry, &mut lease);
            }
        }
        parts
    }

    /// The connection that a key takes; a lane without one to its node finds out by MOVED.
    fn place(&self, key: &Key, pipes: &[WritePipe]) -> Option<usize> {
        let master: &Node = self.routes.master(slot(&key.name))?;
        pipes
            .iter()
            .position(|pipe| pipe.node.number() == master.number())
    }

    /// Whether a small batch waits for more entries: over a long way it is no later for it, while others are in flight. What
    /// follows changes is not held up.
    fn awaits_more(&self, pipes: &[WritePipe]) -> bool {
        let busy = |pipe: &WritePipe| pipe.window.is_far() && pipe.flying.len() > 2;
        self.open && self.context.follow.is_none() && pipes.iter().all(busy)
    }

    /// A parcel as it came, or small ones together; a small batch stays where it is, if it may wait.
    fn next_batch(&mut self, may_wait: bool) -> Option<Batch> {
        let mut parcel = self.next_parcel()?;
        if parcel.entries.len() > self.limit {
            let rest = parcel.entries.split_off(self.limit);
            let bytes = rest.iter().map(Entry::cost).sum();
            let lease = parcel.lease.split(bytes);
            parcel.bytes -= bytes;
            self.waiting.push_front(Parcel {
                entries: rest,
                bytes,
                lease,
            });
        }
        while let Some(more) = self.next_parcel() {
            if parcel.entries.len() + more.entries.len() > self.limit
                || parcel.bytes + more.bytes > BATCH_BYTES
            {
                self.waiting.push_front(more);
                break;
            }
            parcel.bytes += more.bytes;
            parcel.entries.extend(more.entries);
            parcel.lease.merge(more.lease);
        }
        let small = parcel.entries.len() < self.limit / 2 && parcel.bytes < BATCH_BYTES / 2;
        if may_wait && small && self.waiting.is_empty() {
            self.waiting.push_front(parcel);
            return None;
        }
        Some(Batch::new(parcel.entries, parcel.bytes, parcel.lease))
    }

    fn next_parcel(&mut self) -> Option<Parcel> {
        self.waiting
            .pop_front()
            .or_else(|| self.input.try_receive())
    }

    fn send(&self, mut batch: Batch, pipe: &mut WritePipe) {
        let moment = Moment {
            source_now: self.context.clocks.earliest(Side::Source),
            shift: self.context.clocks.shift() + pipe.node.link().skew(),
        };
        batch.encode(self.dialect, moment, pipe.connection.outgoing());
        pipe.sent(batch);
    }

    fn take_answers(&mut self, pipe: &mut WritePipe) -> Result<(), Lost> {
        while let Some(head) = pipe.flying.front_mut() {
            if head.is_done() {
                if let Some(batch) = pipe.flying.pop_front() {
                    let took = pipe.window.answer(Instant::now());
                    for command in batch.commands() {
                        self.context.stats.latency(Side::Target, command, took, 1);
                    }
                    self.finish(batch, pipe);
                }
                pipe.connection.release();
                continue;
            }
            head.skip(&mut pipe.connection);
            if head.is_done() {
                continue;
            }
            let Some(token) = pipe.connection.token()? else {
                return Ok(());
            };
            head.accept(token, &pipe.connection)?;
        }
        Ok(())
    }

    /// `--dry-run`: everything is read, nothing is written.
    async fn discard(mut self) -> anyhow::Result<()> {
        while let Some(parcel) = self.input.receive().await {
            let entries = &parcel.entries;
            self.context
                .stats
                .skipped(SkipReason::DryRun, entries.len() as u64);
            for entry in entries {
                self.context.ended(entry.key.mark);
            }
        }
        Ok(())
    }
}

fn is_open(pipes: &[WritePipe]) -> bool {
    pipes.iter().all(|pipe| pipe.window.is_open())
}

/// Whether keys are on their way to another node than the one that has their slot: nothing newer of them may be sent there.
fn is_asking(pipes: &[WritePipe]) -> bool {
    let mut flying = pipes.iter().flat_map(|pipe| &pipe.flying);
    flying.any(|batch| batch.asking)
}
