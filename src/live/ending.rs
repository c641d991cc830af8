//! The end of a live run: fenced, drained, proved.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::pass::{self, Pass, What};
use super::{Over, Run, fell};
use crate::compare::{self, Scope};
use crate::config::Depth;
use crate::entry::{Cause, Key, Mark};
use crate::error::RunError;
use crate::server::follow_master;
use crate::slots::SlotSet;
use crate::stage::scan::Ended;
use crate::stage::watch::{Post, Report};

/// Pause between two looks at what is left.
const LOOK: Duration = Duration::from_millis(5);
/// Pause between two looks at the servers.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a last look is tried.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// Scans of the end: a gap that opens again after so many stays open.
const MOST_PASSES: usize = 4;

impl Run<'_> {
    /// Fences what was told, drains it, and proves that both sides are one.
    pub(super) async fn end(mut self, over: Over) -> Result<Ended, RunError> {
        let stats = self.session.context.stats.clone();
        if let Some(pass) = &self.pass
            && (matches!(pass.what(), What::First(_)) || matches!(over, Over::Failed))
        {
            pass.halt();
        }
        if matches!(over, Over::Failed) {
            // What still changes must not keep the feeders.
            self.ears.fence();
        } else {
            self.learn_clusters().await;
            self.listen_to_all().await;
            self.prove_replica().await;
            self.fence().await?;
            self.close_gaps(&over).await?;
        }
        self.feed.hurry();
        let complete = self.scanned && !self.session.context.has_failed();
        if complete {
            self.copy_streams().await?;
            self.delete_doubts().await?;
            // A target that was restarted meanwhile may have lost what it had confirmed.
            self.look_again().await;
            self.close_gaps(&over).await?;
        }
        let waiting = self.follow.changed.clone();
        drop(self.pass.take());
        self.feed.close().await;
        self.lanes.lanes.clear();
        while let Some(joined) = self.stages.join_next().await {
            fell(joined)?;
        }
        stats.live.set_waiting(
            waiting.len() as u64
                + waiting
                    .take_overflow()
                    .map_or(0, |overflow| overflow.keys()),
        );
        // All that was taken in has its fate: the gaps tell what is left.
        stats.live.set_obstacle(None);
        self.session.end_phase();
        let session = self.session;
        if !complete {
            return Ok(Ended::Early);
        }
        if session.config.flow.dry_run {
            return Ok(Ended::Complete);
        }
        if self.follow.has_too_many_doubts() {
            stats.live.unproven(
                "more than a million keys may have been deleted in another database: those beyond were not looked for",
            );
        }
        let doubts = self.follow.take_doubts();
        verify(session, doubts).await
    }

    /// A node that was only just found is listened to before the end is fenced.
    async fn listen_to_all(&mut self) {
        let deadline = Instant::now() + LAST_LOOK;
        while !self.is_listening() && !self.session.context.has_failed() {
            let heard = tokio::select! {
                report = timeout(deadline - Instant::now(), self.ears.next()) => report,
                ended = pass::ended(&mut self.pass) => {
                    match ended {
                        Ok(ended) => self.end_pass(ended),
                        Err(error) => self.session.context.give_up(error),
                    }
                    continue;
                }
            };
            match heard {
                Ok(report) => self.report(report),
                // The fence tells which are not.
                Err(_) => return,
            }
        }
    }

    /// A replica is waited for until it has what its master has now.
    async fn prove_replica(&self) {
        let source = &self.session.source;
        let masters = source.routes().masters();
        for node in source.routes().readers() {
            let is_master = masters.iter().any(|one| one.number() == node.number());
            if source.is_cluster() && is_master {
                continue;
            }
            if let Err(line) = follow_master(node.link().endpoint()).await {
                warn!("{line}");
                self.session.context.stats.live.unproven(line);
            }
        }
    }

    /// Everything that the source told before now is marked when this returns, or a gap is open.
    async fn fence(&mut self) -> Result<(), RunError> {
        self.ears.fence();
        let mut left: Vec<Post> = self.posts.expected(&self.ways);
        let deadline = Instant::now() + self.session.config.source.command_timeout;
        while !left.is_empty() {
            let report = tokio::select! {
                ended = pass::ended(&mut self.pass) => {
                    self.end_pass(ended?);
                    continue;
                }
                report = timeout(deadline - Instant::now(), self.ears.next()) => report,
            };
            let Ok(report) = report else {
                let slots = left.iter().map(|post| self.slots_of(post.node));
                let slots = slots.fold(SlotSet::default(), |mut all, slots| {
                    all.extend(&slots);
                    all
                });
                self.gap("the source did not answer when the end was fenced", &slots);
                break;
            };
            match report {
                Report::Fenced(post) => left.retain(|other| *other != post),
                Report::Unfenced(post) | Report::Dead(post, _) | Report::Left(post) => {
                    let slots = self.slots_of(post.node);
                    if left.contains(&post) && !self.follow.torn.covers(&slots) {
                        let cause = format!("{}: lost when the end came", post.way);
                        self.gap(&self.at(post.node, &cause), &slots);
                    }
                    left.retain(|other| *other != post);
                }
                other => self.report(other),
            }
        }
        // What no event tells of, up to now.
        self.look_again().await;
        Ok(())
    }

    /// Looks at both servers once more; a look that fails proves nothing.
    async fn look_again(&mut self) {
        let deadline = Instant::now() + LAST_LOOK;
        loop {
            let looked = self.guard.look().await & self.learn_clusters().await;
            self.hear_alarms();
            if looked || self.session.context.has_failed() {
                return;
            }
            if Instant::now() >= deadline {
                self.session.context.stats.live.unproven(
                    "whether a server was restarted or flushed is not known: it could not be asked at the end",
                );
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks where the slots of both sides are now. `false`: nobody told.
    async fn learn_clusters(&mut self) -> bool {
        let source = self.session.source.refresh().await;
        let target = self.session.target.refresh().await;
        self.follow_clusters();
        source.is_ok() && target.is_ok()
    }

    fn hear_alarms(&mut self) {
        while let Some((node, alarm)) = self.guard.given() {
            self.alarm(node, alarm);
        }
    }

    /// Scans again until no gap is open and nothing is left of what the set had no room for.
    async fn close_gaps(&mut self, over: &Over) -> Result<(), RunError> {
        let session = self.session;
        if let Some(pass) = &self.pass
            && matches!(pass.what(), What::Again(..))
        {
            session
                .printer
                .line("a gap is being closed first: every key is looked at again");
        }
        for _ in 0..MOST_PASSES {
            self.finish_pass().await?;
            if !self.scanned || session.context.has_failed() {
                return Ok(());
            }
            self.drain().await?;
            if session.context.stats.live.open_gaps() > 0 && !matches!(over, Over::Deaf) {
                self.wait_until_ready().await;
                info!("scanning again, because changes may have been missed");
                let again = self.again();
                self.pass = Some(Pass::begin(session, &self.lanes, again));
            } else if let Some(overflow) = self.follow.changed.take_overflow() {
                self.begin_overflow(overflow);
            } else {
                return Ok(());
            }
        }
        if self.pass.take().is_some() {
            self.gap(
                "changes went on being missed while the run ended",
                &SlotSet::all(),
            );
        }
        Ok(())
    }

    /// Waits for the scan under way, if one is.
    async fn finish_pass(&mut self) -> Result<(), RunError> {
        while let Some(pass) = &mut self.pass {
            tokio::select! {
                ended = pass.done() => self.end_pass(ended?),
                (node, alarm) = self.guard.next() => self.alarm(node, alarm),
                report = self.ears.next() => self.report(report),
            }
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + self.session.config.flow.reconnect_timeout;
        while !self.guard.is_ready() && Instant::now() < deadline {
            self.guard.look().await;
            self.hear_alarms();
            sleep(PAUSE).await;
        }
    }

    /// Waits until all that was taken in has its fate.
    async fn drain(&mut self) -> Result<(), RunError> {
        self.feed.hurry();
        let stats = self.session.context.stats.clone();
        while !(self.follow.changed.is_empty() && stats.counts().adds_up()) {
            if self.session.context.has_failed() {
                break;
            }
            if let Some(joined) = self.stages.try_join_next() {
                fell(joined)?;
            }
            self.hear_alarms();
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Keys that may have been another database's are deleted where that was asked for.
    async fn delete_doubts(&mut self) -> Result<(), RunError> {
        let config = self.session.config;
        if !config.verification.delete_extra || config.flow.dry_run {
            return Ok(());
        }
        let rename = &self.session.rename;
        let keys: Vec<Key> = self
            .follow
            .take_doubts()
            .into_iter()
            .filter_map(|target| {
                let name = rename.invert(&target, None)?;
                Some(Key::new(name, &target))
            })
            .collect();
        self.session.context.stats.live.took(keys.len() as u64);
        self.lanes.clone().send_all(keys).await;
        self.drain().await
    }

    /// Streams with groups are copied once more: reads and acknowledgements have no event.
    async fn copy_streams(&mut self) -> Result<(), RunError> {
        let streams = &self.follow.streams;
        if streams.are_too_many() {
            self.session.context.stats.live.unproven(
                "there are more than a million streams: the groups of those beyond are as they were when they were copied last",
            );
        }
        let mark = Mark::new(Cause::Turn, self.follow.changed.now());
        let rename = &self.session.rename;
        let keys = streams.all(true).into_iter().map(|name| Key {
            mark,
            ..Key::at_source(name, rename)
        });
        let keys: Vec<Key> = keys.collect();
        self.session.context.stats.live.took(keys.len() as u64);
        self.lanes.clone().send_all(keys).await;
        self.drain().await
    }
}

/// Compares, and looks for keys of the target's own where something may have been deleted unseen.
async fn verify(
    session: &crate::session::Session<'_>,
    doubts: Vec<bytes::Bytes>,
) -> Result<Ended, RunError> {
    let verification = &session.config.verification;
    let live = &session.context.stats.live;
    let inverts = session.rename.can_be_inverted();
    let allowed = session.may_search();
    let gaps = live.gaps() > 0;
    if !doubts.is_empty() && !inverts {
        live.unproven(
            "keys that tracking told to be gone, perhaps of another database, cannot be found at the target: names cannot be told back",
        );
    }
    if gaps && !allowed {
        live.unproven(
            "keys that were deleted in a gap cannot be found at the target: SCAN or EXISTS is not allowed (ACL rules +scan +exists, on both sides)",
        );
    }
    if gaps && !inverts {
        live.unproven(
            "keys that were deleted in a gap cannot be found at the target: names cannot be told back (--key-replace, --key-process)",
        );
    }
    let scope = Scope {
        pairs: verification.depth != Depth::None && !session.context.is_over_limit(),
        both: inverts && (verification.both || gaps && allowed),
        doubts: if allowed { doubts } else { Vec::new() },
    };
    if !scope.pairs && !scope.both && scope.doubts.is_empty() {
        return Ok(Ended::Complete);
    }
    compare::run_within(session, scope).await
}
