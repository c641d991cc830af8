//! The event connections, on a thread of their own that nothing else can hold up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::posts::Place;
use crate::error::RunError;
use crate::nodes::Nodes;
use crate::server::Way;
use crate::stage::watch::{Net, Reins, Report, WatchStage};

/// Watches that wait to be started: two for each node of the largest cluster.
const STAGES: usize = 2048;
/// Reports that wait to be read.
const REPORTS: usize = 64;

/// The thread, seen from the run.
pub(super) struct Ears {
    nodes: Arc<Nodes>,
    net: Net,
    patience: (bool, Duration),
    stages: mpsc::Sender<WatchStage>,
    reports: mpsc::Receiver<Report>,
    fence: watch::Sender<bool>,
    drops: watch::Sender<u64>,
    reins: Reins,
}

impl Ears {
    /// Starts the thread, which listens to nothing yet.
    pub(super) fn start(
        nodes: Arc<Nodes>,
        net: Net,
        patience: (bool, Duration),
    ) -> Result<Self, RunError> {
        let (stages, mut added) = mpsc::channel::<WatchStage>(STAGES);
        let (sender, reports) = mpsc::channel(REPORTS);
        let (fence, fenced) = watch::channel(false);
        let (drops, dropped) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RunError::Internal(format!("no runtime to listen on: {error}")))?;
        std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                runtime.block_on(async {
                    let mut watches = JoinSet::new();
                    loop {
                        tokio::select! {
                            stage = added.recv() => match stage {
                                Some(stage) => { watches.spawn(stage.run()); }
                                // The run is over: what is still open ends with this thread.
                                None => return,
                            },
                            Some(_) = watches.join_next() => {}
                        }
                    }
                });
            })
            .map_err(|error| RunError::Internal(format!("no thread to listen on: {error}")))?;
        Ok(Self {
            nodes,
            net,
            patience,
            stages,
            reports,
            fence,
            drops,
            reins: Reins {
                reports: sender,
                fence: fenced,
                drops: dropped,
            },
        })
    }

    /// Listens to a node in this way, too.
    pub(super) fn listen(&self, place: &Place, way: Way) {
        let net = Net {
            seen: place.seen.clone(),
            ..self.net.clone()
        };
        let stage = WatchStage::new(
            self.nodes.clone(),
            place.node.clone(),
            way,
            net,
            self.reins.clone(),
            self.patience,
        );
        // The thread lives as long as self, and takes each at once.
        let _ = self.stages.try_send(stage);
    }

    /// What happens next. Cancel safe.
    pub(super) async fn next(&mut self) -> Report {
        match self.reports.recv().await {
            Some(report) => report,
            // Self has a sender: this never ends.
            None => std::future::pending().await,
        }
    }

    /// Asks every connection for all that the source told before now, and closes it.
    pub(super) fn fence(&self) {
        self.fence.send_replace(true);
    }

    /// Drops the connections, to listen anew.
    pub(super) fn drop_connections(&self) {
        self.drops.send_modify(|drops| *drops += 1);
    }
}
