//! One connection of a write lane, and what is in flight on it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::batch::Batch;
use crate::nodes::Node;
use crate::stage::pipes::Pipe;
use crate::window::{self, Window};
use crate::wire::Connection;

pub(super) struct WritePipe {
    pub(super) node: Arc<Node>,
    pub(super) connection: Connection,
    pub(super) flying: VecDeque<Batch>,
    pub(super) window: Window,
    /// The server does not take writes any more: what is behind the address now may.
    pub(super) stale: bool,
    heard: Instant,
}

impl WritePipe {
    pub(super) fn new(node: Arc<Node>, connection: Connection, window: Window) -> Self {
        Self {
            node,
            connection,
            flying: VecDeque::new(),
            window,
            stale: false,
            heard: Instant::now(),
        }
    }

    /// A batch was encoded.
    pub(super) fn sent(&mut self, batch: Batch) {
        let now = Instant::now();
        if self.flying.is_empty() {
            self.heard = now;
        }
        self.window
            .send(window::load(batch.entries.len(), batch.bytes), now);
        self.flying.push_back(batch);
    }
}

impl Pipe for WritePipe {
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
