//! What becomes of a key that was handed over: written, given back to the lane, failed, or to be tried again.

use std::sync::atomic::Ordering;

use tracing::warn;

use super::line::Line;
use super::{CarryLane, Ends};
use crate::config::{RetryLimit, Side};
use crate::entry::{Cause, Entry, Value};
use crate::error::{Class, classify, is_away};
use crate::nodes::Redirect;
use crate::slots::slot;
use crate::stage::handover::{Job, Load};
use crate::stats::{SkipReason, Tally};
use crate::types::copy::{Copied, Fate};
use crate::wire::Reply;

/// How often a key that changes is read again where any number of tries is allowed.
const CHANGES: RetryLimit = RetryLimit::Times(3);
/// The same of a key that one answer holds: it is read again at once.
const SMALL_CHANGES: RetryLimit = RetryLimit::Times(100);

impl CarryLane {
    /// A key's fate.
    pub(super) async fn settle(&mut self, ends: &Ends, line: &mut Line, job: Job, fate: Fate) {
        match fate {
            Fate::Copied(copied) => self.copied(job, &copied),
            Fate::Gone => self.gone(line, job).await,
            Fate::OtherType => self.unwanted(&job, SkipReason::OtherType),
            Fate::OverLimit => {
                warn!(
                    "skipped: {}: over --mem-limit",
                    self.context.stats.named(job.entry.source_name())
                );
                self.unwanted(&job, SkipReason::MemoryLimit);
            }
            Fate::Large => {
                if let Some(follow) = &self.context.follow {
                    follow.changed.hold(&job.entry.key);
                }
                self.handover.put(Load::Large, job);
            }
            Fate::Pruned => {
                self.context.skip(SkipReason::EmptyStream, &job.entry.key);
                self.end(&job, None);
            }
            Fate::Unchanged => {
                self.context.skip(SkipReason::Unchanged, &job.entry.key);
                self.end(&job, None);
            }
            Fate::Changed => self.changed(ends, line, job).await,
            Fate::Failed(side, why) => self.failed(ends, job, side, &why),
        }
    }

    /// The lane may write the key again, and is given what there is to write.
    fn end(&self, job: &Job, returned: Option<Value>) {
        let returned = returned.map(|value| Entry {
            value,
            expiry: None,
            ..job.entry.clone()
        });
        let overtaken = self.handover.settle(&job.entry.key.name, returned);
        self.context.succeed(&overtaken);
        if let Some(follow) = &self.context.follow
            && self.load == Load::Small
        {
            follow.changed.was_light(&job.entry.key);
        }
    }

    pub(super) fn copied(&self, job: Job, copied: &Copied) {
        let stats = &self.context.stats;
        stats.read(&Tally::of(copied.kind, copied.bytes));
        stats.copied_by_type(self.load == Load::Large, copied.lost_field_expiries);
        for note in &copied.notes {
            stats.note(*note);
        }
        if let (Some(follow), Some(digest)) = (&self.context.follow, copied.digest) {
            let bytes = usize::try_from(copied.bytes).unwrap_or(usize::MAX);
            let name = job.entry.source_name();
            follow.streams.copied(name, digest, bytes, copied.groups);
        }
        self.end(&job, None);
        let mut entry = job.entry;
        entry.value = Value::ByType(copied.bytes);
        self.context.succeed_as(copied.kind, &[entry]);
    }

    /// The source does not have the key.
    async fn gone(&self, line: &mut Line, mut job: Job) {
        let name = job.entry.source_name().clone();
        if self.source.is_cluster()
            && !job.at_master
            && self.source.routes().reads_replica(slot(&name))
        {
            job.at_master = true;
            return self.handover.put(Load::Small, job);
        }
        if self.terms.merge {
            self.context.skip(SkipReason::Gone, &job.entry.key);
            return self.end(&job, None);
        }
        if self.terms.rename.needs_type() {
            self.context.skip(SkipReason::Nameless, &job.entry.key);
            return self.end(&job, None);
        }
        let asks = self
            .context
            .follow
            .as_ref()
            .is_some_and(|follow| follow.asks_databases);
        let doubtful = job.entry.key.mark.cause() == Cause::DoubtfulEvent;
        let others = asks && doubtful && self.have_others(line).await;
        let value = self.context.absence(&name, &job.entry.key, others);
        self.end(&job, Some(value));
    }

    /// Whether other databases of the source have keys; who cannot tell may.
    async fn have_others(&self, line: &mut Line) -> bool {
        if line.broken.is_some() {
            return true;
        }
        match line.source.request(&[b"INFO", b"keyspace"]).await {
            Ok(Reply::Bytes(info)) => {
                let own = format!("db{}:", self.source.seed().endpoint().database);
                crate::reading::have_other_databases(&info, own.as_bytes())
            }
            Ok(_) => true,
            Err(lost) => {
                line.broken = Some((Side::Source, lost));
                true
            }
        }
    }

    /// A key that is not taken; one that changed may have been written while it was.
    fn unwanted(&self, job: &Job, reason: SkipReason) {
        if !job.entry.key.mark.is_event() || self.terms.rename.needs_type() {
            self.context.skip(reason, &job.entry.key);
            return self.end(job, None);
        }
        self.end(job, Some(Value::Unwanted));
    }

    /// A key that changed while it was read is read again; one that never stands still is copied at once.
    async fn changed(&mut self, ends: &Ends, line: &mut Line, mut job: Job) {
        job.changed += 1;
        if self.load == Load::Large {
            self.context.stats.read_again();
        }
        // What never stands still is not read for ever, whatever --retry says.
        let limit = match (self.load, self.context.flow.read_retry) {
            (Load::Small, _) => SMALL_CHANGES,
            (Load::Large, RetryLimit::Always) => CHANGES,
            (Load::Large, limit @ RetryLimit::Times(_)) => limit,
        };
        if limit.allows(job.changed) || line.broken.is_some() {
            return self.handover.put(self.load, job);
        }
        let fate = match self.whole(ends, line, &job).await {
            Ok(fate) => fate,
            Err((side, lost)) => {
                if let Some(job) = self.lost_once(job, side, &lost) {
                    self.handover.put(self.load, job);
                }
                line.broken = Some((side, lost));
                return;
            }
        };
        match fate {
            Fate::Copied(copied) => self.copied(job, &copied),
            Fate::Gone => self.gone(line, job).await,
            Fate::Failed(side, why) => self.failed(ends, job, side, &why),
            _ => {
                let why = format!(
                    "it changes faster than it can be read (tried {} times), and cannot be copied at once: --mode live copies it when it stands still",
                    job.changed
                );
                self.fail(&job, Side::Source, &why);
            }
        }
    }

    /// A server's error.
    fn failed(&mut self, ends: &Ends, mut job: Job, side: Side, why: &str) {
        let class = classify(why.as_bytes());
        self.context.stats.erred(side, class);
        let (nodes, node) = match side {
            Side::Source => (&self.source, &ends.0),
            Side::Target => (&self.target, &ends.1),
        };
        if class == Class::Moved && nodes.is_cluster() {
            return match nodes.redirect(why, node) {
                Redirect::Moved => {
                    self.rests = true;
                    self.handover.put(self.load, job);
                }
                Redirect::Ask(_) | Redirect::Wait => self.wait_for_server(job, side, why),
            };
        }
        if side == Side::Source && is_away(why.as_bytes()) {
            return self.wait_for_server(job, side, why);
        }
        if class == Class::Transient {
            job.failed += 1;
            if self.may_retry(side, job.failed) {
                if why.starts_with("READONLY") {
                    // A failover: what is behind the address now may take writes.
                    self.stale.store(true, Ordering::Relaxed);
                }
                self.context.stats.retried(1);
                if node.link().may_tell() {
                    warn!("{side} {}: {why}; trying again", node.address());
                }
                return self.put_off(vec![job]);
            }
        }
        self.fail(&job, side, why);
    }

    /// A key has failed for good.
    pub(super) fn fail(&self, job: &Job, side: Side, why: &str) {
        self.context.fail_entry(side, &job.entry, why);
        self.end(job, None);
    }
}
