//! Takes changed keys out of the set and gives them to the lanes: each lane has a feeder of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::entry::Key;
use crate::queue::Sender;
use crate::reading::BATCH_KEYS;
use crate::stage::Context;

/// How the feeders go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// A key goes at most once in each interval.
    Usual,
    /// The end: nothing rests.
    Hurry,
    /// What is in the set goes, and then the feeder.
    Close,
}

/// The feeders of all lanes.
pub(super) struct Feed {
    pace: watch::Sender<Pace>,
    feeders: JoinSet<()>,
}

impl Feed {
    /// Starts a feeder for each of the outputs; `interval` is the longest wait of a changed key.
    pub(super) fn start(
        context: &Arc<Context>,
        outputs: &[Sender<Vec<Key>>],
        interval: Duration,
    ) -> Self {
        let (pace, receiver) = watch::channel(Pace::Usual);
        let mut feeders = JoinSet::new();
        for (lane, output) in outputs.iter().enumerate() {
            feeders.spawn(feed(
                context.clone(),
                lane,
                output.clone(),
                interval,
                receiver.clone(),
            ));
        }
        Self { pace, feeders }
    }

    /// Nothing rests any more.
    pub(super) fn hurry(&self) {
        self.pace.send_replace(Pace::Hurry);
    }

    /// Waits until all that is in the set was given to the lanes, and lets go of them.
    pub(super) async fn close(mut self) {
        self.pace.send_replace(Pace::Close);
        while self.feeders.join_next().await.is_some() {}
    }
}

async fn feed(
    context: Arc<Context>,
    lane: usize,
    output: Sender<Vec<Key>>,
    interval: Duration,
    mut pace: watch::Receiver<Pace>,
) {
    let Some(follow) = &context.follow else {
        return;
    };
    let changed = &follow.changed;
    let live = &context.stats.live;
    loop {
        let now = *pace.borrow_and_update();
        let idle = match now {
            Pace::Usual => true,
            Pace::Hurry => changed.waiting(lane) == 0,
            Pace::Close => false,
        };
        if idle {
            tokio::select! {
                () = changed.filled(lane) => {}
                _ = pace.changed() => continue,
            }
        }
        let started = Instant::now();
        // What changes again from here on goes in the next interval.
        let mut left = match now {
            Pace::Usual => changed.ready(lane).max(1),
            Pace::Hurry | Pace::Close => usize::MAX,
        };
        while left > 0 {
            let keys = changed.take(lane, left.min(BATCH_KEYS), now > Pace::Usual);
            if keys.is_empty() {
                break;
            }
            left = left.saturating_sub(keys.len());
            follow.flight.took(keys.iter().map(|key| key.mark));
            live.took(keys.len() as u64);
            live.set_waiting(changed.len() as u64);
            if output.send(keys).await.is_err() {
                return;
            }
        }
        match now {
            Pace::Usual => {
                let rest = interval.saturating_sub(started.elapsed());
                tokio::select! {
                    () = sleep(rest) => {}
                    _ = pace.changed() => {}
                }
            }
            Pace::Hurry => {}
            Pace::Close => return,
        }
    }
}
