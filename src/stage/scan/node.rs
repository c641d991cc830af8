//! The scan of one node: page by page, from cursors that a lost connection does not lose.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::pages::Pages;
use super::parts::{self, Parts};
use super::{Ended, Purpose, Sieve};
use crate::changed::Overflow;
use crate::config::Auto;
use crate::deal::Inlets;
use crate::entry::{Cause, Key, Mark};
use crate::error::{Class, Lost, RunError, classify};
use crate::signal::Stop;
use crate::slots::{SlotSet, slot};
use crate::stage::Context;
use crate::state::{Start, Track};
use crate::stats::Wait;
use crate::transform::Rename;
use crate::wire::{Connection, Link, Span, Token, run_id};

/// COUNT of a scan that is to spare the source.
const SPARING: u64 = 100;

/// What the scans of all nodes have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) context: Arc<Context>,
    pub(super) sieve: Sieve,
    pub(super) rename: Arc<Rename>,
    pub(super) purpose: Purpose,
    pub(super) inlets: Inlets<Vec<Key>>,
    pub(super) halt: Stop,
    pub(super) only: Option<Arc<Overflow>>,
    pub(super) repeated: bool,
    /// How far the scan is is kept there.
    pub(super) track: Option<Arc<Track>>,
    /// `--rate`: until when the keys so far are paid for.
    pub(super) paid_until: Arc<Mutex<Option<Instant>>>,
}

/// The scan of one node.
pub(super) struct NodeScan {
    pub(super) common: Common,
    pub(super) link: Arc<Link>,
    /// The server's, where it is known.
    pub(super) run_id: Option<String>,
    /// The round trip that the probe has measured.
    pub(super) round_trip: Option<Duration>,
    /// How many keys it has, about, where it is known and none is of a cluster.
    pub(super) keys: Option<u64>,
    /// The slots that it is to have seen whole.
    pub(super) own: SlotSet,
    /// The slots whose keys are taken, where not all are.
    pub(super) slots: Option<SlotSet>,
}

/// Where the scan of a node is.
struct Walk {
    connection: Connection,
    parts: Parts,
    pages: Pages,
    /// Its number in what is kept of it.
    number: u64,
}

/// One page.
struct Page {
    cursor: Vec<u8>,
    keys: Vec<Bytes>,
}

/// Why no page came.
enum Missed {
    Lost(Lost),
    Refused(String),
}

impl From<Lost> for Missed {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl NodeScan {
    /// Scans until the cursor is 0 again. Slots come back that were not seen whole.
    pub(super) async fn run(mut self) -> Result<(Ended, SlotSet), RunError> {
        let mut connection = self.link.open().await?;
        if self.run_id.is_none() || self.common.track.is_some() {
            self.run_id = run_id(&mut connection).await;
        }
        let Start {
            scan,
            cursor,
            done,
            rest,
        } = self.start();
        if done {
            return Ok((Ended::Complete, rest));
        }
        // Who checks passwords slowly is not far away.
        let handshake = connection.round_trip();
        let round_trip = [self.round_trip, handshake].into_iter().flatten().min();
        let parts = match self.may_divide() {
            Some(keys) => Parts::of(parts::fitting(round_trip, keys), keys),
            None => Parts::one(cursor),
        };
        let walk = Walk {
            pages: Pages::new(self.common.sieve.count, round_trip, parts.number()),
            parts,
            number: scan,
            connection,
        };
        Ok((self.scan(walk).await?, rest))
    }

    /// Where the scan begins.
    fn start(&self) -> Start {
        match &self.common.track {
            Some(track) => track.start(self.run_id.as_deref(), &self.own),
            None => Start::default(),
        }
    }

    /// The keys of a table that may be scanned in parts: where a scan is one that was told to go so fast, has one place that is
    /// kept, or leaves most keys out, it is one.
    fn may_divide(&self) -> Option<u64> {
        let Common {
            context,
            sieve,
            track,
            ..
        } = &self.common;
        let told = sieve.count != Auto::Measured
            || context.flow.rate.is_some()
            || context.flow.source_cpu.is_some();
        let all = sieve.pattern == b"*" && sieve.kind.is_none();
        self.keys.filter(|_| all && !told && track.is_none())
    }

    async fn scan(&mut self, mut walk: Walk) -> Result<Ended, RunError> {
        self.ask_again(&mut walk);
        loop {
            if self.common.halt.is_draining() {
                return Ok(Ended::Early);
            }
            let stop = self.common.halt.clone();
            let link = self.link.clone();
            let since = std::time::Instant::now();
            let page = tokio::select! {
                page = self.page(&mut walk.connection) => page,
                () = stop.draining() => return Ok(Ended::Early),
                // It may hang.
                left = link.until_left() => return Err(left),
            };
            let for_source = since.elapsed();
            self.waited(Wait::ScanForSource, since);
            let lost = match page {
                Ok(Page { cursor, mut keys }) => {
                    let (scan, next) = (walk.number, cursor.clone());
                    let bytes = keys.iter().map(Bytes::len).sum();
                    if let Some(part) = walk.parts.took(cursor, &mut keys) {
                        // The next page is on its way while this one is dealt.
                        self.ask(&mut walk, part);
                        if let Err(lost) = walk.connection.send_some().await {
                            self.again(&mut walk, &lost).await?;
                        }
                    }
                    let Some(for_room) = self.deal(keys, (scan, &next)).await else {
                        return Ok(Ended::Early);
                    };
                    walk.pages.took(bytes, for_source, for_room);
                    if walk.parts.are_over() {
                        return Ok(Ended::Complete);
                    }
                    continue;
                }
                Err(Missed::Lost(lost)) => lost,
                Err(Missed::Refused(error)) if classify(error.as_bytes()) == Class::Transient => {
                    let side = self.link.endpoint().side;
                    self.common.context.stats.erred(side, Class::Transient);
                    Lost::Io(std::io::Error::other(error))
                }
                Err(Missed::Refused(error)) => {
                    if !walk.parts.can_do_without() {
                        return Err(self.link.unusable(&format!("SCAN: {error}")));
                    }
                    if let Some(part) = walk.parts.refused() {
                        self.ask(&mut walk, part);
                    }
                    if walk.parts.are_over() {
                        return Ok(Ended::Complete);
                    }
                    continue;
                }
            };
            self.again(&mut walk, &lost).await?;
        }
    }

    /// Asks for the next page of every part that is not over.
    fn ask_again(&self, walk: &mut Walk) {
        for part in walk.parts.ask_again() {
            self.ask(walk, part);
        }
    }

    fn ask(&self, walk: &mut Walk, part: usize) {
        let (cursor, count) = walk.parts.ask(part, self.count(walk.pages));
        let mut digits = itoa::Buffer::new();
        let mut words: Vec<&[u8]> = vec![b"SCAN", cursor];
        if self.common.sieve.pattern != b"*" {
            words.extend([b"MATCH".as_slice(), &self.common.sieve.pattern]);
        }
        if let Some(kind) = &self.common.sieve.kind {
            words.extend([b"TYPE".as_slice(), kind.as_bytes()]);
        }
        words.extend([b"COUNT".as_slice(), digits.format(count).as_bytes()]);
        walk.connection.outgoing().words(&words);
    }

    /// COUNT: under `--source-cpu` a page is one that nobody else waits for long; under `--rate` a page is a tenth of a second's keys, so that no second sees more than its share.
    fn count(&self, pages: Pages) -> u64 {
        let flow = &self.common.context.flow;
        let told = pages.count();
        let told = match flow.source_cpu {
            Some(_) => told.min(SPARING),
            None => told,
        };
        flow.rate
            .map_or(told, |rate| told.min((rate.get() / 10).max(1)))
    }

    async fn page(&self, connection: &mut Connection) -> Result<Page, Missed> {
        let mut cursor: Option<Vec<u8>> = None;
        let mut spans: Vec<Span> = Vec::new();
        let mut left: Option<usize> = None;
        let mut opened = false;
        loop {
            let Some(token) = connection.token()? else {
                let limit = connection.limit();
                timeout(limit, connection.drive())
                    .await
                    .map_err(|_| Lost::Timeout(limit))??;
                continue;
            };
            match token {
                Token::Array(_) if !opened => opened = true,
                Token::Bulk(span) if cursor.is_none() => {
                    cursor = Some(connection.bytes(span).to_vec());
                }
                Token::Array(keys) if cursor.is_some() && left.is_none() => {
                    left = Some(keys);
                    spans.reserve(keys);
                }
                Token::Bulk(span) if left.is_some() => spans.push(span),
                Token::Error(span) => {
                    let error = String::from_utf8_lossy(connection.bytes(span)).into_owned();
                    connection.release();
                    return Err(Missed::Refused(error));
                }
                other => return Err(Lost::Protocol(format!("unexpected {other:?} in SCAN")).into()),
            }
            while let Some(count) = left
                && spans.len() < count
                && let Some(span) = connection.bulk()?
            {
                spans.push(span);
            }
            if left == Some(spans.len()) {
                let released = connection.release();
                let keys = spans.iter().map(|span| span.slice(&released)).collect();
                return Ok(Page {
                    cursor: cursor.unwrap_or_default(),
                    keys,
                });
            }
        }
    }

    /// Goes on after a lost connection: from the same cursors on the same server, from the start on another.
    async fn again(&mut self, walk: &mut Walk, lost: &Lost) -> Result<(), RunError> {
        walk.connection = self.link.reopen(lost).await?;
        self.common.context.stats.retried(1);
        let now = run_id(&mut walk.connection).await;
        if self.run_id.is_none() || now != self.run_id {
            // A cursor is a place in one server's own hash table.
            warn!(
                "the {} was restarted or replaced: its keys are scanned again from the start",
                self.link.endpoint().side
            );
            walk.parts.restart();
            if let Some(track) = &self.common.track {
                walk.number = track.restart(walk.number, now.as_deref(), &self.own);
            }
            self.run_id = now;
        }
        walk.parts.lost();
        self.ask_again(walk);
        Ok(())
    }

    /// Deals a page of this scan, which goes on from that cursor, to the lanes: how long they had no room. `None`: nobody takes
    /// keys any more.
    async fn deal(&mut self, names: Vec<Bytes>, (scan, next): (u64, &[u8])) -> Option<Duration> {
        let Common {
            context,
            sieve,
            rename,
            only,
            ..
        } = &self.common;
        let mut keys = Vec::with_capacity(names.len());
        for name in names {
            if !sieve.filter.wants(&name) {
                continue;
            }
            if let Some(slots) = &self.slots
                && !slots.contains(slot(&name))
            {
                continue;
            }
            let key = Key::at_source(name, rename);
            if let Some(only) = only
                && !only.may_hold(&key.name, key.road)
            {
                continue;
            }
            keys.push(match &context.follow {
                Some(follow) if self.common.repeated => Key {
                    mark: Mark::new(Cause::Event, follow.changed.now()),
                    ..key
                },
                _ => key,
            });
        }
        let taken = keys.len() as u64;
        if let Some(track) = &self.common.track {
            let mark = track.page(scan, next, taken);
            for key in &mut keys {
                key.mark = mark;
            }
        }
        if self.common.purpose == Purpose::Replicate {
            context.stats.scanned(taken);
            if let Some(follow) = &context.follow {
                follow.flight.took(keys.iter().map(|key| key.mark));
            }
        }
        self.pace(taken).await;
        let since = std::time::Instant::now();
        let taken = self.common.inlets.send(keys).await;
        self.waited(Wait::ScanForRoom, since);
        taken.then(|| since.elapsed())
    }

    fn waited(&self, wait: Wait, since: std::time::Instant) {
        if self.common.purpose == Purpose::Replicate {
            self.common.context.stats.waited(wait, since);
        }
    }

    /// `--rate`: waits until so many keys are paid for, by the scans of all nodes together.
    async fn pace(&self, keys: u64) {
        let Some(rate) = self.common.context.flow.rate else {
            return;
        };
        let until = {
            let mut paid = self.common.paid_until.lock().await;
            let now = Instant::now();
            let from = paid.filter(|until| *until > now).unwrap_or(now);
            *paid = Some(from + Duration::from_secs_f64(keys as f64 / rate.get() as f64));
            from
        };
        tokio::time::sleep_until(until).await;
    }
}
