//! The wish to stop: told to the sources alone, what they took in drains.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether keys are still taken in.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Stop {
    /// No key is taken in from now on.
    pub fn drain(&self) {
        self.sender.send_replace(true);
    }

    /// Whether that was said.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until it is said.
    pub async fn draining(&self) {
        // The sender lives as long as self.
        let _ = self.sender.subscribe().wait_for(|draining| *draining).await;
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
