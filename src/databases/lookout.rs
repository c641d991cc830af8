//! Looks which of the source's databases have keys, once a second and when it is asked: beside the run, which waits for nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::census::Counter;

const LOOK: Duration = Duration::from_secs(1);
/// One look may take so long.
const LIMIT: Duration = Duration::from_secs(5);
/// The last look is tried for so long, with pauses between.
const LAST: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Looks that wait to be read, and questions.
const WAITING: usize = 4;

/// What a look saw.
pub(super) enum Seen {
    /// These databases have keys, or may have.
    Now(Vec<u32>),
    /// The same of the last look, or why there was none.
    Last(Result<Vec<u32>, String>),
}

/// The task, seen from the run.
pub(super) struct Lookout {
    asks: mpsc::Sender<()>,
    seen: mpsc::Receiver<Seen>,
    _task: JoinSet<()>,
}

impl Lookout {
    pub(super) fn start(counter: Counter) -> Self {
        let (asks, asked) = mpsc::channel(WAITING);
        let (sender, seen) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(look(counter, asked, sender));
        Self {
            asks,
            seen,
            _task: tasks,
        }
    }

    /// The run is to end: one more look, for what came before now.
    pub(super) fn ask(&self) {
        // It is asked once: there is room.
        let _ = self.asks.try_send(());
    }

    /// What was seen. Cancel safe.
    pub(super) async fn next(&mut self) -> Seen {
        match self.seen.recv().await {
            Some(seen) => seen,
            // It ends after the last look.
            None => std::future::pending().await,
        }
    }
}

async fn look(mut counter: Counter, mut asked: mpsc::Receiver<()>, seen: mpsc::Sender<Seen>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Ok(numbers) = once(&mut counter).await {
                    let _ = seen.send(Seen::Now(numbers)).await;
                }
            }
            ask = asked.recv() => {
                if ask.is_some() {
                    let last = last(&mut counter).await;
                    let _ = seen.send(Seen::Last(last)).await;
                }
                return;
            }
        }
    }
}

async fn once(counter: &mut Counter) -> Result<Vec<u32>, String> {
    if let Ok(seen) = timeout(LIMIT, counter.count()).await {
        return seen.map(|(keys, _)| keys.into_keys().collect());
    }
    counter.forget();
    Err(format!("no answer within {} s", LIMIT.as_secs()))
}

async fn last(counter: &mut Counter) -> Result<Vec<u32>, String> {
    let deadline = Instant::now() + LAST;
    loop {
        let seen = once(counter).await;
        if seen.is_ok() || Instant::now() >= deadline {
            return seen;
        }
        sleep(PAUSE).await;
    }
}
