//! What a write lane does when something must be done again: elsewhere, later, or on another connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::batch::Batch;
use super::pipe::WritePipe;
use super::redo::{Again, Way};
use super::{Gone, WriteLane};
use crate::config::Side;
use crate::entry::{Entry, Value};
use crate::error::{Lost, RunError};
use crate::nodes::Node;
use crate::queue::Lease;
use crate::reading::LONG;
use crate::window::Window;

/// Pause before another look where a node has left and nobody is known in its place.
const REST: Duration = Duration::from_millis(10);

impl WriteLane {
    /// Slots have moved since the lane looked last.
    pub(super) fn must_reroute(&self) -> bool {
        self.home.nodes.version() != self.routes.version()
    }

    /// Nothing is in flight: every entry goes to the node that has its slot now.
    pub(super) async fn reroute(&mut self, pipes: &mut Vec<WritePipe>) -> Result<(), Gone> {
        loop {
            self.routes = self.home.nodes.routes();
            let wanted = self.home.masters(&self.routes);
            pipes.retain(|pipe| wanted.iter().any(|node| is(node, &pipe.node)));
            let mut left = false;
            for node in wanted {
                if !pipes.iter().any(|pipe| is(&pipe.node, &node)) {
                    left |= !self.add_pipe(pipes, node).await?;
                }
            }
            if !left && !self.must_reroute() {
                return Ok(());
            }
            if left {
                sleep(REST).await;
            }
        }
    }

    /// Opens a connection to a node. `false`: it has left its cluster.
    async fn add_pipe(
        &mut self,
        pipes: &mut Vec<WritePipe>,
        node: Arc<Node>,
    ) -> Result<bool, Gone> {
        match node.link().open().await {
            Ok(connection) => {
                let mut window = Window::new(self.context.flow.pipeline, self.limit);
                window.is_as_far_as(connection.round_trip());
                let mut pipe = WritePipe::new(node, connection, window);
                self.graves
                    .bury(pipe.node.number(), &mut pipe.connection, &self.context)
                    .await;
                pipes.push(pipe);
                Ok(true)
            }
            Err(RunError::Left { .. }) => Ok(false),
            Err(error) => {
                self.context.give_up(error);
                Err(Gone)
            }
        }
    }

    /// Nothing is in flight: sends the next of what must be done again.
    pub(super) async fn send_again(&mut self, pipes: &mut Vec<WritePipe>) -> Result<(), Gone> {
        let overtaken = self.redo.sort();
        self.context.succeed(&overtaken);
        if let Some((pause, why)) = self.redo.pause() {
            let seed = self.home.nodes.seed();
            if seed.may_tell() {
                let address = &seed.endpoint().address;
                let keys = self.redo.len();
                warn!("target {address}: {why}; {keys} keys wait to be written again");
            }
            self.home.nodes.doubt();
            sleep(pause).await;
            if self.must_reroute() {
                return Ok(());
            }
        }
        let mut batches = self.next_batches(pipes).into_iter();
        while let Some((asked, place, batch)) = batches.next() {
            let place = match asked {
                Some(node) => match self.pipe_to(pipes, &node).await {
                    Ok(place) => place,
                    Err(gone) => {
                        self.take_back_unsent(batch);
                        for (_, _, batch) in batches {
                            self.take_back_unsent(batch);
                        }
                        return Err(gone);
                    }
                },
                None => Some(place),
            };
            self.context.stats.redone_alone(batch.entries.len() as u64);
            match place.and_then(|place| pipes.get_mut(place)) {
                Some(pipe) => self.send(batch, pipe),
                None => self.take_back_unsent(batch),
            }
        }
        Ok(())
    }

    /// What is sent next, by the connection that it takes or the node that is asked for it.
    fn next_batches(&mut self, pipes: &[WritePipe]) -> Vec<(Option<Arc<Node>>, usize, Batch)> {
        let mut batches: Vec<(Option<Arc<Node>>, usize, Batch)> = Vec::new();
        for again in self.redo.next() {
            let asked = match &again.way {
                Way::ByType => {
                    self.handover.give(Entry {
                        value: Value::ByType(0),
                        expiry: None,
                        ..again.entry
                    });
                    continue;
                }
                Way::Asking(node) => Some(node.clone()),
                Way::Straight | Way::Later => None,
            };
            let place = match &asked {
                Some(node) => node.number(),
                None if pipes.len() == 1 => 0,
                None => self.place(&again.entry.key, pipes).unwrap_or_default(),
            };
            let known = batches
                .iter_mut()
                .find(|known| known.0.is_some() == asked.is_some() && known.1 == place);
            if let Some((_, _, batch)) = known {
                batch.add(again);
                continue;
            }
            let mut batch = Batch::new(Vec::new(), 0, Lease::default());
            batch.careful = true;
            batch.asking = asked.is_some();
            batch.failed = again.failed;
            batch.add(again);
            batches.push((asked, place, batch));
        }
        batches
    }

    /// The connection to a node that is asked for keys; `None`: it has left its cluster.
    async fn pipe_to(
        &mut self,
        pipes: &mut Vec<WritePipe>,
        node: &Arc<Node>,
    ) -> Result<Option<usize>, Gone> {
        let known = pipes.iter().position(|pipe| is(&pipe.node, node));
        if known.is_some() {
            return Ok(known);
        }
        let added = self.add_pipe(pipes, node.clone()).await?;
        Ok(added.then(|| pipes.len() - 1))
    }

    fn take_back_unsent(&mut self, batch: Batch) {
        let mut lease = batch.lease;
        for entry in batch.entries {
            let lease = lease.split(entry.cost());
            let mut again = Again::new(entry, lease, batch.failed, String::new());
            again.way = Way::Later;
            self.redo.push(again);
        }
    }

    /// Nobody waits for the answers of nodes that have lost their slots: they may hang.
    pub(super) fn leave(&mut self, pipes: &mut Vec<WritePipe>) {
        let is_left = |pipe: &mut WritePipe| pipe.node.link().is_retired();
        let left: Vec<WritePipe> = pipes.extract_if(.., is_left).collect();
        let why = "the node has lost its slots";
        for mut pipe in left {
            let lost = Lost::Io(std::io::Error::other(why));
            self.take_back_all(&mut pipe, &lost);
        }
    }

    /// What a connection that is gone had in flight is to be done again.
    fn take_back_all(&mut self, pipe: &mut WritePipe, lost: &Lost) {
        let node = pipe.node.clone();
        pipe.window.reset();
        pipe.stale = false;
        self.redo.lost();
        let flying = std::mem::take(&mut pipe.flying);
        if !flying.is_empty() {
            let grave = pipe.connection.identity().cloned();
            self.graves.dig(node.number(), grave);
        }
        for (place, batch) in flying.into_iter().enumerate() {
            self.take_back(batch, place == 0, lost, &node);
        }
    }

    /// A connection is gone. What has no answer is done again on another.
    pub(super) async fn recover(
        &mut self,
        pipes: &mut Vec<WritePipe>,
        place: usize,
        lost: Lost,
    ) -> Result<(), Gone> {
        let Some(pipe) = pipes.get_mut(place) else {
            return Ok(());
        };
        let node = pipe.node.clone();
        self.take_back_all(pipe, &lost);
        if self.context.is_lost(Side::Target) {
            return Err(Gone);
        }
        match node.link().reopen(&lost).await {
            Ok(new) => {
                if let Some(pipe) = pipes.get_mut(place) {
                    pipe.window.is_as_far_as(new.round_trip());
                    pipe.connection = new;
                    self.graves
                        .bury(pipe.node.number(), &mut pipe.connection, &self.context)
                        .await;
                }
                Ok(())
            }
            Err(RunError::Left { .. }) => {
                pipes.swap_remove(place);
                Ok(())
            }
            Err(error) => {
                self.context.give_up(error);
                Err(Gone)
            }
        }
    }

    /// Takes back a batch that was in flight when its connection went.
    fn take_back(&mut self, batch: Batch, was_answered: bool, lost: &Lost, node: &Node) {
        let careful = batch.careful;
        let answered = if careful && was_answered {
            batch.answered_rows()
        } else {
            0
        };
        let alone = was_answered && batch.entries.len() == answered + 1;
        let never = !self.context.flow.write_retry.allows(1);
        let mut errors: HashMap<usize, String> = batch.errors.into_iter().collect();
        let mut kinds: HashMap<usize, Vec<u8>> = batch.kinds.into_iter().collect();
        let mut lease = batch.lease;
        for (row, entry) in batch.entries.into_iter().enumerate() {
            let lease = lease.split(entry.cost());
            if row < answered
                && let Some(kind) = kinds.remove(&row)
            {
                self.looked(entry, &kind);
                continue;
            }
            let mut again = Again::new(entry, lease, batch.failed, lost.to_string());
            if row < answered {
                match errors.remove(&row) {
                    Some(why) => {
                        self.fail_or_redo(Again { why, ..again }, true, node);
                    }
                    None => self.settle(&again.entry),
                }
                continue;
            }
            // Only an entry that was alone may be what breaks the connection; `--retry never` asks no further.
            again.failed += u32::from(alone || never);
            if alone && again.failed > 1 && is_long_payload(&again.entry) {
                // A server closes the connection on a value that is longer than it takes (proto-max-bulk-len).
                self.context.payload_refused(&again.why);
                again.way = Way::ByType;
                self.redo.push(again);
                continue;
            }
            if !self.context.flow.write_retry.allows(again.failed) {
                let why = format!("{} (tried {} times)", again.why, again.failed);
                self.fail(&again.entry, &why);
                continue;
            }
            self.context.stats.retried(1);
            self.redo.push(again);
        }
    }

    /// There is no target any more: what was taken in, and what still comes, has failed.
    pub(super) async fn fail_everything(&mut self, pipes: Vec<WritePipe>) {
        let fail = |entries: Vec<Entry>| {
            for entry in entries {
                self.context
                    .fail_entry(Side::Target, &entry, "the target is lost");
            }
        };
        fail(self.redo.drain());
        for batch in pipes.into_iter().flat_map(|pipe| pipe.flying) {
            fail(batch.entries);
        }
        for parcel in std::mem::take(&mut self.waiting) {
            fail(parcel.entries);
        }
        while let Some(parcel) = self.input.receive().await {
            fail(parcel.entries);
        }
        self.handover.give_reserved();
        while !self.handover.is_idle() {
            let (returned, overtaken) = self.handover.take_returned();
            fail(returned);
            fail(overtaken);
            if !self.handover.is_idle() {
                self.handover.moved().await;
            }
        }
    }
}

fn is(one: &Node, other: &Node) -> bool {
    one.number() == other.number()
}

/// Whether an entry may be refused for its length alone.
fn is_long_payload(entry: &Entry) -> bool {
    matches!(&entry.value, Value::Payload(payload) if payload.len() >= LONG)
}
