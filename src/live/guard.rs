//! The watch over both servers beside the run: each second, and once more at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::Endpoint;
use crate::server::{Alarm, Control, Info, Watchdog, Watched};

const LOOK: Duration = Duration::from_secs(1);
/// A target that does not answer does not hold the looks at the source up.
const TARGET: Duration = Duration::from_secs(2);

/// Alarms that wait to be read, and questions.
const ALARMS: usize = 1024;
const ASKS: usize = 16;

/// What the guard is asked.
enum Ask {
    /// To look now, and answer whether both servers could be looked at.
    Look(oneshot::Sender<bool>),
    /// To know that tracking tells of everything now.
    Tracked,
}

/// The guard, seen from the run.
pub(super) struct Guard {
    alarms: mpsc::Receiver<Alarm>,
    asks: mpsc::Sender<Ask>,
    ready: watch::Receiver<bool>,
    _task: JoinSet<()>,
}

/// The target, which must stay the server that it was.
pub(super) struct Target {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) run_id: Option<String>,
    pub(super) control: Option<Control>,
}

impl Guard {
    /// Looks for the first time, and goes on each second.
    pub(super) async fn start(watched: Watched, target: Target) -> Self {
        let (sender, alarms) = mpsc::channel(ALARMS);
        let (asks, asked) = mpsc::channel(ASKS);
        let mut watchdog = Watchdog::new(watched);
        let found = watchdog.look().await;
        let (told, ready) = watch::channel(watchdog.is_ready());
        for alarm in found {
            let _ = sender.send(alarm).await;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(guard(watchdog, target, sender, asked, told));
        Self {
            alarms,
            asks,
            ready,
            _task: tasks,
        }
    }

    /// The next alarm. Cancel safe.
    pub(super) async fn next(&mut self) -> Alarm {
        match self.alarms.recv().await {
            Some(alarm) => alarm,
            // The guard never ends by itself.
            None => std::future::pending().await,
        }
    }

    /// An alarm that was given already.
    pub(super) fn given(&mut self) -> Option<Alarm> {
        self.alarms.try_recv().ok()
    }

    /// Looks now. `false`: a server could not be looked at.
    pub(super) async fn look(&self) -> bool {
        let (sender, done) = oneshot::channel();
        self.asks.send(Ask::Look(sender)).await.is_ok() && done.await.unwrap_or(false)
    }

    /// Tracking tells of everything from now on.
    pub(super) fn is_tracked_now(&self) {
        // It is asked one thing at a time: there is room.
        let _ = self.asks.try_send(Ask::Tracked);
    }

    /// The source is at one with itself: not loading, and with its master.
    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }
}

async fn guard(
    mut watchdog: Watchdog,
    mut target: Target,
    alarms: mpsc::Sender<Alarm>,
    mut asked: mpsc::Receiver<Ask>,
    ready: watch::Sender<bool>,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let answer = tokio::select! {
            _ = ticks.tick() => None,
            ask = asked.recv() => match ask {
                Some(Ask::Look(answer)) => Some(answer),
                Some(Ask::Tracked) => {
                    watchdog.is_tracked_now();
                    continue;
                }
                None => return,
            },
        };
        let found = watchdog.look().await;
        ready.send_replace(watchdog.is_ready());
        for alarm in found {
            let _ = alarms.send(alarm).await;
        }
        let replaced = timeout(TARGET, target.was_replaced()).await.ok().flatten();
        if replaced.is_none() {
            target.control = None;
        }
        if replaced == Some(true) {
            let cause =
                "the target was restarted, or is another server: what it had confirmed may be lost";
            let _ = alarms.send(Alarm::Gap(cause.into())).await;
        }
        if let Some(answer) = answer {
            let _ = answer.send(watchdog.saw() && replaced.is_some());
        }
    }
}

impl Target {
    /// Whether the server behind the target's address is another process now; `None` while it does not answer.
    async fn was_replaced(&mut self) -> Option<bool> {
        let Some(before) = &self.run_id else {
            return Some(false);
        };
        let control = match &mut self.control {
            Some(control) => control,
            slot => slot.insert(Control::open(&self.endpoint).await.ok()?),
        };
        let text: String = control.words(&["INFO", "server"]).await.ok()?;
        let now = Info::parse(&text).text("run_id").map(str::to_owned)?;
        let replaced = now != *before;
        self.run_id = Some(now);
        Some(replaced)
    }
}
