//! As little of the protocol as a copier needs: one buffer to read from, one to write to, no allocation for a value.

use std::io::{IoSlice, Read as _, Write as _};
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};

use crate::road::Road;

/// Values from this size on go from the buffer they were read into to the socket with no copy between.
const BIG: usize = 16 << 10;

/// What stands at a place in a buffer.
pub(crate) enum Found<T> {
    /// It has not come whole yet.
    Partial,
    /// It is there, and ends before this place.
    Whole(T, usize),
}

/// `$3`, `*2`, `:-1`, `+OK`, `-ERR …`: the kind, and the number where there is one.
pub(crate) fn header(bytes: &[u8], at: usize) -> Result<Found<(u8, i64)>> {
    let Some(&kind) = bytes.get(at) else {
        return Ok(Found::Partial);
    };
    let mut number = 0_i64;
    let mut negative = false;
    let numeric = matches!(kind, b'$' | b'*' | b':');
    let mut place = at + 1;
    while let Some(&byte) = bytes.get(place) {
        match byte {
            b'\r' => {
                if bytes.len() < place + 2 {
                    return Ok(Found::Partial);
                }
                if kind == b'-' {
                    bail!("{}", String::from_utf8_lossy(&bytes[at..place]));
                }
                let number = if negative { -number } else { number };
                return Ok(Found::Whole((kind, number), place + 2));
            }
            b'-' if numeric => negative = true,
            digit if numeric => number = number * 10 + i64::from(digit.wrapping_sub(b'0')),
            _ => {}
        }
        place += 1;
    }
    Ok(Found::Partial)
}

/// A bulk string with its header and its end, as it can be sent on; `None` is nil.
pub(crate) fn bulk(bytes: &[u8], at: usize) -> Result<Found<Option<Range<usize>>>> {
    match header(bytes, at)? {
        Found::Partial => Ok(Found::Partial),
        Found::Whole((b'$', -1), next) => Ok(Found::Whole(None, next)),
        Found::Whole((b'$', length), next) => {
            let end = next + usize::try_from(length)? + 2;
            if bytes.len() < end {
                Ok(Found::Partial)
            } else {
                Ok(Found::Whole(Some(at..end), end))
            }
        }
        Found::Whole((kind, _), _) => bail!("a bulk string was expected, {} came", kind as char),
    }
}

/// Appends `number` in decimal.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut place = digits.len();
    let mut rest = number;
    loop {
        place -= 1;
        digits[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[place..]);
}

/// Appends `*parts`.
pub(crate) fn push_array(out: &mut Vec<u8>, parts: usize) {
    out.push(b'*');
    push_number(out, parts as u64);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
pub(crate) fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    push_number(out, bytes.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number as a bulk string.
pub(crate) fn push_bulk_number(out: &mut Vec<u8>, number: u64) {
    out.push(b'$');
    push_number(out, u64::from(number.checked_ilog10().unwrap_or(0)) + 1);
    out.extend_from_slice(b"\r\n");
    push_number(out, number);
    out.extend_from_slice(b"\r\n");
}

/// The reading end of a connection.
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// A buffer of `size` bytes, which grows when a reply is longer.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            buffer: vec![0; size],
            start: 0,
            end: 0,
        }
    }

    /// What was read and not consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Lets go of the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Waits for more.
    pub(crate) fn read(&mut self, stream: &mut Road) -> Result<()> {
        if self.buffer.len() - self.end < self.buffer.len() / 4 {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let count = stream.read(&mut self.buffer[self.end..])?;
        ensure!(count > 0, "the server closed the connection");
        self.end += count;
        Ok(())
    }
}

/// A piece of what goes out: of the commands' own bytes, or of the buffer that replies were read into.
enum Piece {
    Own(Range<usize>),
    Value(Range<usize>),
}

/// The writing end of a connection whose replies are only counted.
pub(crate) struct Outgoing {
    stream: Road,
    own: Vec<u8>,
    /// Where in `own` the last piece ended.
    cut: usize,
    pieces: Vec<Piece>,
    replies: Incoming,
    outstanding: usize,
    most_outstanding: usize,
}

impl Outgoing {
    /// Writes to `stream`; at most `most_outstanding` replies are waited for.
    pub(crate) fn new(stream: Road, most_outstanding: usize) -> Self {
        Self {
            stream,
            own: Vec::with_capacity(256 << 10),
            cut: 0,
            pieces: Vec::new(),
            replies: Incoming::new(16 << 10),
            outstanding: 0,
            most_outstanding,
        }
    }

    /// Where a command is encoded.
    pub(crate) fn commands(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Bytes not sent yet, the large values aside.
    pub(crate) fn waiting(&self) -> usize {
        self.own.len()
    }

    /// Appends a part of `source`, which must be the same at the next `send`.
    pub(crate) fn push_value(&mut self, source: &[u8], range: Range<usize>) {
        if range.len() < BIG {
            self.own.extend_from_slice(&source[range]);
        } else {
            self.pieces.push(Piece::Own(self.cut..self.own.len()));
            self.pieces.push(Piece::Value(range));
            self.cut = self.own.len();
        }
    }

    /// `count` more replies will come.
    pub(crate) fn expect(&mut self, count: usize) {
        self.outstanding += count;
    }

    /// Sends what was encoded; waits for replies where too many are outstanding.
    pub(crate) fn send(&mut self, source: &[u8]) -> Result<()> {
        if self.pieces.is_empty() {
            self.stream.write_all(&self.own)?;
        } else {
            self.pieces.push(Piece::Own(self.cut..self.own.len()));
            let mut slices: Vec<IoSlice<'_>> = self
                .pieces
                .drain(..)
                .map(|piece| match piece {
                    Piece::Own(range) => IoSlice::new(&self.own[range]),
                    Piece::Value(range) => IoSlice::new(&source[range]),
                })
                .collect();
            let mut left = slices.as_mut_slice();
            while !left.is_empty() {
                let count = self.stream.write_vectored(left)?;
                ensure!(count > 0, "the server takes nothing more");
                IoSlice::advance_slices(&mut left, count);
            }
        }
        self.stream.flush()?;
        self.own.clear();
        self.cut = 0;
        if self.outstanding > self.most_outstanding {
            self.settle(self.most_outstanding / 2)?;
        }
        Ok(())
    }

    /// Waits until at most `outstanding` replies are missing.
    pub(crate) fn settle(&mut self, outstanding: usize) -> Result<()> {
        while self.outstanding > outstanding {
            self.replies.read(&mut self.stream)?;
            let mut at = 0;
            loop {
                let bytes = self.replies.bytes();
                let next = match bytes.get(at) {
                    Some(b'$') => match bulk(bytes, at)? {
                        Found::Whole(_, next) => next,
                        Found::Partial => break,
                    },
                    _ => match header(bytes, at)? {
                        Found::Whole(_, next) => next,
                        Found::Partial => break,
                    },
                };
                at = next;
                self.outstanding = self
                    .outstanding
                    .checked_sub(1)
                    .context("a reply came that nothing had asked for")?;
            }
            self.replies.consume(at);
        }
        Ok(())
    }
}
