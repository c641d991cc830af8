//! Writes entries in the order of the lane. An entry's fate is known when the target has answered for it.
//!
//! When something has to be done again, the lane stops sending, waits for all that is in flight, leaves out what a newer
//! entry of the same key has overtaken, and goes on with the rest: an older value never overwrites a newer one.

mod batch;
mod graves;
mod live;
mod redo;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

pub use self::batch::Dialect;
use self::batch::{Batch, Moment};
use self::redo::{Again, Redo};
use super::Context;
use crate::config::{Auto, Side};
use crate::entry::{Entry, Parcel, Value};
use crate::error::{Class, Lost, classify};
use crate::output::KEYS;
use crate::queue::Receiver;
use crate::reading::BATCH_BYTES;
pub use crate::reading::BATCH_KEYS;
use crate::stats::SkipReason;
use crate::text::printable;
use crate::window::{self, Window};
use crate::wire::{Connection, Identity, Link};

/// One write lane.
pub struct WriteLane {
    context: Arc<Context>,
    link: Arc<Link>,
    dialect: Dialect,
    input: Receiver<Parcel>,
    limit: usize,
    waiting: VecDeque<Parcel>,
    flying: VecDeque<Batch>,
    window: Window,
    redo: Redo,
    /// The server does not take writes any more: what is behind the address now may.
    stale: bool,
    /// Connections that were lost with something in flight, and are not known to be closed at the server.
    graves: Vec<Option<Identity>>,
    open: bool,
}

enum Step {
    Parcel(Option<Parcel>),
    Moved(Result<(), Lost>),
}

impl WriteLane {
    /// A lane that writes what comes from `input`.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        link: Arc<Link>,
        dialect: Dialect,
        input: Receiver<Parcel>,
    ) -> Self {
        let limit = match context.flow.write_batch {
            Auto::Fixed(keys) => keys.max(1),
            Auto::Measured => BATCH_KEYS,
        };
        let window = Window::new(context.flow.pipeline, limit);
        Self {
            context,
            link,
            dialect,
            input,
            limit,
            waiting: VecDeque::new(),
            flying: VecDeque::new(),
            window,
            redo: Redo::default(),
            stale: false,
            graves: Vec::new(),
            open: true,
        }
    }

    /// Runs until the input is closed and everything is written.
    pub async fn run(mut self) -> anyhow::Result<()> {
        if self.context.flow.dry_run {
            return self.discard().await;
        }
        let mut connection = match self.link.open().await {
            Ok(connection) => connection,
            Err(error) => {
                self.context.give_up(error);
                self.fail_everything().await;
                return Ok(());
            }
        };
        loop {
            match self.advance(&mut connection).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(lost) => {
                    if !self.recover(&mut connection, &lost).await {
                        self.fail_everything().await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// One turn. `true`: all is done.
    async fn advance(&mut self, connection: &mut Connection) -> Result<bool, Lost> {
        if self.stale && self.flying.is_empty() {
            self.stale = false;
            let why = "the target is read-only now: a failover";
            return Err(Lost::Io(std::io::Error::other(why)));
        }
        if self.redo.is_empty() {
            self.fill(connection);
        } else if self.flying.is_empty() {
            self.send_again(connection).await;
        }
        self.take_answers(connection)?;
        if self.flying.is_empty() && self.waiting.is_empty() && self.redo.is_empty() && !self.open {
            return Ok(true);
        }
        if self.flying.is_empty() && !(self.waiting.is_empty() && self.redo.is_empty()) {
            return Ok(false);
        }
        match self.wait(connection).await {
            Step::Parcel(Some(parcel)) => self.waiting.push_back(parcel),
            Step::Parcel(None) => self.open = false,
            Step::Moved(moved) => moved?,
        }
        Ok(false)
    }

    async fn wait(&mut self, connection: &mut Connection) -> Step {
        let hungry = self.open && self.window.is_open() && self.redo.is_empty();
        let flying = !self.flying.is_empty();
        let limit = connection.limit();
        tokio::select! {
            parcel = self.input.receive(), if hungry => Step::Parcel(parcel),
            moved = timeout(limit, connection.drive()), if flying => {
                Step::Moved(moved.unwrap_or(Err(Lost::Timeout(limit))))
            }
        }
    }

    /// Sends batches while the window is open.
    fn fill(&mut self, connection: &mut Connection) {
        while self.window.is_open() {
            let Some(batch) = self.next_batch() else {
                return;
            };
            self.send(batch, connection);
        }
    }

    /// A parcel as it came, or small ones together.
    fn next_batch(&mut self) -> Option<Batch> {
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
        Some(Batch::new(parcel.entries, parcel.bytes, parcel.lease))
    }

    fn next_parcel(&mut self) -> Option<Parcel> {
        self.waiting
            .pop_front()
            .or_else(|| self.input.try_receive())
    }

    fn send(&mut self, mut batch: Batch, connection: &mut Connection) {
        let moment = Moment {
            source_now: self.context.clocks.earliest(Side::Source),
            shift: self.context.clocks.shift(),
        };
        batch.encode(self.dialect, moment, connection.outgoing());
        self.window.send(
            window::load(batch.entries.len(), batch.bytes),
            Instant::now(),
        );
        self.flying.push_back(batch);
    }

    fn take_answers(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        while let Some(head) = self.flying.front_mut() {
            if head.is_done() {
                if let Some(batch) = self.flying.pop_front() {
                    let took = self.window.answer(Instant::now());
                    for command in batch.commands() {
                        self.context.stats.latency(Side::Target, command, took, 1);
                    }
                    self.finish(batch);
                }
                connection.release();
                continue;
            }
            let Some(token) = connection.token()? else {
                return Ok(());
            };
            head.accept(token, connection)?;
        }
        Ok(())
    }

    /// Every entry of an answered batch has its fate: written, deleted, failed, or to be done again.
    fn finish(&mut self, mut batch: Batch) {
        let (wanted, _) = self.dialect.wait;
        if let Some(replicas) = batch
            .short_of_replicas
            .filter(|replicas| *replicas < i64::from(wanted))
        {
            let message = format!(
                "NOREPLICAS {replicas} of {wanted} replicas acknowledged (--wait-replicas)"
            );
            let written: Vec<usize> = (0..batch.entries.len())
                .filter(|row| !batch.errors.iter().any(|(failed, _)| failed == row))
                .collect();
            batch
                .errors
                .extend(written.into_iter().map(|row| (row, message.clone())));
        }
        if batch.careful {
            self.redo.answered();
        }
        self.rest(&batch);
        if batch.errors.is_empty() && batch.kinds.is_empty() {
            self.redo.calm();
            if self.redo.is_empty() {
                self.succeed(&batch.entries);
                return;
            }
        }
        let mut kinds: HashMap<usize, Vec<u8>> = batch.kinds.drain(..).collect();
        let mut errors: HashMap<usize, String> = batch.errors.drain(..).collect();
        let single = batch.careful;
        let mut lease = batch.lease;
        let mut good = Vec::new();
        for (row, entry) in batch.entries.into_iter().enumerate() {
            match (errors.remove(&row), kinds.remove(&row)) {
                (None, Some(kind)) => self.looked(entry, &kind),
                (None, None) => {
                    self.redo.written(&entry);
                    good.push(entry);
                }
                (Some(error), _) => {
                    let lease = lease.split(entry.cost());
                    self.fail_or_redo(
                        Again {
                            entry,
                            lease,
                            failed: batch.failed,
                            why: error,
                        },
                        single,
                    );
                }
            }
        }
        self.succeed(&good);
    }

    fn succeed(&self, entries: &[Entry]) {
        if let Some(follow) = &self.context.follow {
            follow.written(&self.context.stats.live, entries);
        }
        let deleted = entries
            .iter()
            .filter(|entry| entry.value == Value::Gone)
            .count();
        let bytes: usize = entries.iter().map(Entry::value_len).sum();
        self.context.stats.written((entries.len() - deleted) as u64);
        self.context.stats.wrote_bytes(bytes as u64);
        self.context.stats.deleted(deleted as u64);
        if self.context.flow.log_keys {
            for entry in entries {
                tracing::info!(target: KEYS, "written {}", printable(&entry.key.name));
            }
        }
    }

    fn fail_or_redo(&mut self, mut again: Again, single: bool) {
        let class = classify(again.why.as_bytes());
        if class == Class::Transient {
            self.stale |= again.why.starts_with("READONLY");
            again.failed += 1;
            if self.context.flow.write_retry.allows(again.failed) {
                self.context.stats.retried(1);
                self.redo.push(again);
                return;
            }
        } else if !single {
            // The error may be another key's of the same command.
            self.redo.push(again);
            return;
        }
        self.fail(&again.entry, &again.why, class);
    }

    fn fail(&self, entry: &Entry, why: &str, class: Class) {
        let message = match class {
            Class::Payload => {
                self.context.stats.payload_refused(1);
                format!(
                    "the target refuses its DUMP payload ({why}): it needs a target of the source's version or newer, \
                     as this version of riot cannot copy it by its type's own commands yet"
                )
            }
            Class::Transient | Class::Moved | Class::Key | Class::Fatal => why.to_owned(),
        };
        self.context.fail(Side::Target, &entry.key.name, &message);
    }

    /// Nothing is in flight: sends the next of what must be done again.
    async fn send_again(&mut self, connection: &mut Connection) {
        let overtaken = self.redo.sort();
        self.succeed(&overtaken);
        if let Some((pause, why)) = self.redo.pause() {
            if self.link.may_tell() {
                let address = &self.link.endpoint().address;
                let keys = self.redo.len();
                warn!("target {address}: {why}; {keys} keys wait to be written again");
            }
            sleep(pause).await;
        }
        if let Some(batch) = self.redo.next() {
            self.context.stats.redone_alone(batch.entries.len() as u64);
            self.send(batch, connection);
        }
    }

    /// The connection is gone. What has no answer is done again on another. `false`: there is none to be had.
    async fn recover(&mut self, connection: &mut Connection, lost: &Lost) -> bool {
        self.window.reset();
        self.redo.lost();
        if !self.flying.is_empty() {
            self.graves.push(connection.identity().cloned());
        }
        let flying = std::mem::take(&mut self.flying);
        for (place, batch) in flying.into_iter().enumerate() {
            self.take_back(batch, place == 0, lost);
        }
        if self.context.is_lost(Side::Target) {
            return false;
        }
        match self.link.reopen(lost).await {
            Ok(new) => {
                *connection = new;
                self.bury(connection).await;
                true
            }
            Err(error) => {
                self.context.give_up(error);
                false
            }
        }
    }

    /// Takes back a batch that was in flight when its connection went.
    fn take_back(&mut self, batch: Batch, was_answered: bool, lost: &Lost) {
        let careful = batch.careful;
        let answered = if careful && was_answered {
            batch.answered_rows()
        } else {
            0
        };
        let alone = was_answered && batch.entries.len() == answered + 1;
        let never = !self.context.flow.write_retry.allows(1);
        let mut errors: HashMap<usize, String> = batch.errors.into_iter().collect();
        let mut kinds: HashMap<usize, Vec<u8>> = batch.kinds.into_iter().collect();
        let mut lease = batch.lease;
        for (row, entry) in batch.entries.into_iter().enumerate() {
            let lease = lease.split(entry.cost());
            if row < answered
                && let Some(kind) = kinds.remove(&row)
            {
                self.looked(entry, &kind);
                continue;
            }
            let mut again = Again {
                entry,
                lease,
                failed: batch.failed,
                why: lost.to_string(),
            };
            if row < answered {
                match errors.remove(&row) {
                    Some(why) => self.fail_or_redo(Again { why, ..again }, true),
                    None => self.settle(&again.entry),
                }
                continue;
            }
            // Only an entry that was alone may be what breaks the connection; `--retry never` asks no further.
            again.failed += u32::from(alone || never);
            if !self.context.flow.write_retry.allows(again.failed) {
                let why = format!("{} (tried {} times)", again.why, again.failed);
                self.fail(&again.entry, &why, Class::Transient);
                continue;
            }
            self.context.stats.retried(1);
            self.redo.push(again);
        }
    }

    /// An entry was written while others must be done again.
    fn settle(&mut self, entry: &Entry) {
        self.redo.written(entry);
        self.succeed(std::slice::from_ref(entry));
    }

    /// There is no target any more: what was taken in, and what still comes, has failed.
    async fn fail_everything(&mut self) {
        let fail = |entries: Vec<Entry>| {
            for entry in entries {
                self.context
                    .fail(Side::Target, &entry.key.name, "the target is lost");
            }
        };
        fail(self.redo.drain());
        for batch in std::mem::take(&mut self.flying) {
            fail(batch.entries);
        }
        for parcel in std::mem::take(&mut self.waiting) {
            fail(parcel.entries);
        }
        while let Some(parcel) = self.input.receive().await {
            fail(parcel.entries);
        }
    }

    /// `--dry-run`: everything is read, nothing is written.
    async fn discard(mut self) -> anyhow::Result<()> {
        while let Some(parcel) = self.input.receive().await {
            self.context
                .stats
                .skipped(SkipReason::DryRun, parcel.entries.len() as u64);
        }
        Ok(())
    }
}
