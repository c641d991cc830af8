//! One large string: read by GETRANGE, written as one SET whose bytes follow as they come.
//!
//! Its length stands in the command's header. What ends SET is held back until the source has said that the string is
//! still the same: a string that has changed, or a source that is lost, costs the target's connection, and nothing is written.

use std::collections::VecDeque;

use tokio::time::timeout;

use super::large::{Copying, Ended};
use super::{Copied, Fate, NO_EXPIRY, fate, refused, same_instant};
use crate::config::Side;
use crate::error::Lost;
use crate::stats::Kind;
use crate::types::End;
use crate::types::ask::collect_all;
use crate::wire::{Connection, Reply, Token};

/// Bytes that are asked for at once.
const PIECE: usize = 512 * 1024;
/// Pieces that are asked for ahead.
const AHEAD: usize = 4;

/// A command that is half sent.
struct Half {
    /// Answers that came before the command was whole.
    answered: usize,
    at: usize,
    asked: usize,
    len: usize,
    pieces: VecDeque<usize>,
    step: usize,
}

/// Copies a string.
pub(super) async fn copy(copying: &mut Copying<'_>) -> Result<Ended, (Side, Lost)> {
    let first = match copying.look(Some(b"STRLEN"), false).await? {
        Ok(first) => first,
        Err(end) => return Ok(fate(end).into()),
    };
    let Some(len) = first.length else {
        return Ok(Fate::Changed.into());
    };
    let has_expiry = first.expiry > NO_EXPIRY && copying.terms.keep_expiry;
    let pxat = copying.terms.target_since_62;
    let name = copying.order.target.clone();
    let out = copying.pair.target.outgoing();
    if has_expiry && !pxat {
        out.words(&[b"MULTI"]);
    }
    out.command(if has_expiry && pxat { 5 } else { 3 });
    out.word(b"SET");
    out.word(&name);
    out.begin_value(len);
    let mut half = Half {
        answered: 0,
        at: 0,
        asked: 0,
        len,
        pieces: VecDeque::new(),
        step: copying.means.chunk.min(PIECE),
    };
    if let Some(ended) = half.send(copying).await? {
        return Ok(ended);
    }
    let last = match copying.look(Some(b"STRLEN"), true).await? {
        Ok(last) => last,
        Err(end) => return Ok(spoilt(fate(end))),
    };
    let same = last.length == Some(len)
        && (last.expiry > NO_EXPIRY) == (first.expiry > NO_EXPIRY)
        && (copying.terms.follows || same_instant(copying.terms, first.expiry, last.expiry));
    let (expiry, passed) = copying.terms.expiry(last.expiry, copying.moment);
    if !same {
        return Ok(spoilt(Fate::Changed));
    }
    if passed {
        return Ok(spoilt(Fate::Gone));
    }
    let out = copying.pair.target.outgoing();
    out.end_value();
    let mut answers = 1;
    if let Some(expiry) = expiry.filter(|_| has_expiry) {
        if pxat {
            out.word(b"PXAT");
            out.number(expiry);
        } else {
            out.words(&[b"PEXPIREAT", &name, expiry.to_string().as_bytes()]);
            out.words(&[b"EXEC"]);
            // MULTI's, two of queueing, EXEC's.
            answers = 4;
        }
    }
    let (replicas, _) = copying.terms.wait;
    if replicas > 0 {
        out.wait(copying.terms.wait);
    }
    let answers = answers + usize::from(replicas > 0) - half.answered;
    let mut replies = collect_all(copying.pair.target, answers)
        .await
        .map_err(|lost| (Side::Target, lost))?;
    let waited = if replicas > 0 { replies.pop() } else { None };
    let error = replies.iter().find_map(|reply| match reply {
        Reply::Error(error) => Some(error.as_str()),
        Reply::Array(inner) => super::first_error(inner, |_| false).map(String::as_str),
        Reply::Nil | Reply::Integer(_) | Reply::Bytes(_) => None,
    });
    if let Some(error) = error {
        return Ok(refused(b"string", error).into());
    }
    let copied = Copied {
        bytes: (len + name.len()) as u64,
        kind: Kind::String,
        ..Copied::default()
    };
    let mut ended = [(0, Fate::Copied(copied))];
    if let Some(waited) = waited {
        copying.terms.hold_to_replicas(&waited, &mut ended);
    }
    let [(_, fate)] = ended;
    Ok(fate.into())
}

fn spoilt(fate: Fate) -> Ended {
    Ended { fate, spoilt: true }
}

impl Half {
    /// Passes the string's bytes on. `Some`: it ends early, with half a command sent.
    async fn send(&mut self, copying: &mut Copying<'_>) -> Result<Option<Ended>, (Side, Lost)> {
        let key = copying.order.source.clone();
        let (source, target) = (&mut *copying.pair.source, &mut *copying.pair.target);
        while self.at < self.len {
            if let Some(ended) = self.take(source, target)? {
                return Ok(Some(ended));
            }
            while self.pieces.len() < AHEAD
                && self.asked < self.len
                && target.outgoing().waiting() < AHEAD * self.step
            {
                let last = (self.asked + self.step).min(self.len) - 1;
                source.outgoing().words(&[
                    b"GETRANGE",
                    &key,
                    self.asked.to_string().as_bytes(),
                    last.to_string().as_bytes(),
                ]);
                self.pieces.push_back(last + 1 - self.asked);
                self.asked = last + 1;
            }
            if let Some(ended) = self.early(target)? {
                return Ok(Some(ended));
            }
            if self.at < self.len {
                self.wait(source, target).await?;
            }
        }
        Ok(None)
    }

    /// Passes on the pieces that have come.
    fn take(
        &mut self,
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<Option<Ended>, (Side, Lost)> {
        let at_source = |lost| (Side::Source, lost);
        while let Some(wanted) = self.pieces.front().copied() {
            let Some(token) = source.token().map_err(at_source)? else {
                break;
            };
            let span = match token {
                Token::Bulk(span) => span,
                Token::Error(span) => {
                    // What is still to come is not waited for.
                    let error = String::from_utf8_lossy(source.bytes(span)).into_owned();
                    return Ok(Some(spoilt(fate(End::of_error(Side::Source, error)))));
                }
                other => {
                    let what = format!("unexpected {other:?}");
                    return Err(at_source(Lost::Protocol(what)));
                }
            };
            if span.len != wanted {
                return Ok(Some(spoilt(Fate::Changed)));
            }
            let piece = span.slice(&source.release());
            target.outgoing().raw(piece);
            self.at += wanted;
            self.pieces.pop_front();
        }
        Ok(None)
    }

    async fn wait(
        &self,
        source: &mut Connection,
        target: &mut Connection,
    ) -> Result<(), (Side, Lost)> {
        let reads = !self.pieces.is_empty();
        let writes = target.outgoing().waiting() > 0;
        let limit = source.limit().max(target.limit());
        let moved = async {
            tokio::select! {
                read = source.drive(), if reads => read.map_err(|lost| (Side::Source, lost)),
                sent = target.drive(), if writes => sent.map_err(|lost| (Side::Target, lost)),
            }
        };
        let Ok(moved) = timeout(limit, moved).await else {
            let side = if writes { Side::Target } else { Side::Source };
            return Err((side, Lost::Timeout(limit)));
        };
        moved
    }

    /// An error before the command is whole is a refusal.
    fn early(&mut self, target: &mut Connection) -> Result<Option<Ended>, (Side, Lost)> {
        let token = target.token().map_err(|lost| (Side::Target, lost))?;
        Ok(match token {
            Some(Token::Error(span)) => {
                let error = String::from_utf8_lossy(target.bytes(span)).into_owned();
                Some(spoilt(refused(b"string", &error)))
            }
            // MULTI's.
            Some(_) => {
                target.release();
                self.answered += 1;
                None
            }
            None => None,
        })
    }
}
