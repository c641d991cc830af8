//! Watches both sides' load for [`Packing`]: whether strings are worth compressing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::control::Control;
use super::cpu::used_by_all;
use crate::nodes::{Node, Nodes};
use crate::packing::{Judge, Packing};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(250);
/// A server that does not answer within this time says nothing.
const LIMIT: Duration = Duration::from_secs(2);

/// A server that is looked at.
struct Watched {
    control: Control,
    /// Seconds of CPU that it has used, and when that was.
    used: Option<(f64, Instant)>,
}

/// Decides about the strings' form until the run is over: on while `scans`, and else as it was decided. Never ends.
pub async fn keep_packing(
    packing: Arc<Packing>,
    (source, target): (Arc<Nodes>, Arc<Nodes>),
    scans: impl Fn() -> bool,
) {
    let mut judge = Judge::default();
    let mut sides = [HashMap::new(), HashMap::new()];
    let mut last = Instant::now();
    loop {
        sleep(LOOK).await;
        let [reads, writes] = &mut sides;
        let source = busiest(&source.routes().readers(), reads).await;
        let target = busiest(&target.routes().masters(), writes).await;
        let busy = source.into_iter().chain(target).reduce(f64::max);
        let busy = busy.filter(|_| scans());
        let seconds = last.elapsed().as_secs_f64();
        last = Instant::now();
        judge.look(&packing, busy, seconds);
    }
}

/// The share of a core that the busiest of these was busy for since the last look; `None` where none says.
async fn busiest(nodes: &[Arc<Node>], known: &mut HashMap<usize, Watched>) -> Option<f64> {
    known.retain(|number, _| nodes.iter().any(|node| node.number() == *number));
    let mut most: Option<f64> = None;
    for node in nodes {
        match timeout(LIMIT, busy(node, known)).await {
            Ok(Some(share)) => most = Some(most.map_or(share, |most| most.max(share))),
            Ok(None) => {}
            Err(_) => {
                debug!("{}: its load is not known now", node.address());
                known.remove(&node.number());
            }
        }
    }
    most
}

async fn busy(node: &Node, known: &mut HashMap<usize, Watched>) -> Option<f64> {
    let watched = match known.remove(&node.number()) {
        Some(watched) => watched,
        None => Watched {
            control: Control::open(node.link().endpoint()).await.ok()?,
            used: None,
        },
    };
    let Watched {
        mut control,
        used: before,
    } = watched;
    let all = used_by_all(&mut control).await.ok()?;
    let now = all.map(|all| (all, Instant::now()));
    known.insert(node.number(), Watched { control, used: now });
    let ((all, at), (then, since)) = now.zip(before)?;
    Some((all - then).max(0.0) / (at - since).as_secs_f64().max(1e-3))
}
