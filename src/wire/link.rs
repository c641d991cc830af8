//! One side's endpoint and how to come back to it: reconnection with backoff, told once a second, never given up early.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::brake::Brake;
use super::connection::{Connection, Reply};
use super::dial::connect_and_say;
use crate::config::{Address, Endpoint, RetryLimit};
use crate::entry::Millis;
use crate::error::{ConnectError, Lost, RunError};
use crate::retry::Backoff;
use crate::stats::Stats;

/// What all lanes of one side open their connections with.
#[derive(Debug)]
pub struct Link {
    endpoint: Arc<Endpoint>,
    reconnects: bool,
    patience: Duration,
    quiet_reads: bool,
    stats: Arc<Stats>,
    born: Instant,
    told: AtomicU64,
    /// READONLY: a replica of a cluster answers reads, and says MOVED to all without it.
    replica: bool,
    /// Rung when the server cannot be reached: its cluster may know more.
    bell: Option<Arc<Notify>>,
    /// The cluster has given its slots to others.
    retired: watch::Sender<bool>,
    skew: AtomicI64,
    brake: Option<Arc<Brake>>,
}

impl Link {
    /// `reconnects` and `patience`: whether and how long a server that is away is waited for; `quiet_reads`: its reads
    /// leave the keys' idle times alone (CLIENT NO-TOUCH).
    #[must_use]
    pub fn new(
        endpoint: Arc<Endpoint>,
        reconnects: bool,
        patience: Duration,
        quiet_reads: bool,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            endpoint,
            reconnects,
            patience,
            quiet_reads,
            stats,
            born: Instant::now(),
            told: AtomicU64::new(0),
            replica: false,
            bell: None,
            retired: watch::Sender::new(false),
            skew: AtomicI64::new(0),
            brake: None,
        }
    }

    /// What is sent waits at this brake.
    #[must_use]
    pub fn braked(mut self, brake: Option<Arc<Brake>>) -> Self {
        self.brake = brake;
        self
    }

    /// What holds up what is sent.
    #[must_use]
    pub fn brake(&self) -> Option<&Arc<Brake>> {
        self.brake.as_ref()
    }

    /// A link to another node of the same cluster. `bell` is rung when it cannot be reached; `replica`: it may be one.
    #[must_use]
    pub fn to_node(&self, host: &str, port: u16, replica: bool, bell: Arc<Notify>) -> Self {
        let endpoint = Endpoint {
            address: Address::Tcp {
                host: host.to_owned(),
                port,
            },
            ..Endpoint::clone(&self.endpoint)
        };
        let endpoint = Arc::new(endpoint);
        Self {
            replica,
            bell: Some(bell),
            brake: self.brake.as_ref().map(|brake| Arc::new(brake.another())),
            ..Self::new(
                endpoint,
                self.reconnects,
                self.patience,
                self.quiet_reads,
                self.stats.clone(),
            )
        }
    }

    /// The cluster has given its slots to others, or has given it some again: nobody waits for one that has none.
    pub fn retire(&self, retired: bool) {
        self.retired.send_replace(retired);
    }

    /// Whether the cluster has given its slots to others.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        *self.retired.borrow()
    }

    /// Waits until the cluster gives its slots to others: what a scan of it ends with then.
    pub async fn until_left(&self) -> RunError {
        let mut retired = self.retired.subscribe();
        // The sender is this link's own: it stays.
        let _ = retired.wait_for(|retired| *retired).await;
        self.left()
    }

    fn left(&self) -> RunError {
        RunError::Left {
            side: self.endpoint.side,
            address: self.endpoint.address.to_string(),
        }
    }

    /// Its clock minus that of its cluster's first node, where the two differ: milliseconds.
    #[must_use]
    pub fn skew(&self) -> Millis {
        self.skew.load(Ordering::Relaxed)
    }

    /// What was measured of its clock.
    pub fn set_skew(&self, skew: Millis) {
        self.skew.store(skew, Ordering::Relaxed);
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// How long a server that is away is waited for.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Opens a connection for the bulk. A server that is loading, or away for a moment, is waited for.
    pub async fn open(&self) -> Result<Connection, RunError> {
        match self.try_open().await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                self.stats.disconnected(self.endpoint.side);
                self.wait(&error.to_string()).await
            }
        }
    }

    /// Opens a connection again after one was lost.
    pub async fn reopen(&self, why: &Lost) -> Result<Connection, RunError> {
        self.stats.disconnected(self.endpoint.side);
        if !self.reconnects {
            return Err(self.unusable(&format!("{why}, and --no-auto-reconnect was given")));
        }
        self.stats.reconnected(self.endpoint.side);
        self.wait(&why.to_string()).await
    }

    /// The same, as often in a row as is allowed; `failed` counts.
    pub async fn retry(
        &self,
        why: &Lost,
        failed: &mut u32,
        limit: RetryLimit,
    ) -> Result<Connection, RunError> {
        *failed += 1;
        if !limit.allows(*failed) {
            return Err(self.unusable(&format!("{why} (tried {failed} times)")));
        }
        self.reopen(why).await
    }

    async fn wait(&self, why: &str) -> Result<Connection, RunError> {
        let _away = self.stats.away(self.endpoint.side);
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let mut why = why.to_owned();
        loop {
            if self.is_retired() {
                return Err(self.left());
            }
            if let Some(bell) = &self.bell {
                bell.notify_one();
            }
            if self.may_tell() {
                let left = self.patience.saturating_sub(start.elapsed()).as_secs();
                warn!(
                    "{} {}: {why}; connecting again, for up to {left} s",
                    self.endpoint.side, self.endpoint.address
                );
            }
            sleep(backoff.pause()).await;
            match self.try_open().await {
                Ok(connection) => {
                    info!(
                        "{} {}: connected again",
                        self.endpoint.side, self.endpoint.address
                    );
                    return Ok(connection);
                }
                Err(error) => {
                    self.stats.disconnected(self.endpoint.side);
                    why = error.to_string();
                }
            }
            if start.elapsed() > self.patience {
                let patience = self.patience.as_secs();
                return Err(self.unusable(&format!(
                    "{why}; given up after {patience} s (--reconnect-timeout): run again when it is back"
                )));
            }
        }
    }

    async fn try_open(&self) -> Result<Connection, ConnectError> {
        let mut words: Vec<&[&[u8]]> = vec![&[b"PING"], &[b"CLIENT", b"INFO"]];
        if self.quiet_reads {
            words.push(&[b"CLIENT", b"NO-TOUCH", b"ON"]);
        }
        if self.replica {
            words.push(&[b"READONLY"]);
        }
        let (mut connection, answers) = connect_and_say(&self.endpoint, &words).await?;
        if let [pong, info, ..] = answers.as_slice() {
            if let Reply::Error(error) = pong
                && !error.starts_with("NOPERM")
            {
                return Err(ConnectError::NotReady(error.clone()));
            }
            connection.identify(info);
        }
        if let Some(brake) = &self.brake {
            connection.brake(brake.clone());
        }
        Ok(connection)
    }

    /// Once a second for all lanes together.
    pub fn may_tell(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX) + 1000;
        let told = self.told.load(Ordering::Relaxed);
        now >= told + 1000
            && self
                .told
                .compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// What a run ends with when this side cannot be used.
    #[must_use]
    pub fn unusable(&self, reason: &str) -> RunError {
        RunError::Unusable {
            side: self.endpoint.side,
            address: self.endpoint.address.to_string(),
            reason: reason.to_owned(),
        }
    }
}
