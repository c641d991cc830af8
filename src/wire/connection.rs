//! One connection of the data plane: commands are encoded straight into it, replies are taken out token by token.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::brake::{Brake, PIECE};
use super::incoming::{Incoming, Span, Token};
use super::outgoing::{Outgoing, PIECES};
use super::stream::Stream;
use crate::error::Lost;

/// An open connection, its handshake done.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    incoming: Incoming,
    outgoing: Outgoing,
    unflushed: bool,
    limit: Duration,
    identity: Option<Identity>,
    round_trip: Option<Duration>,
    brake: Option<Hold>,
}

/// What is sent waits for its turn.
#[derive(Debug)]
struct Hold {
    brake: Arc<Brake>,
    alarm: Pin<Box<Sleep>>,
}

impl Hold {
    /// Whether something may be sent now; else the task is woken when it may.
    fn is_open(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(until) = self.brake.closed_until(Instant::now()) {
            self.alarm.as_mut().reset(until);
            if self.alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
        true
    }
}

/// What the server calls a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// CLIENT ID.
    pub id: String,
    /// Its address, as the server sees it.
    pub address: String,
}

impl Identity {
    /// Reads an answer to CLIENT INFO.
    fn of(info: &str) -> Option<Self> {
        let field = |name: &str| {
            info.split_whitespace()
                .find_map(|word| word.strip_prefix(name))
                .map(str::to_owned)
        };
        field("id=")
            .zip(field("addr="))
            .map(|(id, address)| Self { id, address })
    }
}

/// A whole reply, for commands outside the bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A status or a value.
    Bytes(Bytes),
    /// An error, without its `-`.
    Error(String),
    /// Elements; a map's keys and values in turn.
    Array(Vec<Reply>),
}

impl Connection {
    /// Takes an open stream; `limit` is the longest wait for an answer.
    #[must_use]
    pub fn new(stream: Stream, limit: Duration) -> Self {
        Self {
            stream,
            incoming: Incoming::new(),
            outgoing: Outgoing::default(),
            unflushed: false,
            limit,
            identity: None,
            round_trip: None,
            brake: None,
        }
    }

    /// What is sent from now on waits at this brake.
    pub(super) fn brake(&mut self, brake: Arc<Brake>) {
        let alarm = Box::pin(sleep_until(Instant::now()));
        self.brake = Some(Hold { brake, alarm });
    }

    /// What comes from now on is RESP3.
    pub(super) fn speak_resp3(&mut self) {
        self.incoming.speak_resp3();
    }

    /// Whether the server speaks RESP3 on it.
    #[must_use]
    pub fn is_resp3(&self) -> bool {
        self.incoming.is_resp3()
    }

    /// The stream, for another client on the same endpoint. What was read and not taken is lost.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Where commands are encoded. They leave with the next [`Connection::drive`].
    pub fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// The next piece of a reply, or `None` until more has come.
    pub fn token(&mut self) -> Result<Option<Token>, Lost> {
        self.incoming.token()
    }

    /// The next piece of a reply, if it is a value that has come whole.
    pub fn bulk(&mut self) -> Result<Option<Span>, Lost> {
        self.incoming.bulk()
    }

    /// The next piece of a reply, if it is a number.
    pub fn integer(&mut self) -> Result<Option<i64>, Lost> {
        self.incoming.integer()
    }

    /// Takes up to `most` replies that are all `same`, and counts them.
    pub fn skip(&mut self, same: &[u8], most: usize) -> usize {
        self.incoming.skip(same, most)
    }

    /// The bytes of a word that was not released yet.
    #[must_use]
    pub fn bytes(&self, span: Span) -> &[u8] {
        self.incoming.bytes(span)
    }

    /// What all tokens so far were taken of; their spans are ranges of it.
    pub fn release(&mut self) -> Bytes {
        self.incoming.release()
    }

    /// Length of the value that has begun to arrive, if it is not whole yet.
    #[must_use]
    pub fn partial(&self) -> Option<usize> {
        self.incoming.partial()
    }

    /// Whether the read buffer is nearly full: what is released now need not be moved to another.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.incoming.is_crowded()
    }

    /// The longest wait for an answer.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Sends what is encoded and reads what has come, until one of both has moved. Cancel safe.
    pub async fn drive(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_drive(cx)).await
    }

    /// Sends what is encoded as far as the kernel takes it now, and reads nothing.
    pub async fn send_some(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| Poll::Ready(self.poll_send(cx).map(|_| ())))
            .await
            .map_err(Lost::from)
    }

    /// [`Connection::drive`], once.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let sent = self.poll_send(cx);
        let mut room = self.incoming.room();
        let read = pin!(self.stream.read_buf(&mut room)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(sent.err().map_or(Lost::Closed, Lost::Io))),
            // Also where no more can be sent: what the server said last tells why.
            Poll::Ready(Ok(bytes)) => {
                if let Some(hold) = &self.brake {
                    hold.brake.moved(bytes, Instant::now());
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending if sent? => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.outgoing.seal();
        let mut sent = false;
        while !self.outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.outgoing.gather(&mut slices);
            let mut pieces = slices.get(..count).unwrap_or_default();
            let first;
            if let Some(hold) = &mut self.brake {
                if !hold.is_open(cx) {
                    break;
                }
                let piece = pieces.first().map(|piece| &**piece).unwrap_or_default();
                first = [IoSlice::new(piece.get(..PIECE).unwrap_or(piece))];
                pieces = &first;
            }
            match Pin::new(&mut self.stream).poll_write_vectored(cx, pieces) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => {
                    if let Some(hold) = &self.brake {
                        hold.brake.moved(bytes, Instant::now());
                    }
                    self.outgoing.advance(bytes);
                    self.unflushed = true;
                    sent = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {}
            }
        }
        Ok(sent)
    }

    /// What the server calls this connection, where that was asked and told.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// How long the first answer of the handshake took, where that was measured: the link's own time, and little of the
    /// server's.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// An answer of the handshake took so long; the first counts.
    pub(super) fn answered_in(&mut self, round_trip: Duration) {
        self.round_trip.get_or_insert(round_trip);
    }

    /// What the server calls this connection, as it answered CLIENT INFO.
    pub(super) fn identify(&mut self, answer: &Reply) {
        self.identity = match answer {
            Reply::Bytes(info) => Identity::of(&String::from_utf8_lossy(info)),
            _ => None,
        };
    }

    /// Sends one command and waits for its reply. Nothing else may be in flight.
    pub async fn request(&mut self, words: &[&[u8]]) -> Result<Reply, Lost> {
        self.outgoing.words(words);
        self.reply().await
    }

    /// Waits for one whole reply.
    pub async fn reply(&mut self) -> Result<Reply, Lost> {
        let limit = self.limit;
        timeout(limit, self.whole())
            .await
            .map_err(|_| Lost::Timeout(limit))?
    }

    async fn whole(&mut self) -> Result<Reply, Lost> {
        // Arrays that are still open: what they hold so far, and how many elements they lack.
        let mut open: Vec<(Vec<Reply>, usize)> = Vec::new();
        loop {
            let Some(token) = self.incoming.token()? else {
                self.drive().await?;
                continue;
            };
            let mut value = match token {
                Token::Array(count) if count > 0 => {
                    open.push((Vec::with_capacity(count.min(1024)), count));
                    continue;
                }
                Token::Array(_) => Reply::Array(Vec::new()),
                Token::Nil => Reply::Nil,
                Token::Integer(number) => Reply::Integer(number),
                Token::Error(span) => {
                    Reply::Error(String::from_utf8_lossy(self.incoming.bytes(span)).into_owned())
                }
                Token::Bulk(span) | Token::Simple(span) => {
                    Reply::Bytes(Bytes::copy_from_slice(self.incoming.bytes(span)))
                }
            };
            loop {
                let Some((mut elements, missing)) = open.pop() else {
                    self.incoming.release();
                    return Ok(value);
                };
                elements.push(value);
                if missing > 1 {
                    open.push((elements, missing - 1));
                    break;
                }
                value = Reply::Array(elements);
            }
        }
    }
}

/// The server's own name for its process, where INFO is allowed.
pub async fn run_id(connection: &mut Connection) -> Option<String> {
    match connection.request(&[b"INFO", b"server"]).await {
        Ok(Reply::Bytes(info)) => {
            let info = String::from_utf8_lossy(&info);
            info.lines()
                .find_map(|line| line.strip_prefix("run_id:"))
                .map(|id| id.trim().to_owned())
        }
        Ok(_) | Err(_) => None,
    }
}

impl Reply {
    /// The value or status as text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Nil | Self::Integer(_) | Self::Error(_) | Self::Array(_) => None,
        }
    }
}
