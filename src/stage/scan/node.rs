//! The scan of one node: page by page, from a cursor that a lost connection does not lose.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::pages::Pages;
use super::{Ended, Purpose, Sieve};
use crate::changed::Overflow;
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
    /// The slots that it is to have seen whole.
    pub(super) own: SlotSet,
    /// The slots whose keys are taken, where not all are.
    pub(super) slots: Option<SlotSet>,
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
        let mut pages = Pages::new(self.common.sieve.count, connection.round_trip());
        let ended = self.scan(connection, cursor, scan, &mut pages).await?;
        Ok((ended, rest))
    }

    /// Where the scan begins.
    fn start(&self) -> Start {
        match &self.common.track {
            Some(track) => track.start(self.run_id.as_deref(), &self.own),
            None => Start::default(),
        }
    }

    async fn scan(
        &mut self,
        mut connection: Connection,
        mut cursor: Vec<u8>,
        mut number: u64,
        pages: &mut Pages,
    ) -> Result<Ended, RunError> {
        self.ask(&mut connection, &cursor, *pages);
        loop {
            if self.common.halt.is_draining() {
                return Ok(Ended::Early);
            }
            let stop = self.common.halt.clone();
            let link = self.link.clone();
            let since = std::time::Instant::now();
            let page = tokio::select! {
                page = self.page(&mut connection) => page,
                () = stop.draining() => return Ok(Ended::Early),
                // It may hang.
                left = link.until_left() => return Err(left),
            };
            let for_source = since.elapsed();
            self.waited(Wait::ScanForSource, since);
            match page {
                Ok(page) => {
                    cursor = page.cursor;
                    let last = cursor == b"0";
                    let (scan, next) = (number, cursor.clone());
                    if !last {
                        // The next page is on its way while this one is dealt.
                        self.ask(&mut connection, &cursor, *pages);
                        if let Err(lost) = connection.send_some().await {
                            self.again(&mut connection, (&mut cursor, &mut number), *pages, &lost)
                                .await?;
                        }
                    }
                    let bytes = page.keys.iter().map(Bytes::len).sum();
                    let Some(for_room) = self.deal(page.keys, (scan, &next)).await else {
                        return Ok(Ended::Early);
                    };
                    pages.took(bytes, for_source, for_room);
                    if last {
                        return Ok(Ended::Complete);
                    }
                }
                Err(Missed::Lost(lost)) => {
                    self.again(&mut connection, (&mut cursor, &mut number), *pages, &lost)
                        .await?;
                }
                Err(Missed::Refused(error)) => match classify(error.as_bytes()) {
                    Class::Transient => {
                        let side = self.link.endpoint().side;
                        self.common.context.stats.erred(side, Class::Transient);
                        let lost = Lost::Io(std::io::Error::other(error));
                        self.again(&mut connection, (&mut cursor, &mut number), *pages, &lost)
                            .await?;
                    }
                    _ => return Err(self.link.unusable(&format!("SCAN: {error}"))),
                },
            }
        }
    }

    fn ask(&self, connection: &mut Connection, cursor: &[u8], pages: Pages) {
        let mut digits = itoa::Buffer::new();
        let mut words: Vec<&[u8]> = vec![b"SCAN", cursor];
        if self.common.sieve.pattern != b"*" {
            words.extend([b"MATCH".as_slice(), &self.common.sieve.pattern]);
        }
        if let Some(kind) = &self.common.sieve.kind {
            words.extend([b"TYPE".as_slice(), kind.as_bytes()]);
        }
        words.extend([
            b"COUNT".as_slice(),
            digits.format(self.count(pages)).as_bytes(),
        ]);
        connection.outgoing().words(&words);
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

    /// Goes on after a lost connection: from the same cursor on the same server, from the start on another.
    async fn again(
        &mut self,
        connection: &mut Connection,
        (cursor, number): (&mut Vec<u8>, &mut u64),
        pages: Pages,
        lost: &Lost,
    ) -> Result<(), RunError> {
        *connection = self.link.reopen(lost).await?;
        self.common.context.stats.retried(1);
        let now = run_id(connection).await;
        if self.run_id.is_none() || now != self.run_id {
            // A cursor is a place in one server's own hash table.
            warn!(
                "the {} was restarted or replaced: its keys are scanned again from the start",
                self.link.endpoint().side
            );
            *cursor = b"0".to_vec();
            if let Some(track) = &self.common.track {
                *number = track.restart(*number, now.as_deref(), &self.own);
            }
            self.run_id = now;
        }
        self.ask(connection, cursor, pages);
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
