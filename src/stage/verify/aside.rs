//! Looks at doubts by the commands of their types: on connections of its own while the lane goes on, or on the lane's while
//! nothing is in flight there.

use std::pin::Pin;
use std::sync::Arc;

use super::Terms;
use crate::config::Side;
use crate::entry::Millis;
use crate::error::RunError;
use crate::stage::Context;
use crate::types::{self, Doubt, Verdict};
use crate::wire::{Connection, Link};

/// The source's connection, and the target's.
pub(super) type Ends = (Connection, Connection);

/// What is known of doubts now, in their order, and the connections for the next ones.
pub(super) type Looked = Result<(Vec<Verdict>, Ends), RunError>;

/// Doubts that are looked at while the lane goes on.
pub(super) struct Aside {
    ends: Option<Ends>,
    doubts: Arc<Vec<Doubt>>,
    running: Option<Pin<Box<dyn Future<Output = Looked> + Send>>>,
}

/// What a look stands on.
pub(super) struct Looks {
    pub(super) context: Arc<Context>,
    pub(super) terms: Terms,
    /// The source's, and the target's.
    pub(super) links: (Arc<Link>, Arc<Link>),
}

impl Aside {
    /// Nothing is looked at yet.
    pub(super) fn new() -> Self {
        Self {
            ends: None,
            doubts: Arc::default(),
            running: None,
        }
    }

    /// Whether doubts are looked at.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Begins to look at these.
    pub(super) fn start(&mut self, doubts: Vec<Doubt>, looks: Arc<Looks>) {
        self.doubts = Arc::new(doubts);
        let (doubts, ends) = (self.doubts.clone(), self.ends.take());
        self.running = Some(Box::pin(async move {
            let ends = match ends {
                Some(ends) => ends,
                None => (looks.links.0.open().await?, looks.links.1.open().await?),
            };
            looks.look(ends, &doubts).await
        }));
    }

    /// The end of what is looked at. Where it is dropped before, the look goes on at the next call.
    pub(super) async fn ended(&mut self) -> Result<Vec<Verdict>, RunError> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let looked = running.await;
        self.running = None;
        let (verdicts, ends) = looked?;
        self.ends = Some(ends);
        Ok(verdicts)
    }

    /// What was looked at last, or is.
    pub(super) fn take_doubts(&mut self) -> Vec<Doubt> {
        self.running = None;
        let doubts = std::mem::take(&mut self.doubts);
        Arc::try_unwrap(doubts).unwrap_or_else(|shared| shared.to_vec())
    }
}

impl Looks {
    /// Looks at doubts until all have their verdicts; a connection that is lost is opened again.
    pub(super) async fn look(&self, ends: Ends, doubts: &[Doubt]) -> Looked {
        let (mut source, mut target) = ends;
        let (retry, terms) = (self.context.flow.read_retry, &self.terms.values);
        let budget = usize::try_from(self.context.flow.memory_budget).unwrap_or(usize::MAX);
        let mut failed = 0;
        loop {
            let skew: Millis = self.links.1.skew() - self.links.0.skew();
            let shift: Millis = self.context.clocks.shift() + skew;
            let compared =
                types::compare(&mut source, &mut target, doubts, terms, shift, budget).await;
            let (side, lost) = match compared {
                Ok(verdicts) => return Ok((verdicts, (source, target))),
                Err(lost) => lost,
            };
            let (link, end) = match side {
                Side::Source => (&self.links.0, &mut source),
                Side::Target => (&self.links.1, &mut target),
            };
            *end = link.retry(&lost, &mut failed, retry).await?;
        }
    }
}
