//! Takes the source's keys in, page by page, and deals them to the lanes. The only stage that watches the wish to stop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::Context;
use crate::changed::Overflow;
use crate::entry::{Cause, Key, Mark};
use crate::error::{Lost, RunError};
use crate::filter::Filter;
use crate::queue::Sender;
use crate::signal::Stop;
use crate::transform::Rename;
use crate::wire::{Connection, Link, Span, Token, run_id};

/// What SCAN is asked for.
#[derive(Debug, Clone)]
pub struct Sieve {
    /// MATCH; `*` is left out.
    pub pattern: Vec<u8>,
    /// TYPE, where one type is wanted and the server has the option.
    pub kind: Option<String>,
    /// COUNT.
    pub count: u32,
    /// What the server cannot filter.
    pub filter: Filter,
}

/// What becomes of the keys' count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Keys that are taken in are counted as scanned.
    Replicate,
    /// Keys are looked at: counted as compared.
    Compare,
    /// The target's keys are looked for at the source.
    Search,
}

/// The stage.
pub struct ScanStage {
    context: Arc<Context>,
    link: Arc<Link>,
    sieve: Sieve,
    rename: Arc<Rename>,
    purpose: Purpose,
    outputs: Vec<Sender<Vec<Key>>>,
    run_id: Option<String>,
    halt: Stop,
    only: Option<Arc<Overflow>>,
    repeated: bool,
    paid_until: Option<Instant>,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every key was taken in.
    Complete,
    /// The wish to stop, or a failure, came first.
    Early,
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

impl ScanStage {
    /// A scan that deals keys to `outputs` by their names at the target. `run_id` is the server's, where it is known.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        link: Arc<Link>,
        sieve: Sieve,
        rename: Arc<Rename>,
        purpose: Purpose,
        outputs: Vec<Sender<Vec<Key>>>,
        run_id: Option<String>,
    ) -> Self {
        Self {
            halt: context.stop.clone(),
            only: None,
            repeated: false,
            context,
            link,
            sieve,
            rename,
            purpose,
            outputs,
            run_id,
            paid_until: None,
        }
    }

    /// A wish of its own to stop, in place of the run's.
    #[must_use]
    pub fn halted_by(self, halt: Stop) -> Self {
        Self { halt, ..self }
    }

    /// Takes those keys alone that are among these.
    #[must_use]
    pub fn only(self, only: Option<Arc<Overflow>>) -> Self {
        Self { only, ..self }
    }

    /// A scan of what was copied before: a key may have stopped to be wanted, so the types are left to the lanes, which
    /// take it as one that an event has named.
    #[must_use]
    pub fn repeated(mut self, repeated: bool) -> Self {
        self.repeated = repeated
            && self
                .context
                .follow
                .as_ref()
                .is_some_and(|follow| follow.picks);
        if self.repeated {
            self.sieve.kind = None;
        }
        self
    }

    /// Scans until the cursor is 0 again. A source that is lost is told to the context.
    pub async fn run(mut self) -> Ended {
        match self.scan().await {
            Ok(ended) => ended,
            Err(error) => {
                self.context.give_up(error);
                Ended::Early
            }
        }
    }

    async fn scan(&mut self) -> Result<Ended, RunError> {
        let mut connection = self.link.open().await?;
        let mut cursor = b"0".to_vec();
        self.ask(&mut connection, &cursor);
        loop {
            if self.halt.is_draining() {
                return Ok(Ended::Early);
            }
            let stop = self.halt.clone();
            let page = tokio::select! {
                page = self.page(&mut connection) => page,
                () = stop.draining() => return Ok(Ended::Early),
            };
            match page {
                Ok(page) => {
                    cursor = page.cursor;
                    let last = cursor == b"0";
                    if !last {
                        // The next page is on its way while this one is dealt.
                        self.ask(&mut connection, &cursor);
                        if let Err(lost) = connection.send_some().await {
                            self.again(&mut connection, &mut cursor, &lost).await?;
                        }
                    }
                    if !self.deal(page.keys).await {
                        return Ok(Ended::Early);
                    }
                    if last {
                        if self.purpose != Purpose::Search {
                            self.context.stats.scan_ended();
                        }
                        return Ok(Ended::Complete);
                    }
                }
                Err(Missed::Lost(lost)) => self.again(&mut connection, &mut cursor, &lost).await?,
                Err(Missed::Refused(error)) => match crate::error::classify(error.as_bytes()) {
                    crate::error::Class::Transient => {
                        let lost = Lost::Io(std::io::Error::other(error));
                        self.again(&mut connection, &mut cursor, &lost).await?;
                    }
                    _ => return Err(self.link.unusable(&format!("SCAN: {error}"))),
                },
            }
        }
    }

    fn ask(&self, connection: &mut Connection, cursor: &[u8]) {
        let mut digits = itoa::Buffer::new();
        let mut words: Vec<&[u8]> = vec![b"SCAN", cursor];
        if self.sieve.pattern != b"*" {
            words.extend([b"MATCH".as_slice(), &self.sieve.pattern]);
        }
        if let Some(kind) = &self.sieve.kind {
            words.extend([b"TYPE".as_slice(), kind.as_bytes()]);
        }
        words.extend([b"COUNT".as_slice(), digits.format(self.count()).as_bytes()]);
        connection.outgoing().words(&words);
    }

    /// COUNT: under `--rate` a page is a tenth of a second's keys, so that no second sees more than its share.
    fn count(&self) -> u64 {
        let told = u64::from(self.sieve.count);
        let rate = self.context.flow.rate;
        rate.map_or(told, |rate| told.min((rate.get() / 10).max(1)))
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
                Token::Bulk(span) if left.is_some() => {
                    spans.push(span);
                    left = left.map(|left| left.saturating_sub(1));
                }
                Token::Error(span) => {
                    let error = String::from_utf8_lossy(connection.bytes(span)).into_owned();
                    connection.release();
                    return Err(Missed::Refused(error));
                }
                other => return Err(Lost::Protocol(format!("unexpected {other:?} in SCAN")).into()),
            }
            if left == Some(0) {
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
        cursor: &mut Vec<u8>,
        lost: &Lost,
    ) -> Result<(), RunError> {
        *connection = self.link.reopen(lost).await?;
        self.context.stats.retried(1);
        let now = run_id(connection).await;
        if self.run_id.is_none() || now != self.run_id {
            // A cursor is a place in one server's own hash table.
            warn!(
                "the {} was restarted or replaced: its keys are scanned again from the start",
                self.link.endpoint().side
            );
            *cursor = b"0".to_vec();
            self.run_id = now;
        }
        self.ask(connection, cursor);
        Ok(())
    }

    /// Deals a page to the lanes. `false`: nobody takes keys any more.
    async fn deal(&mut self, names: Vec<Bytes>) -> bool {
        let lanes = self.outputs.len();
        let mut hands: Vec<Vec<Key>> = Vec::new();
        hands.resize_with(lanes, || {
            Vec::with_capacity(names.len() / lanes.max(1) + 32)
        });
        let mut taken = 0;
        for name in names {
            if !self.sieve.filter.is_open() && !self.sieve.filter.wants(&name) {
                continue;
            }
            let key = Key::at_source(name, &self.rename);
            if let Some(only) = &self.only
                && !only.may_hold(&key.name, key.road)
            {
                continue;
            }
            taken += 1;
            let key = match &self.context.follow {
                Some(follow) if self.repeated => Key {
                    mark: Mark::new(Cause::Event, follow.changed.now()),
                    ..key
                },
                _ => key,
            };
            if let Some(hand) = hands.get_mut(key.lane(lanes)) {
                hand.push(key);
            }
        }
        if self.purpose == Purpose::Replicate {
            self.context.stats.scanned(taken);
        }
        self.pace(taken).await;
        for (output, hand) in self.outputs.iter().zip(hands) {
            if !hand.is_empty() && output.send(hand).await.is_err() {
                return false;
            }
        }
        true
    }

    /// `--rate`: waits until so many keys are paid for.
    async fn pace(&mut self, keys: u64) {
        let Some(rate) = self.context.flow.rate else {
            return;
        };
        let now = Instant::now();
        let from = self.paid_until.filter(|until| *until > now).unwrap_or(now);
        sleep(from - now).await;
        self.paid_until = Some(from + Duration::from_secs_f64(keys as f64 / rate.get() as f64));
    }
}
