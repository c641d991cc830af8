//! The watch over both sides' servers beside the run: each second, and once more at the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::posts::{Place, Places};
use crate::config::Endpoint;
use crate::nodes::{Node, Nodes};
use crate::server::{Alarm, Control, Info, Watchdog, Watched};

const LOOK: Duration = Duration::from_secs(1);
/// A target that does not answer does not hold the looks at the source up.
const TARGET: Duration = Duration::from_secs(2);

/// Alarms that wait to be read, and questions.
const ALARMS: usize = 1024;
const ASKS: usize = 16;

/// What happened, and at which of the source's nodes; `None` is the target.
type Told = (Option<usize>, Alarm);

/// What the guard is asked.
enum Ask {
    /// To look now, and answer whether all servers could be looked at.
    Look(oneshot::Sender<bool>),
    /// To know that tracking tells of everything now.
    Tracked,
}

/// The guard, seen from the run.
pub(super) struct Guard {
    alarms: mpsc::Receiver<Told>,
    asks: mpsc::Sender<Ask>,
    ready: watch::Receiver<bool>,
    _task: JoinSet<()>,
}

impl Guard {
    /// Looks for the first time, and goes on each second.
    pub(super) async fn start(watched: Watched, places: Places, target: Arc<Nodes>) -> Self {
        let (sender, alarms) = mpsc::channel(ALARMS);
        let (asks, asked) = mpsc::channel(ASKS);
        let mut round = Round {
            watched,
            places,
            watchdogs: HashMap::new(),
            target: Target {
                nodes: target,
                known: HashMap::new(),
            },
        };
        let (found, _) = round.look().await;
        let (told, ready) = watch::channel(round.is_ready());
        for alarm in found {
            let _ = sender.send(alarm).await;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(guard(round, sender, asked, told));
        Self {
            alarms,
            asks,
            ready,
            _task: tasks,
        }
    }

    /// The next alarm. Cancel safe.
    pub(super) async fn next(&mut self) -> Told {
        match self.alarms.recv().await {
            Some(alarm) => alarm,
            // The guard never ends by itself.
            None => std::future::pending().await,
        }
    }

    /// An alarm that was given already.
    pub(super) fn given(&mut self) -> Option<Told> {
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
    mut round: Round,
    alarms: mpsc::Sender<Told>,
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
                    round.is_tracked_now();
                    continue;
                }
                None => return,
            },
        };
        let (found, saw) = round.look().await;
        ready.send_replace(round.is_ready());
        for alarm in found {
            let _ = alarms.send(alarm).await;
        }
        if let Some(answer) = answer {
            let _ = answer.send(saw);
        }
    }
}

/// What is looked at together.
struct Round {
    watched: Watched,
    places: Places,
    watchdogs: HashMap<usize, Watchdog>,
    target: Target,
}

impl Round {
    /// Looks at every server once, and tells whether all could be looked at.
    async fn look(&mut self) -> (Vec<Told>, bool) {
        let places = self.places.all();
        let mut looks = JoinSet::new();
        for place in places {
            let number = place.node.number();
            let watchdog = self.watchdogs.remove(&number);
            let mut watchdog = watchdog.unwrap_or_else(|| self.watchdog(&place));
            looks.spawn(async move {
                let found = watchdog.look().await;
                (number, watchdog, found)
            });
        }
        // Nodes that are not listened to any more are not watched.
        self.watchdogs.clear();
        let mut told: Vec<Told> = Vec::new();
        let mut saw = true;
        while let Some(looked) = looks.join_next().await {
            let Ok((number, watchdog, found)) = looked else {
                saw = false;
                continue;
            };
            saw &= watchdog.saw();
            told.extend(found.into_iter().map(|alarm| (Some(number), alarm)));
            self.watchdogs.insert(number, watchdog);
        }
        let (found, saw_target) = self.target.look().await;
        told.extend(found.into_iter().map(|alarm| (None, alarm)));
        (told, saw && saw_target)
    }

    fn watchdog(&self, place: &Place) -> Watchdog {
        Watchdog::new(
            self.watched.clone(),
            place.node.link().endpoint().clone(),
            place.seen.clone(),
            place.clients.clone(),
        )
    }

    fn is_ready(&self) -> bool {
        self.watchdogs.values().all(Watchdog::is_ready)
    }

    fn is_tracked_now(&mut self) {
        self.watched.is_tracked_now();
        for watchdog in self.watchdogs.values_mut() {
            watchdog.is_tracked_now();
        }
    }
}

/// The target's servers, which must stay the processes that they were.
struct Target {
    nodes: Arc<Nodes>,
    known: HashMap<usize, Process>,
}

/// One of them.
#[derive(Default)]
struct Process {
    run_id: Option<String>,
    control: Option<Control>,
}

impl Target {
    /// One look at each, and whether each could be looked at.
    async fn look(&mut self) -> (Vec<Alarm>, bool) {
        let routes = self.nodes.routes();
        let mut looks = JoinSet::new();
        for node in routes.masters() {
            let mut process = self.known.remove(&node.number()).unwrap_or_default();
            looks.spawn(async move {
                let endpoint = node.link().endpoint().clone();
                let looked = timeout(TARGET, process.was_replaced(&endpoint)).await;
                let replaced = looked.ok().flatten();
                if replaced.is_none() {
                    process.control = None;
                }
                (node, process, replaced)
            });
        }
        let mut alarms = Vec::new();
        let mut saw = true;
        while let Some(looked) = looks.join_next().await {
            let Ok((node, process, replaced)) = looked else {
                saw = false;
                continue;
            };
            self.known.insert(node.number(), process);
            saw &= replaced.is_some();
            if replaced == Some(true) {
                alarms.push(Alarm::Lost(self.cause(&node), routes.written_at(&node)));
            }
        }
        (alarms, saw)
    }

    fn cause(&self, node: &Node) -> String {
        let name = if self.nodes.is_cluster() {
            format!("the target's node {}", node.address())
        } else {
            "the target".to_owned()
        };
        format!("{name} was restarted, or is another server: what it had confirmed may be lost")
    }
}

impl Process {
    /// Whether the server behind the address is another process now; `None` while it does not answer.
    async fn was_replaced(&mut self, endpoint: &Arc<Endpoint>) -> Option<bool> {
        let control = match &mut self.control {
            Some(control) => control,
            slot => slot.insert(Control::open(endpoint).await.ok()?),
        };
        let text: String = match control.words(&["INFO", "server"]).await {
            Ok(text) => text,
            // Without the right to INFO nobody knows: that is said elsewhere.
            Err(error) if error.code() == Some("NOPERM") => return Some(false),
            Err(_) => return None,
        };
        let now = Info::parse(&text).text("run_id").map(str::to_owned)?;
        let before = self.run_id.replace(now.clone());
        Some(before.is_some_and(|before| before != now))
    }
}
