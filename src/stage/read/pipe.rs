//! One connection of a read lane: what waits for it, and what is in flight on it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::load;
use crate::nodes::Node;
use crate::queue::Lease;
use crate::reading::{ASKED_BYTES, Answer, Batch, Dialect, Waiting};
use crate::retry::Backoff;
use crate::shape::Shapes;
use crate::stage::pipes::Pipe;
use crate::window::Window;
use crate::wire::Connection;

/// Keys that go ahead.
const SCOUTS: usize = 2;

pub(super) struct ReadPipe {
    pub(super) node: Arc<Node>,
    pub(super) connection: Connection,
    pub(super) dialect: Dialect,
    pub(super) waiting: Waiting,
    pub(super) window: Window,
    pub(super) flying: VecDeque<Batch>,
    /// Bytes that are asked for and have not come, as they were guessed.
    pub(super) asked: usize,
    pub(super) answers: Vec<Answer>,
    pub(super) prepaid: Option<Lease>,
    /// A string has begun to arrive that is to be read in chunks.
    pub(super) oversize: Option<usize>,
    /// Since when the node answers that it cannot answer.
    pub(super) away: Option<Instant>,
    pub(super) backoff: Backoff,
    heard: Instant,
}

impl ReadPipe {
    pub(super) fn new(
        node: Arc<Node>,
        connection: Connection,
        waiting: Waiting,
        window: Window,
        dialect: Dialect,
    ) -> Self {
        Self {
            node,
            connection,
            dialect,
            waiting,
            window,
            flying: VecDeque::new(),
            asked: 0,
            answers: Vec::new(),
            prepaid: None,
            oversize: None,
            away: None,
            backoff: Backoff::default(),
            heard: Instant::now(),
        }
    }

    /// What is asked for lies in the source's memory until it is read.
    pub(super) fn may_ask(&self) -> bool {
        self.window.is_open() && (self.asked < ASKED_BYTES || self.flying.is_empty())
    }

    /// Whether a key goes ahead of those that are looked at, so that their shape is known when they have been.
    pub(super) fn sends_scout(&self, shapes: &Shapes) -> bool {
        shapes.knows_none()
            && self.waiting.strangers() < SCOUTS
            && !self.flying.iter().any(|batch| batch.strange)
    }

    /// A batch was encoded.
    pub(super) fn sent(&mut self, batch: Batch) {
        if self.flying.is_empty() {
            self.heard = Instant::now();
        }
        self.window.send(load(&batch), Instant::now());
        self.asked += batch.bytes;
        self.flying.push_back(batch);
    }

    /// Answers so far do not count.
    pub(super) fn void(&mut self) {
        self.connection.release();
        self.answers.clear();
    }

    /// Nothing is in flight any more: the connection is gone.
    pub(super) fn lost(&mut self) -> VecDeque<Batch> {
        self.answers.clear();
        self.prepaid = None;
        self.window.reset();
        self.asked = 0;
        std::mem::take(&mut self.flying)
    }
}

impl Pipe for ReadPipe {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }

    fn heard(&mut self) -> &mut Instant {
        &mut self.heard
    }
}
