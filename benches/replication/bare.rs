//! The yardstick: a client of one thread with nothing between reading and writing, which never lets a server wait for it.
//!
//! The source always has the next requests queued while it answers, SCAN among them. Nothing is decoded: a key goes into its
//! requests and a value into its write as the bytes that came. A write blocks only where the target is behind by all that the
//! sockets hold, and replies of the target are read long after.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::resp::{
    Found, Incoming, Outgoing, bulk, header, push_array, push_bulk, push_bulk_number,
};
use crate::road::Road;
use crate::way::{Answer, Batch, Way};

/// The key names of strings in the mixed data begin so.
pub(crate) const STRING_PREFIX: &[u8] = b"string:";

/// One run of the bare client; the benchmark starts itself with these words.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Bare {
    /// Where keys come from.
    pub(crate) source: String,
    /// Where keys go.
    pub(crate) target: String,
    /// How.
    #[arg(long, value_enum)]
    pub(crate) way: Way,
    /// Keys in a batch.
    #[arg(long)]
    pub(crate) batch: usize,
    /// Batches asked for and not answered.
    #[arg(long)]
    pub(crate) depth: usize,
    /// COUNT of SCAN.
    #[arg(long)]
    pub(crate) count: usize,
    /// One batch at a time: nothing is sent before the answer to what was sent before.
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Ends after so many batches.
    #[arg(long)]
    pub(crate) most: Option<usize>,
    /// The certificate of the authority that signs for both servers: TLS.
    #[arg(long)]
    pub(crate) cacert: Option<PathBuf>,
}

enum Asked {
    Page,
    Keys(Batch),
}

struct Client {
    options: Bare,
    source: Road,
    requests: Vec<u8>,
    incoming: Incoming,
    asked: VecDeque<Asked>,
    /// Keys seen by SCAN, in batches that are full.
    ready: VecDeque<Batch>,
    /// Batches that are not: one a way.
    filling: Vec<Batch>,
    spare: Vec<Batch>,
    batches_asked: usize,
    page_asked: bool,
    cursor: Option<u64>,
    answer: Answer,
    target: Outgoing,
}

/// Copies all keys.
pub(crate) fn run(options: Bare) -> Result<()> {
    let ways = match options.way {
        Way::Best => vec![Way::Multi, Way::Dump],
        way => vec![way],
    };
    let mut client = Client {
        source: Road::to(&options.source, options.cacert.as_deref())?,
        requests: Vec::with_capacity(256 << 10),
        incoming: Incoming::new(256 << 10),
        asked: VecDeque::new(),
        ready: VecDeque::new(),
        filling: ways.into_iter().map(Batch::new).collect(),
        spare: Vec::new(),
        batches_asked: 0,
        page_asked: false,
        cursor: Some(0),
        answer: Answer::default(),
        target: Outgoing::new(
            Road::to(&options.target, options.cacert.as_deref())?,
            16 * options.batch,
        ),
        options,
    };
    client.copy()
}

impl Client {
    fn copy(&mut self) -> Result<()> {
        let mut copied = 0;
        loop {
            self.ask()?;
            let Some(next) = self.asked.pop_front() else {
                break;
            };
            match next {
                Asked::Page => self.take_page()?,
                Asked::Keys(batch) => {
                    self.take_keys(batch)?;
                    copied += 1;
                    if self.options.most.is_some_and(|most| copied >= most) {
                        break;
                    }
                }
            }
        }
        self.target.settle(0)
    }

    /// Keeps the source busy: the next page first, so that its keys are known before the source has answered the rest.
    fn ask(&mut self) -> Result<()> {
        let deepest = if self.options.lockstep {
            1
        } else {
            self.options.depth
        };
        let idle = !self.options.lockstep || (self.asked.is_empty() && self.ready.is_empty());
        if let Some(cursor) = self.cursor
            && !self.page_asked
            && idle
            && self.ready.len() <= self.options.depth
        {
            push_array(&mut self.requests, 4);
            self.requests.extend_from_slice(b"$4\r\nSCAN\r\n");
            push_bulk_number(&mut self.requests, cursor);
            push_bulk(&mut self.requests, b"COUNT");
            push_bulk_number(&mut self.requests, self.options.count as u64);
            self.asked.push_back(Asked::Page);
            self.page_asked = true;
        }
        while self.batches_asked < deepest {
            let Some(batch) = self.ready.pop_front() else {
                break;
            };
            batch.ask(&mut self.requests);
            self.asked.push_back(Asked::Keys(batch));
            self.batches_asked += 1;
        }
        if !self.requests.is_empty() {
            self.source.write_all(&self.requests)?;
            self.source.flush()?;
            self.requests.clear();
        }
        Ok(())
    }

    fn take_page(&mut self) -> Result<()> {
        self.page_asked = false;
        let mut at = 0;
        let mut next = || -> Result<(u8, i64)> {
            loop {
                match header(self.incoming.bytes(), at)? {
                    Found::Whole(found, end) => {
                        at = end;
                        return Ok(found);
                    }
                    Found::Partial => self.incoming.read(&mut self.source)?,
                }
            }
        };
        next()?;
        let (_, digits) = next()?;
        let digits = usize::try_from(digits)?;
        while self.incoming.bytes().len() < at + digits + 2 {
            self.incoming.read(&mut self.source)?;
        }
        let cursor: u64 = std::str::from_utf8(&self.incoming.bytes()[at..at + digits])?
            .parse()
            .context("the cursor of SCAN")?;
        at += digits + 2;
        let mut keys = loop {
            match header(self.incoming.bytes(), at)? {
                Found::Whole((b'*', keys), end) => {
                    at = end;
                    break keys;
                }
                Found::Whole(..) => bail!("SCAN was answered with no list"),
                Found::Partial => self.incoming.read(&mut self.source)?,
            }
        };
        while keys > 0 {
            match bulk(self.incoming.bytes(), at)? {
                Found::Partial => self.incoming.read(&mut self.source)?,
                Found::Whole(None, _) => bail!("SCAN named nothing"),
                Found::Whole(Some(key), end) => {
                    let kind = usize::from(
                        self.filling.len() > 1 && !is_string(&self.incoming.bytes()[key.clone()]),
                    );
                    let filling = &mut self.filling[kind];
                    filling.push(&self.incoming.bytes()[key]);
                    if filling.len() == self.options.batch {
                        let way = filling.way();
                        let fresh = match self.spare.pop() {
                            Some(spare) => spare.emptied(way),
                            None => Batch::new(way),
                        };
                        self.ready.push_back(std::mem::replace(filling, fresh));
                    }
                    at = end;
                    keys -= 1;
                }
            }
        }
        self.incoming.consume(at);
        self.cursor = (cursor != 0).then_some(cursor);
        if cursor == 0 {
            self.ready
                .extend(self.filling.drain(..).filter(|batch| batch.len() > 0));
        }
        Ok(())
    }

    fn take_keys(&mut self, batch: Batch) -> Result<()> {
        self.answer.clear();
        while !self.answer.take(&batch, self.incoming.bytes())? {
            self.incoming.read(&mut self.source)?;
        }
        // The source gets its next requests before this answer is looked at.
        self.batches_asked -= 1;
        if !self.options.lockstep {
            self.ask()?;
        }
        batch.tell(&self.answer, self.incoming.bytes(), &mut self.target);
        self.target.send(self.incoming.bytes())?;
        self.incoming.consume(self.answer.at);
        self.spare.push(batch);
        if self.options.lockstep {
            self.target.settle(0)?;
        }
        Ok(())
    }
}

/// Whether a key, a bulk string, is a string's in the mixed data.
fn is_string(raw: &[u8]) -> bool {
    raw.iter()
        .position(|byte| *byte == b'\n')
        .is_some_and(|end| raw[end + 1..].starts_with(STRING_PREFIX))
}
