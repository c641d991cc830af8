//! One side of the full comparison: its connection's batches in flight, and the digests that their answers become.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::sheet::{Held, Inspected, Look, Page, Sheet};
use crate::clock;
use crate::config::{RetryLimit, Side};
use crate::error::{Class, Lost, RunError, classify};
use crate::queue::Lease;
use crate::reading::{Answer, Batch, Dialect, LONG, LONG_EXTRA, Road};
use crate::stage::Context;
use crate::window::{self, Window};
use crate::wire::{Connection, Link};

/// The side's part of all sheets.
pub(super) struct Half {
    pub(super) side: Side,
    pub(super) link: Arc<Link>,
    pub(super) dialect: Dialect,
    context: Arc<Context>,
    flying: VecDeque<(u64, Batch)>,
    /// Answers that have been taken together, until they are written down.
    answers: Vec<Answer>,
    window: Window,
    asked: usize,
    lease: Option<Lease>,
    /// A long value waits until the other side's has gone: who holds a part of the budget must not wait for another.
    stalled: bool,
    failed: u32,
}

impl Half {
    pub(super) fn new(
        side: Side,
        link: Arc<Link>,
        dialect: Dialect,
        context: Arc<Context>,
        keys: usize,
    ) -> Self {
        let window = Window::new(context.flow.pipeline, keys);
        let dialect = Dialect {
            skew: link.skew(),
            ..dialect
        };
        Self {
            side,
            link,
            dialect,
            context,
            flying: VecDeque::new(),
            answers: Vec::new(),
            window,
            asked: 0,
            lease: None,
            stalled: false,
            failed: 0,
        }
    }

    /// The link's own round trip.
    pub(super) fn is_as_far_as(&mut self, round_trip: Option<std::time::Duration>) {
        self.window.is_as_far_as(round_trip);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flying.is_empty()
    }

    /// Whether there are answers to read, and room for them.
    pub(super) fn listens(&self) -> bool {
        !self.is_idle() && !self.stalled
    }

    /// Whether a long value waits though the other side's has gone.
    pub(super) fn may_go_on(&self, other: &Self) -> bool {
        self.stalled && !other.holds()
    }

    /// Whether it holds a part of the budget.
    pub(super) fn holds(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether another batch may be asked for, while no more than `bytes` are predicted to be on their way.
    pub(super) fn may_ask(&self, bytes: usize) -> bool {
        self.window.is_open() && (self.asked < bytes || self.flying.is_empty())
    }

    pub(super) fn ask(&mut self, number: u64, mut batch: Batch, connection: &mut Connection) {
        let now = self
            .context
            .clocks
            .now(self.side)
            .unwrap_or_else(clock::now);
        batch.encode(self.dialect, connection.outgoing(), now);
        self.window
            .send(window::load(batch.keys.len(), batch.bytes), Instant::now());
        self.asked += batch.bytes;
        self.flying.push_back((number, batch));
    }

    /// Takes every answer that has come. `other_holds`: the other side has a long value on its way.
    pub(super) async fn take(
        &mut self,
        connection: &mut Connection,
        sheets: &mut BTreeMap<u64, Sheet>,
        other_holds: bool,
    ) -> Result<(), Lost> {
        self.stalled = false;
        while let Some((number, head)) = self.flying.front_mut() {
            let Some(sheet) = sheets.get_mut(number) else {
                return Err(Lost::Protocol("an answer to no question".into()));
            };
            let page = page(self.side, sheet);
            if head.is_done() {
                self.finish(connection, sheets)?;
                continue;
            }
            head.skip(connection);
            if self.lease.is_none() {
                head.take_run(connection, &mut self.answers)?;
                for answer in self.answers.drain(..) {
                    note(answer, head, page, connection);
                }
                if head.is_done() {
                    continue;
                }
            }
            let Some(token) = connection.token()? else {
                head.meet(connection.partial());
                if head.is_streaming() {
                    self.make_room(connection, other_holds).await;
                }
                return Ok(());
            };
            let answer = head.accept(token, connection)?;
            for answer in head.take_together() {
                note(answer, head, page, connection);
            }
            let held = answer == Answer::Part && !head.is_void();
            note(answer, head, page, connection);
            if !held && self.lease.is_some() && head.is_streaming() {
                self.lease = None;
                // The digest is all that is kept of a long value.
                connection.release();
            }
        }
        Ok(())
    }

    /// Nothing in the read buffer is needed any more; a long value waits for its share of the budget.
    async fn make_room(&mut self, connection: &mut Connection, other_holds: bool) {
        let long = connection.partial().filter(|length| *length >= LONG);
        if let Some(length) = long
            && self.lease.is_none()
        {
            connection.release();
            if other_holds {
                self.stalled = true;
                return;
            }
            self.lease = Some(self.context.budget.lease(length + LONG_EXTRA).await);
        } else if connection.is_crowded() {
            connection.release();
        }
    }

    /// The oldest batch has all its answers.
    fn finish(
        &mut self,
        connection: &mut Connection,
        sheets: &mut BTreeMap<u64, Sheet>,
    ) -> Result<(), Lost> {
        connection.release();
        self.lease = None;
        let Some((number, mut batch)) = self.flying.pop_front() else {
            return Ok(());
        };
        self.asked = self.asked.saturating_sub(batch.bytes);
        let took = self.window.answer(Instant::now());
        self.context
            .stats
            .latency(self.side, command(batch.road), took, 1);
        if batch.is_void() {
            self.dialect.expiring |= batch.presumes_none();
            self.ask(number, batch, connection);
            return Ok(());
        }
        let Some(sheet) = sheets.get_mut(&number) else {
            return Ok(());
        };
        let page = page(self.side, sheet);
        if let Some(refusal) = batch.take_refusal() {
            if self.dialect.does_without_multi(&batch, &refusal) {
                self.ask(number, batch, connection);
                return Ok(());
            }
            let class = classify(refusal.as_bytes());
            self.context.stats.erred(self.side, class);
            if class == Class::Transient {
                self.flying.push_front((number, batch));
                return Err(Lost::Io(std::io::Error::other(refusal)));
            }
            // Each key has its own answer when it is looked at by itself.
            page.looks = vec![Look::Odd; batch.keys.len()];
        }
        page.is_whole = true;
        self.failed = 0;
        Ok(())
    }

    /// Asks again on another connection for what has no answer.
    pub(super) async fn recover(
        &mut self,
        connection: &mut Connection,
        lost: Lost,
        retry: RetryLimit,
    ) -> Result<(), RunError> {
        self.window.reset();
        self.asked = 0;
        self.lease = None;
        self.stalled = false;
        self.answers.clear();
        *connection = self.link.retry(&lost, &mut self.failed, retry).await?;
        self.window.is_as_far_as(connection.round_trip());
        for (number, batch) in std::mem::take(&mut self.flying) {
            self.ask(number, batch, connection);
        }
        Ok(())
    }
}

fn page(side: Side, sheet: &mut Sheet) -> &mut Page {
    match side {
        Side::Source => &mut sheet.source,
        Side::Target => &mut sheet.target,
    }
}

fn command(road: Road) -> &'static str {
    match road {
        Road::Inspect | Road::Weigh => "MEMORY USAGE",
        Road::Texts | Road::Doubts => "MGET",
        Road::Payloads => "DUMP",
    }
}

/// Writes an answer down.
fn note(answer: Answer, batch: &Batch, page: &mut Page, connection: &Connection) {
    let (row, look) = match answer {
        Answer::Part => return,
        Answer::Found(found) => {
            let value = connection.bytes(found.span);
            let held = if found.text {
                Held::text(value, found.expiry)
            } else {
                Held::payload(value, found.expiry)
            };
            (found.row, Look::Held(held))
        }
        Answer::Gone(row) => (row, Look::Gone),
        Answer::NoText(row) | Answer::NoTextOrGone(row) => (row, Look::NoText),
        Answer::Torn(row) => (row, Look::Odd),
        Answer::Failed(row, message) => {
            tracing::debug!("to be looked at by itself: {message}");
            (row, Look::Odd)
        }
        Answer::Inspected(row, memory) => {
            let kind = batch.kind(row).unwrap_or_default().to_vec();
            page.inspected.resize(row, Inspected::Unseen);
            page.inspected.push(if batch.is_unsure(row) {
                Inspected::Unseen
            } else {
                Inspected::Told(memory, kind)
            });
            return;
        }
    };
    if page.looks.len() <= row {
        page.looks.resize(batch.keys.len(), Look::Unseen);
    }
    if let Some(place) = page.looks.get_mut(row) {
        *place = look;
    }
}
