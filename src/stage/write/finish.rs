//! What becomes of a batch that the target has answered: written, deleted, failed, or to be done again.

use std::collections::HashMap;

use tokio::time::Instant;

use super::WriteLane;
use super::batch::Batch;
use super::pipe::WritePipe;
use super::redo::{Again, Way};
use crate::config::Side;
use crate::entry::{Entry, Value};
use crate::error::{Class, classify, denies_a_command};
use crate::nodes::{Node, Redirect};

/// How often in a row entries are sent to another node without a pause.
const MOST_MOVES: u32 = 5000;

impl WriteLane {
    /// Every entry of an answered batch has its fate: written, deleted, failed, or to be done again.
    pub(super) fn finish(&mut self, mut batch: Batch, pipe: &mut WritePipe) {
        let (wanted, _) = self.dialect.wait;
        if let Some(replicas) = batch
            .short_of_replicas
            .filter(|replicas| *replicas < i64::from(wanted))
        {
            let message = format!(
                "NOREPLICAS {replicas} of {wanted} replicas acknowledged (--wait-replicas)"
            );
            let written: Vec<usize> = (0..batch.entries.len())
                .filter(|row| !batch.errors.iter().any(|(failed, _)| failed == row))
                .collect();
            batch
                .errors
                .extend(written.into_iter().map(|row| (row, message.clone())));
        }
        if batch.careful {
            self.redo.answered();
        }
        self.rest(&batch);
        if batch.errors.is_empty() && batch.kinds.is_empty() {
            self.redo.calm();
            self.down = None;
            self.moved = 0;
            if self.redo.is_empty() {
                self.context.succeed(&batch.entries);
                return;
            }
        }
        let mut kinds: HashMap<usize, Vec<u8>> = batch.kinds.drain(..).collect();
        let mut errors: HashMap<usize, String> = batch.errors.drain(..).collect();
        let single = batch.careful;
        let mut lease = batch.lease;
        let mut good = Vec::new();
        for (row, entry) in batch.entries.into_iter().enumerate() {
            match (errors.remove(&row), kinds.remove(&row)) {
                (None, Some(kind)) => self.looked(entry, &kind),
                (None, None) => {
                    self.redo.written(&entry);
                    good.push(entry);
                }
                (Some(error), _) => {
                    let lease = lease.split(entry.cost());
                    let again = Again::new(entry, lease, batch.failed, error);
                    pipe.stale |= self.fail_or_redo(again, single, &pipe.node);
                }
            }
        }
        self.context.succeed(&good);
    }

    /// An entry that the target has refused. `true`: the target takes no writes any more.
    pub(super) fn fail_or_redo(&mut self, mut again: Again, single: bool, node: &Node) -> bool {
        let class = classify(again.why.as_bytes());
        self.context.stats.erred(Side::Target, class);
        let mut stale = false;
        if class == Class::Moved && self.home.nodes.is_cluster() {
            if !single && again.why.starts_with("TRYAGAIN") {
                // Of several keys some are on their way to another node: by itself each has its own answer.
                self.redo.push(again);
                return false;
            }
            if self.redirect(&mut again, node) {
                self.redo.push(again);
                return false;
            }
        } else if class == Class::Transient {
            stale = again.why.starts_with("READONLY");
            again.failed += 1;
            if self.context.flow.write_retry.allows(again.failed) {
                self.context.stats.retried(1);
                self.redo.push(again);
                return stale;
            }
        } else if is_refused_payload(&again, class) && (single || !self.dialect.multi_exec) {
            self.context.payload_refused(&again.why);
            again.way = Way::ByType;
            self.redo.push(again);
            return false;
        } else if !single {
            // The error may be another key's of the same command.
            self.redo.push(again);
            return false;
        }
        self.fail(&again.entry, &again.why);
        stale
    }

    /// Where an entry is written instead. `false`: its cluster could not take it for too long.
    fn redirect(&mut self, again: &mut Again, node: &Node) -> bool {
        again.way = match self.home.nodes.redirect(&again.why, node) {
            Redirect::Moved if self.moved < MOST_MOVES => {
                self.moved += 1;
                Way::Straight
            }
            // Before 6.2 an expiry needs a transaction, which cannot be asked for.
            Redirect::Ask(node) if self.dialect.pxat => Way::Asking(node),
            Redirect::Moved | Redirect::Ask(_) | Redirect::Wait => {
                let since = *self.down.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.context.flow.reconnect_timeout {
                    return false;
                }
                self.context.stats.retried(1);
                Way::Later
            }
        };
        true
    }

    pub(super) fn fail(&self, entry: &Entry, why: &str) {
        self.context.fail_entry(Side::Target, entry, why);
    }

    /// An entry was written while others must be done again.
    pub(super) fn settle(&mut self, entry: &Entry) {
        self.redo.written(entry);
        self.context.succeed(std::slice::from_ref(entry));
    }
}

/// Whether the target cannot have a key by RESTORE.
fn is_refused_payload(again: &Again, class: Class) -> bool {
    let why = again.why.as_bytes();
    matches!(again.entry.value, Value::Payload(_))
        && (class == Class::Payload
            || denies_a_command(why)
            || again.why.contains("unknown command"))
}
