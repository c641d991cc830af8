//! A lane's connections: one for each node that it speaks to, mostly a single one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};

use crate::deal::Deal;
use crate::error::Lost;
use crate::nodes::{Node, Nodes, Routes};
use crate::wire::Connection;

/// Which keys a lane has, and at which nodes they may be.
#[derive(Debug, Clone)]
pub struct Home {
    /// The servers.
    pub nodes: Arc<Nodes>,
    /// How keys are dealt to the lanes.
    pub deal: Deal,
    /// This lane's number.
    pub lane: usize,
}

impl Home {
    /// The nodes that have the slots of this lane: where they are read, or their masters.
    pub(super) fn readers(&self, routes: &Routes) -> Vec<Arc<Node>> {
        self.distinct(routes, Routes::reader)
    }

    /// The masters of the slots of this lane.
    pub(super) fn masters(&self, routes: &Routes) -> Vec<Arc<Node>> {
        self.distinct(routes, Routes::master)
    }

    fn distinct(
        &self,
        routes: &Routes,
        of: impl Fn(&Routes, u16) -> Option<&Arc<Node>>,
    ) -> Vec<Arc<Node>> {
        let mut found: Vec<Arc<Node>> = Vec::new();
        let slots = if self.nodes.is_cluster() {
            crate::slots::SLOTS
        } else {
            1
        };
        for slot in (0..slots).filter(|slot| self.deal.gives(*slot, self.lane)) {
            if let Some(node) = of(routes, slot)
                && !found.iter().any(|known| known.number() == node.number())
            {
                found.push(node.clone());
            }
        }
        found
    }
}

/// One connection of a lane, with what is in flight on it.
pub(super) trait Pipe {
    /// The connection.
    fn connection(&mut self) -> &mut Connection;
    /// Whether answers are to come.
    fn is_flying(&self) -> bool;
    /// When something came last, or was sent after a rest.
    fn heard(&mut self) -> &mut Instant;
}

/// Sends and reads on these connections until one has moved: its place. Cancel safe.
pub(super) async fn any_moved<P: Pipe>(
    pipes: &mut [P],
    turn: &mut usize,
) -> (usize, Result<(), Lost>) {
    let mut first: Option<(usize, Instant)> = None;
    for (place, pipe) in pipes.iter_mut().enumerate() {
        if pipe.is_flying() {
            let due = *pipe.heard() + pipe.connection().limit();
            if first.is_none_or(|(_, first)| due < first) {
                first = Some((place, due));
            }
        }
    }
    let Some((silent, due)) = first else {
        return std::future::pending().await;
    };
    let count = pipes.len();
    *turn += 1;
    let start = *turn;
    let moved = poll_fn(|cx| {
        for place in (0..count).map(|step| (start + step) % count) {
            let Some(pipe) = pipes.get_mut(place).filter(|pipe| pipe.is_flying()) else {
                continue;
            };
            if let Poll::Ready(moved) = pipe.connection().poll_drive(cx) {
                *pipe.heard() = Instant::now();
                return Poll::Ready((place, moved));
            }
        }
        Poll::Pending
    });
    if let Ok(moved) = timeout_at(due, moved).await {
        return moved;
    }
    let limit = pipes
        .get_mut(silent)
        .map(|pipe| pipe.connection().limit())
        .unwrap_or_default();
    (silent, Err(Lost::Timeout(limit)))
}
