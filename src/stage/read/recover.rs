//! What a read lane does when a connection is lost, a batch is refused, or a slot has moved.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::pipe::ReadPipe;
use super::{Detour, End, MOST_MOVES, ReadLane};
use crate::config::Side;
use crate::entry::Key;
use crate::error::{Class, Lost, RunError, classify, is_away};
use crate::nodes::{Node, Redirect};
use crate::reading::{Batch, LONG, Road};
use crate::retry::Backoff;
use crate::wire::run_id;

/// Pause before another look where a node has left and nobody is known in its place.
const REST: Duration = Duration::from_millis(10);

impl ReadLane {
    /// Keys are to be read at another node than was thought.
    pub(super) fn must_reroute(&self) -> bool {
        !self.astray.is_empty() || self.home.nodes.version() != self.routes.version()
    }

    /// Nothing is in flight: every key goes to the node that has its slot now.
    pub(super) async fn reroute(&mut self, pipes: &mut Vec<ReadPipe>) -> Result<(), End> {
        if !self.astray.is_empty() {
            self.moved += 1;
            if self.down.is_some() || self.moved > MOST_MOVES {
                self.home.nodes.doubt();
                sleep(self.backoff.pause()).await;
            }
        }
        let mut keys = std::mem::take(&mut self.astray);
        for pipe in &mut *pipes {
            keys.append(&mut pipe.waiting.drain());
        }
        if let Err(end) = self.open_pipes(pipes).await {
            self.astray = keys;
            return Err(end);
        }
        self.take_in(keys, pipes);
        Ok(())
    }

    /// Connections to the nodes that have the lane's slots now, and to no others.
    async fn open_pipes(&mut self, pipes: &mut Vec<ReadPipe>) -> Result<(), End> {
        loop {
            self.routes = self.home.nodes.routes();
            let wanted = self.home.readers(&self.routes);
            pipes.retain(|pipe| wanted.iter().any(|node| is(node, &pipe.node)));
            let mut left = false;
            for node in wanted {
                if !pipes.iter().any(|pipe| is(&pipe.node, &node)) {
                    left |= !self.add_pipe(pipes, node).await?;
                }
            }
            if !left && self.home.nodes.version() == self.routes.version() {
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
        pipes: &mut Vec<ReadPipe>,
        node: std::sync::Arc<Node>,
    ) -> Result<bool, End> {
        match self.open_pipe(node).await {
            Ok(pipe) => {
                pipes.push(pipe);
                Ok(true)
            }
            Err(RunError::Left { .. }) => Ok(false),
            Err(error) => {
                self.context.give_up(error);
                Err(End::Lost)
            }
        }
    }

    /// Nothing is in flight: asks the nodes for keys that they alone are asked for. Nothing else is asked until they have
    /// answered, so that no key is asked for at two nodes.
    pub(super) async fn take_detours(&mut self, pipes: &mut Vec<ReadPipe>) -> Result<(), End> {
        let mut detours = std::mem::take(&mut self.detours).into_iter();
        while let Some(detour) = detours.next() {
            let added = if pipes.iter().any(|pipe| is(&pipe.node, &detour.node)) {
                Ok(true)
            } else {
                self.add_pipe(pipes, detour.node.clone()).await
            };
            match added {
                Ok(true) => {}
                Ok(false) => {
                    self.astray.push(detour.key);
                    continue;
                }
                Err(end) => {
                    self.detours.push(detour);
                    self.detours.extend(detours);
                    return Err(end);
                }
            }
            let Some(pipe) = pipes.iter_mut().find(|pipe| is(&pipe.node, &detour.node)) else {
                continue;
            };
            if !pipe.may_ask() {
                self.detours.push(detour);
                continue;
            }
            let Detour {
                key, road, asking, ..
            } = detour;
            let mut batch = Batch::new(road, vec![key], LONG);
            batch.asking = asking;
            self.send(batch, pipe);
            self.detouring = true;
        }
        Ok(())
    }

    /// A key that a node of a cluster did not answer for: it is asked for elsewhere, or later.
    pub(super) fn redirected(&mut self, key: Key, road: Road, reply: &str, from: &Node) {
        match self.home.nodes.redirect(reply, from) {
            Redirect::Moved => self.astray.push(key),
            Redirect::Ask(node) => self.detours.push(Detour {
                key,
                road,
                node,
                asking: true,
            }),
            Redirect::Wait => {
                let since = *self.down.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.context.flow.reconnect_timeout {
                    return self.context.fail(Side::Source, &key, reply);
                }
                if from.link().may_tell() {
                    warn!("source {}: {reply}; asking again", from.address());
                }
                self.context.stats.retried(1);
                self.astray.push(key);
            }
        }
    }

    /// A source that is away for a moment is waited for, as long as one that cannot be reached. `false`: it is not that.
    pub(super) async fn waits_for_source(&self, pipe: &mut ReadPipe, refusal: &[u8]) -> bool {
        if !is_away(refusal) {
            return false;
        }
        self.context.stats.erred(Side::Source, classify(refusal));
        if pipe.away.is_none() {
            pipe.backoff = Backoff::default();
        }
        let since = *pipe.away.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.context.flow.reconnect_timeout {
            return false;
        }
        if pipe.node.link().may_tell() {
            let refusal = String::from_utf8_lossy(refusal);
            warn!("source {}: {refusal}; asking again", pipe.node.address());
        }
        self.context.stats.retried(1);
        self.home.nodes.doubt();
        sleep(pipe.backoff.pause()).await;
        true
    }

    /// A batch that was refused as a whole: its keys are tried one by one, so that each has its own error.
    pub(super) fn refused(&mut self, batch: Batch, refusal: &str, pipe: &mut ReadPipe) {
        let (road, failed) = (batch.road, batch.failed);
        let keys: Vec<Key> = batch.into_unsettled().collect();
        let alone = keys.len() == 1;
        let class = classify(refusal.as_bytes());
        self.context.stats.erred(Side::Source, class);
        let transient = class == Class::Transient;
        let failed = failed + u32::from(transient || alone);
        let again = !alone || (transient && self.context.flow.read_retry.allows(failed));
        debug!("a batch of {} keys was refused: {refusal}", keys.len());
        for key in keys {
            if again {
                self.context.stats.retried(1);
                pipe.waiting.retry(key, road, failed);
            } else {
                self.context.fail(Side::Source, &key, refusal);
            }
        }
    }

    /// A connection is gone: another takes what has no answer, in the same order.
    pub(super) async fn recover(
        &mut self,
        pipes: &mut Vec<ReadPipe>,
        place: usize,
        lost: Lost,
    ) -> Result<(), End> {
        let Some(pipe) = pipes.get_mut(place) else {
            return Ok(());
        };
        if let Some(length) = pipe.oversize.take() {
            return self.weigh_again(pipes, place, length).await;
        }
        let mut flying = pipe.lost();
        if self.context.is_lost(Side::Source) {
            pipe.flying = flying;
            return Err(End::Lost);
        }
        match pipe.node.link().reopen(&lost).await {
            Ok(new) => {
                pipe.window.is_as_far_as(new.round_trip());
                pipe.connection = new;
                if let Some(follow) = &self.context.follow
                    && !self.home.nodes.is_cluster()
                {
                    follow.reads_at(run_id(&mut pipe.connection).await);
                }
            }
            Err(RunError::Left { .. }) => {
                pipe.flying = flying;
                let pipe = pipes.swap_remove(place);
                self.abandon(pipe);
                return Ok(());
            }
            Err(error) => {
                pipe.flying = flying;
                self.context.give_up(error);
                return Err(End::Lost);
            }
        }
        if let Some(head) = flying.pop_front() {
            self.retry_head(head, &lost, pipe);
        }
        for batch in flying {
            self.context.stats.retried(batch.keys.len() as u64);
            self.send(batch, pipe);
        }
        Ok(())
    }

    /// A value is too large to be taken as it comes: it goes by its type's commands whatever MEMORY USAGE says, which looks at a
    /// few elements only. With it goes the connection, and all else that was asked there is looked at.
    async fn weigh_again(
        &mut self,
        pipes: &mut Vec<ReadPipe>,
        place: usize,
        length: usize,
    ) -> Result<(), End> {
        let Some(pipe) = pipes.get_mut(place) else {
            return Ok(());
        };
        debug!("a value is larger than --big-key: it is read in chunks, on another connection");
        let mut flying = pipe.lost();
        let large = flying.front_mut().and_then(Batch::take_large);
        let keys: Vec<Key> = flying.into_iter().flat_map(Batch::into_unsettled).collect();
        match pipe.node.link().open().await {
            Ok(new) => pipe.connection = new,
            Err(error) => {
                self.astray.extend(keys);
                self.astray.extend(large.map(|(key, _)| key));
                if let RunError::Left { .. } = error {
                    let pipe = pipes.swap_remove(place);
                    self.abandon(pipe);
                    return Ok(());
                }
                self.context.give_up(error);
                return Err(End::Lost);
            }
        }
        if let Some((key, kind)) = large {
            // Those like it are looked at before they are read.
            self.shapes
                .learn(&key, kind.as_deref() == Some(b"string"), length);
            self.shapes.weigh(&key, length as u64);
            let ticket = self.large(key, kind.as_deref());
            self.by_type.push(ticket);
        }
        if let Some(follow) = &self.context.follow
            && !self.home.nodes.is_cluster()
        {
            follow.reads_at(run_id(&mut pipe.connection).await);
        }
        for key in keys {
            let bytes = key.name.len() + 64;
            pipe.waiting.add(key, Road::Inspect, bytes);
        }
        Ok(())
    }

    /// Nobody waits for the answers of nodes that have lost their slots: they may hang.
    pub(super) fn leave(&mut self, pipes: &mut Vec<ReadPipe>) {
        let is_left = |pipe: &mut ReadPipe| pipe.node.link().is_retired();
        let left: Vec<ReadPipe> = pipes.extract_if(.., is_left).collect();
        for pipe in left {
            self.abandon(pipe);
        }
    }

    fn abandon(&mut self, mut pipe: ReadPipe) {
        let keys = pipe.lost().into_iter().flat_map(Batch::into_unsettled);
        self.astray.extend(keys);
        self.astray.append(&mut pipe.waiting.drain());
    }

    /// The batch that was being answered when the connection went: it may be what breaks it.
    fn retry_head(&self, mut head: Batch, lost: &Lost, pipe: &mut ReadPipe) {
        head.failed += 1;
        let failed = head.failed;
        if self.context.flow.read_retry.allows(failed) {
            self.context.stats.retried(head.keys.len() as u64);
            self.send(head, pipe);
            return;
        }
        let road = match head.road {
            looks @ (Road::Inspect | Road::Weigh) => looks,
            _ => self.any_road(),
        };
        let alone = head.keys.len() == 1;
        let message = format!("{lost} (tried {failed} times)");
        for key in head.into_unsettled() {
            if alone {
                self.context.fail(Side::Source, &key, &message);
            } else {
                pipe.waiting.retry(key, road, 0);
            }
        }
    }

    /// There is no source any more: what was taken in, and what still comes, has failed.
    pub(super) async fn fail_everything(&mut self, pipes: Vec<ReadPipe>) {
        let mut keys = std::mem::take(&mut self.astray);
        keys.extend(self.detours.drain(..).map(|detour| detour.key));
        for mut pipe in pipes {
            let flying = std::mem::take(&mut pipe.flying);
            keys.extend(flying.into_iter().flat_map(Batch::into_unsettled));
            keys.append(&mut pipe.waiting.drain());
        }
        loop {
            for key in keys.drain(..) {
                self.context.fail(Side::Source, &key, "the source is lost");
            }
            match self.input.receive().await {
                Some(more) => keys = more,
                None => return,
            }
        }
    }
}

fn is(one: &Node, other: &Node) -> bool {
    one.number() == other.number()
}
