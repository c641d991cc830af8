//! A copy whose place is kept in a file, from its begin to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{list, scan};
use crate::entry::Key;
use crate::error::RunError;
use crate::session::Session;
use crate::stage::scan::Ended;
use crate::state::{Record, State, Track};

/// The shortest pause between two writes of the file: what is copied in it is copied twice after a kill.
const SHORTEST: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST: Duration = Duration::from_secs(1);
/// A disk that is slow is left alone this many times as long as it took.
const REST: u32 = 9;
/// A pause is this part of the time that the run has taken: what a kill costs is little of what was done, and a long run
/// spends little on it.
const PART: u32 = 200;

/// Copies what is left, and keeps the place in the file.
pub async fn run(
    session: &Session<'_>,
    state: &State,
    track: &Arc<Track>,
) -> Result<Ended, RunError> {
    let work = copy(session, track);
    tokio::pin!(work);
    let mut keeper = Keeper {
        session,
        state,
        track,
        writes: JoinSet::new(),
        started: Instant::now(),
        began: Instant::now(),
        due: Instant::now() + SHORTEST,
        kept: track.changes(),
        fails: false,
    };
    let ended = loop {
        let idle = keeper.writes.is_empty();
        tokio::select! {
            ended = &mut work => break ended,
            Some(written) = keeper.writes.join_next() => keeper.written(written),
            () = sleep_until(keeper.due), if idle => keeper.write(),
        }
    };
    // What is on its way to the disk is older than what follows.
    keeper.settle().await;
    keeper.write();
    keeper.settle().await;
    ended
}

/// The copy is done, and what was to be compared is compared: nothing is left to be picked up but keys that failed.
pub fn end(session: &Session<'_>, state: &State, track: &Track, ended: Ended) {
    let note = |line| session.context.stats.note(line);
    let file = state.path().display();
    let failed = track.failures();
    if ended == Ended::Early || !track.is_copied() {
        note(format!(
            "{file} keeps where the copy is: the same command line goes on from there"
        ));
    } else if failed > 0 {
        note(format!(
            "{file} keeps the names of {failed} keys that failed: the same command line tries them again"
        ));
    } else if let Err(error) = state.remove() {
        warn!("{file}: all is done, but it cannot be removed: {error}");
    }
}

async fn copy(session: &Session<'_>, track: &Track) -> Result<Ended, RunError> {
    let context = &session.context;
    let failed = track.to_retry();
    if !failed.is_empty() {
        let keys = failed.into_iter();
        let keys = keys.map(|name| Key::at_source(name, &session.rename));
        list(session, keys.collect()).await?;
        track.has_retried();
    }
    if context.is_over_limit() {
        return Ok(Ended::Early);
    }
    if track.is_copied() {
        context.stats.scan_ended();
        return Ok(Ended::Complete);
    }
    let ended = scan(session).await?;
    if ended == Ended::Complete && !context.is_over_limit() {
        let all = track.end();
        debug_assert!(
            all || track.has_overflowed(),
            "a key was left without a fate"
        );
    }
    Ok(ended)
}

/// Writes the file while the copy goes on.
struct Keeper<'a> {
    session: &'a Session<'a>,
    state: &'a State,
    track: &'a Track,
    writes: JoinSet<io::Result<()>>,
    started: Instant,
    /// When the last write began.
    began: Instant,
    due: Instant,
    /// What of the track's changes is written, or being written.
    kept: u64,
    fails: bool,
}

impl Keeper<'_> {
    /// Begins to write what has changed.
    fn write(&mut self) {
        self.began = Instant::now();
        self.due = self.began + SHORTEST;
        let changes = self.track.changes();
        if changes == self.kept {
            return;
        }
        self.kept = changes;
        let record = self.record();
        let write = self.state.writer();
        self.writes.spawn_blocking(move || write(&record));
    }

    fn record(&self) -> Record {
        let routes = self.session.source.routes();
        let version = self.track.version();
        let moved = version.map(|version| routes.changed_since(version));
        let written = self.session.context.stats.counts().written;
        // Slots that move after this are found by the next look, or by the end of the scan.
        self.track.record(&moved.unwrap_or_default(), written)
    }

    async fn settle(&mut self) {
        while let Some(written) = self.writes.join_next().await {
            self.written(written);
        }
    }

    fn written(&mut self, written: Result<io::Result<()>, JoinError>) {
        let (took, ran) = (self.began.elapsed(), self.started.elapsed());
        let pause = (took * REST).max(ran / PART);
        self.due = Instant::now() + pause.clamp(SHORTEST, LONGEST);
        let file = self.state.path().display();
        let error = match written {
            Ok(Ok(())) => {
                if std::mem::take(&mut self.fails) {
                    warn!("{file}: it is written again");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // It is tried again.
        self.kept = 0;
        self.due = Instant::now() + LONGEST;
        if !std::mem::replace(&mut self.fails, true) {
            let line = format!(
                "{file}: it cannot be written ({error}): the copy goes on, but where it is is not kept for now"
            );
            warn!("{line}");
            self.session.context.stats.note(line);
        }
    }
}
