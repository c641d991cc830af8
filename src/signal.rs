//! The wish to stop: told to the sources alone, what they took in drains.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether keys are still taken in.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: Arc<watch::Sender<bool>>,
    parent: Option<Arc<watch::Sender<bool>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
            parent: None,
        }
    }
}

impl Stop {
    /// A wish of its own, for a part of the run: this one's holds for it too.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
            parent: Some(self.sender.clone()),
        }
    }

    /// No key is taken in from now on.
    pub fn drain(&self) {
        self.sender.send_replace(true);
    }

    /// Whether that was said.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.sender.borrow() || self.parent.as_ref().is_some_and(|parent| *parent.borrow())
    }

    /// Waits for the next round of a run that is repeated after this pause (`--repeat`). `false`: there is none, as the run is not
    /// repeated, or the wish to stop came first.
    pub async fn lets_repeat(&self, pause: Option<Duration>) -> bool {
        let Some(pause) = pause.filter(|_| !self.is_draining()) else {
            return false;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.draining() => false,
        }
    }

    /// Waits until it is said.
    pub async fn draining(&self) {
        let said = |sender: &watch::Sender<bool>| {
            let mut receiver = sender.subscribe();
            async move {
                // The sender lives as long as self.
                let _ = receiver.wait_for(|draining| *draining).await;
            }
        };
        match &self.parent {
            None => said(&self.sender).await,
            Some(parent) => tokio::select! {
                () = said(&self.sender) => {}
                () = said(parent) => {}
            },
        }
    }
}

/// SIGINT and SIGTERM of this process.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes both signals over from the system.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
