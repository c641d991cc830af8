//! Replies on their way in: one token at a time out of the read buffer, values as ranges of it.
//!
//! What the bulk is made of (values, numbers, the headers of arrays) is read here, in place: a long reply is taken as it
//! comes, where decoding it whole would begin again with every piece that arrives, and a token takes a fifth of the time.
//! All else is decoded by the `redis-protocol` crate.

use bytes::buf::Limit;
use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp2;
use redis_protocol::resp3;

use super::chunks::{CHUNK, Chunks};
use crate::error::Lost;

/// Where a word lies in what was received and not yet released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
}

impl Span {
    fn of(base: usize, range: (usize, usize)) -> Self {
        Self {
            start: base + range.0,
            len: range.1 - range.0,
        }
    }

    /// The word in the buffer that was released.
    #[must_use]
    pub fn slice(self, released: &Bytes) -> Bytes {
        released.slice(self.start..self.start + self.len)
    }
}

/// One piece of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// This many elements follow (a map of n counts 2n).
    Array(usize),
    /// A value.
    Bulk(Span),
    /// A status such as `OK`.
    Simple(Span),
    /// An error, without its `-`.
    Error(Span),
    /// A number.
    Integer(i64),
    /// No value.
    Nil,
}

/// The read buffer of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: BytesMut,
    /// The buffer is one that may be used again.
    pooled: bool,
    chunks: Chunks,
    position: usize,
    /// Bytes of the last value, with its header, where it was a long one.
    stride: usize,
    resp3: bool,
}

/// With less room than this, a read would be too small to be worth its system call.
const ROOM: usize = 16 * 1024;
/// What is read beyond the end of a long value: what stands between two, and the length of the next one.
const BEYOND: usize = 1024;

impl Incoming {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            pooled: false,
            chunks: Chunks::default(),
            position: 0,
            stride: 0,
            resp3: false,
        }
    }

    pub(crate) fn speak_resp3(&mut self) {
        self.resp3 = true;
    }

    pub(crate) fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// The next token, or `None` until more has come.
    pub(crate) fn token(&mut self) -> Result<Option<Token>, Lost> {
        let Some(rest) = self.buffer.get(self.position..) else {
            return Ok(None);
        };
        let Some(kind) = rest.first() else {
            return Ok(None);
        };
        match kind {
            b'$' => self.value(),
            b':' => Ok(self.integer()?.map(Token::Integer)),
            b'*' | b'~' | b'>' => self.header(1),
            b'%' => self.header(2),
            b'+' => Ok(self.line()),
            // A RESP3 double as its text: what a score is compared by is decided elsewhere.
            b',' if self.resp3 => Ok(self.line()),
            _ if self.resp3 => self.leaf3(),
            _ => self.leaf2(),
        }
    }

    /// Takes up to `most` replies that are all `same`, most of what a MULTI answers, and counts them.
    pub(crate) fn skip(&mut self, same: &[u8], most: usize) -> usize {
        let rest = self.buffer.get(self.position..).unwrap_or_default();
        let count = rest
            .chunks_exact(same.len())
            .take(most)
            .take_while(|chunk| *chunk == same)
            .count();
        self.position += count * same.len();
        count
    }

    /// The next token, if it is a value that has come whole: what most of a batch's answer is made of.
    pub(crate) fn bulk(&mut self) -> Result<Option<Span>, Lost> {
        match self.buffer.get(self.position..) {
            Some([b'$', b'0'..=b'9', ..]) => {}
            _ => return Ok(None),
        }
        match self.value()? {
            Some(Token::Bulk(span)) => Ok(Some(span)),
            _ => Ok(None),
        }
    }

    /// The next token, if it is a number.
    pub(crate) fn integer(&mut self) -> Result<Option<i64>, Lost> {
        if self.buffer.get(self.position) != Some(&b':') {
            return Ok(None);
        }
        let number = self.prefix()?;
        Ok(number.map(|(number, bytes)| {
            self.position += bytes;
            number
        }))
    }

    fn header(&mut self, each: usize) -> Result<Option<Token>, Lost> {
        let Some((length, bytes)) = self.prefix()? else {
            return Ok(None);
        };
        self.position += bytes;
        Ok(Some(match usize::try_from(length) {
            Ok(count) => Token::Array(count.saturating_mul(each)),
            Err(_) => Token::Nil,
        }))
    }

    fn value(&mut self) -> Result<Option<Token>, Lost> {
        let Some((length, header)) = self.prefix()? else {
            return Ok(None);
        };
        let Ok(len) = usize::try_from(length) else {
            self.position += header;
            return Ok(Some(Token::Nil));
        };
        let start = self.position + header;
        let end = start.saturating_add(len);
        match self.buffer.get(end..end.saturating_add(2)) {
            Some(b"\r\n") => {
                let whole = header + len + 2;
                self.stride = if len < ROOM { 0 } else { whole };
                self.position = end + 2;
                Ok(Some(Token::Bulk(Span { start, len })))
            }
            Some(other) => Err(garbage(other)),
            None => Ok(None),
        }
    }

    /// The number behind the kind, and the bytes up to the end of its line. Most numbers have up to three digits.
    fn prefix(&self) -> Result<Option<(i64, usize)>, Lost> {
        let rest = self.buffer.get(self.position..).unwrap_or_default();
        let digit = |byte: &u8| i64::from(byte.wrapping_sub(b'0'));
        match rest {
            [_, one, b'\r', b'\n', ..] if one.is_ascii_digit() => Ok(Some((digit(one), 4))),
            [_, ten, one, b'\r', b'\n', ..] if ten.is_ascii_digit() && one.is_ascii_digit() => {
                Ok(Some((digit(ten) * 10 + digit(one), 5)))
            }
            [_, hundred, ten, one, b'\r', b'\n', ..]
                if [hundred, ten, one].into_iter().all(u8::is_ascii_digit) =>
            {
                let number = digit(hundred) * 100 + digit(ten) * 10 + digit(one);
                Ok(Some((number, 6)))
            }
            _ => Self::number(rest),
        }
    }

    /// [`Incoming::prefix`] of any number.
    fn number(rest: &[u8]) -> Result<Option<(i64, usize)>, Lost> {
        let mut number: i64 = 0;
        let mut negative = false;
        for (place, byte) in rest.iter().enumerate().skip(1) {
            match byte {
                b'0'..=b'9' => {
                    number = number
                        .checked_mul(10)
                        .and_then(|tens| tens.checked_add(i64::from(byte - b'0')))
                        .ok_or_else(|| garbage(rest))?;
                }
                b'-' if place == 1 => negative = true,
                b'\r' => {
                    return match rest.get(place + 1) {
                        Some(b'\n') => {
                            Ok(Some((if negative { -number } else { number }, place + 2)))
                        }
                        Some(_) => Err(garbage(rest)),
                        None => Ok(None),
                    };
                }
                _ => return Err(garbage(rest)),
            }
        }
        Ok(None)
    }

    /// What one line says.
    fn line(&mut self) -> Option<Token> {
        let start = self.position + 1;
        let rest = self.buffer.get(start..)?;
        let len = rest.windows(2).position(|end| end == b"\r\n")?;
        self.position = start + len + 2;
        Some(Token::Simple(Span { start, len }))
    }

    fn leaf2(&mut self) -> Result<Option<Token>, Lost> {
        use resp2::types::RangeFrame;
        let base = self.position;
        let rest = self.buffer.get(base..).unwrap_or_default();
        let decoded = resp2::decode::decode_range(rest).map_err(|_| garbage(rest))?;
        let Some((frame, bytes)) = decoded else {
            return Ok(None);
        };
        self.position += bytes;
        Ok(Some(match frame {
            RangeFrame::BulkString(range) => Token::Bulk(Span::of(base, range)),
            RangeFrame::SimpleString(range) => Token::Simple(Span::of(base, range)),
            RangeFrame::Error(range) => Token::Error(Span::of(base, range)),
            RangeFrame::Integer(number) => Token::Integer(number),
            RangeFrame::Null | RangeFrame::Array(_) => Token::Nil,
        }))
    }

    fn leaf3(&mut self) -> Result<Option<Token>, Lost> {
        use resp3::types::RangeFrame;
        let base = self.position;
        let rest = self.buffer.get(base..).unwrap_or_default();
        let decoded = resp3::decode::complete::decode_range(rest).map_err(|_| garbage(rest))?;
        let Some((frame, bytes)) = decoded else {
            return Ok(None);
        };
        self.position += bytes;
        Ok(Some(match frame {
            RangeFrame::BlobString { data, .. } | RangeFrame::VerbatimString { data, .. } => {
                Token::Bulk(Span::of(base, data))
            }
            RangeFrame::SimpleString { data, .. } | RangeFrame::BigNumber { data, .. } => {
                Token::Simple(Span::of(base, data))
            }
            RangeFrame::SimpleError { data, .. } | RangeFrame::BlobError { data, .. } => {
                Token::Error(Span::of(base, data))
            }
            RangeFrame::Number { data, .. } => Token::Integer(data),
            RangeFrame::Boolean { data, .. } => Token::Integer(i64::from(data)),
            RangeFrame::Null => Token::Nil,
            other => {
                return Err(Lost::Protocol(format!(
                    "unexpected {:?} frame",
                    other.kind()
                )));
            }
        }))
    }

    /// Length of the value that has begun to arrive and is not whole yet.
    pub(crate) fn partial(&self) -> Option<usize> {
        let rest = self.buffer.get(self.position..)?;
        if rest.first() != Some(&b'$') {
            return None;
        }
        let (length, header) = self.prefix().ok()??;
        let length = usize::try_from(length).ok()?;
        (rest.len() < header + length + 2).then_some(length)
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.buffer
            .get(span.start..span.start + span.len)
            .unwrap_or_default()
    }

    /// Everything that tokens were taken of: spans are ranges of it. Spans given before are void after this.
    pub(crate) fn release(&mut self) -> Bytes {
        let taken = self.buffer.split_to(self.position).freeze();
        self.position = 0;
        if taken.len() > CHUNK {
            // What is left would keep the whole of a long value's memory after the value is gone.
            self.move_to(0);
        }
        taken
    }

    /// Whether the buffer is nearly full: what is released now need not be moved to another.
    pub(crate) fn is_crowded(&self) -> bool {
        self.buffer.capacity() - self.buffer.len() < ROOM
    }

    /// The buffer with room for the next read, for the whole of a value that has begun. Of long values the read ends soon
    /// after the value does, or one as long as the last would: the beginning of the next one would have to be moved to another buffer.
    pub(crate) fn room(&mut self) -> Limit<&mut BytesMut> {
        let partial = self.partial();
        let whole = partial.map_or(0, |length| self.position + length + 32);
        let fits = whole <= self.buffer.capacity();
        // The end of a long value is not worth moving its beginning.
        let ends_here = fits && partial.is_some_and(|length| length >= ROOM);
        // One that is likely to come next, and as long as the last, has a buffer for itself.
        let begins = partial.is_none() && self.stride > self.buffer.capacity() - self.position;
        if !fits || begins || (self.is_crowded() && !ends_here) {
            self.move_to(whole.max(self.buffer.len() + ROOM.max(self.stride)));
        }
        let held = self.buffer.len() - self.position;
        let limit = match partial {
            Some(length) if length >= ROOM => self.end_of(length).saturating_sub(held) + BEYOND,
            _ if self.stride > 0 => self.stride.saturating_sub(held) + BEYOND,
            _ => usize::MAX,
        };
        (&mut self.buffer).limit(limit)
    }

    /// Bytes of the value of this length that has begun to arrive, with its header and its end.
    fn end_of(&self, length: usize) -> usize {
        let header = self.prefix().ok().flatten().map_or(0, |(_, bytes)| bytes);
        header + length + 2
    }

    /// Moves what is not released to a buffer of at least `bytes`.
    fn move_to(&mut self, bytes: usize) {
        let mut fresh = self.chunks.take(bytes.max(self.buffer.len()));
        fresh.extend_from_slice(&self.buffer);
        let pooled = fresh.capacity() <= CHUNK;
        let used = std::mem::replace(&mut self.buffer, fresh);
        if std::mem::replace(&mut self.pooled, pooled) {
            self.chunks.retire(used);
        }
    }
}

fn garbage(bytes: &[u8]) -> Lost {
    let shown = bytes.get(..bytes.len().min(24)).unwrap_or_default();
    Lost::Protocol(shown.escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(input: &[u8], step: usize, resp3: bool) -> Vec<String> {
        let mut incoming = Incoming::new();
        if resp3 {
            incoming.speak_resp3();
        }
        let mut seen = Vec::new();
        for piece in input.chunks(step) {
            incoming.buffer.extend_from_slice(piece);
            loop {
                while let Some(span) = incoming.bulk().expect("valid") {
                    seen.push(format!("bulk {}", incoming.bytes(span).escape_ascii()));
                }
                let Some(token) = incoming.token().expect("valid") else {
                    break;
                };
                seen.push(match token {
                    Token::Bulk(span) => format!("bulk {}", incoming.bytes(span).escape_ascii()),
                    Token::Simple(span) => {
                        format!("simple {}", incoming.bytes(span).escape_ascii())
                    }
                    Token::Error(span) => format!("error {}", incoming.bytes(span).escape_ascii()),
                    other => format!("{other:?}"),
                });
            }
            incoming.release();
        }
        seen
    }

    const REPLY: &[u8] =
        b"+OK\r\n+QUEUED\r\n*3\r\n:-1\r\n$3\r\na\r\n\r\n$-1\r\n-ERR no\r\n*-1\r\n*0\r\n";

    #[test]
    fn a_reply_is_the_same_tokens_however_it_arrives() {
        let whole = tokens(REPLY, REPLY.len(), false);
        assert_eq!(
            whole,
            [
                "simple OK",
                "simple QUEUED",
                "Array(3)",
                "Integer(-1)",
                "bulk a\\r\\n",
                "Nil",
                "error ERR no",
                "Nil",
                "Array(0)"
            ]
        );
        for step in 1..REPLY.len() {
            assert_eq!(tokens(REPLY, step, false), whole, "in steps of {step}");
        }
    }

    #[test]
    fn resp3_has_its_own_nil_and_maps() {
        assert_eq!(
            tokens(
                b"%1\r\n+proto\r\n:3\r\n_\r\n=7\r\ntxt:abc\r\n#t\r\n",
                1,
                true
            ),
            [
                "Array(2)",
                "simple proto",
                "Integer(3)",
                "Nil",
                "bulk abc",
                "Integer(1)"
            ]
        );
    }

    #[test]
    fn resp3_doubles_are_their_text() {
        let whole = b"*3\r\n,3.0000000000000004\r\n,-inf\r\n,10\r\n";
        for step in [1, 2, 5, whole.len()] {
            assert_eq!(
                tokens(whole, step, true),
                [
                    "Array(3)",
                    "simple 3.0000000000000004",
                    "simple -inf",
                    "simple 10"
                ]
            );
        }
    }

    #[test]
    fn what_is_not_resp_is_an_error() {
        let mut incoming = Incoming::new();
        incoming
            .buffer
            .extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n");
        assert!(incoming.token().is_err());
    }

    proptest! {
        #[test]
        fn any_value_comes_back_in_any_pieces(value in proptest::collection::vec(any::<u8>(), 0..300), step in 1usize..64) {
            let mut input = format!("${}\r\n", value.len()).into_bytes();
            input.extend_from_slice(&value);
            input.extend_from_slice(b"\r\n");
            prop_assert_eq!(tokens(&input, step, false), vec![format!("bulk {}", value.escape_ascii())]);
        }

        #[test]
        fn garbage_never_panics(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            for resp3 in [false, true] {
                let mut incoming = Incoming::new();
                if resp3 { incoming.speak_resp3(); }
                incoming.buffer.extend_from_slice(&input);
                while let Ok(Some(_)) = incoming.token() {}
            }
        }
    }
}
