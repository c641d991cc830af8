//! Asking nodes what they know of their cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::node::{NOBODY, Node};
use super::view::{self, View};
use crate::config::Endpoint;
use crate::wire::{Connection, connect};

/// After the first view, the others may take this long.
const GRACE: Duration = Duration::from_millis(100);
/// One node's view may take this long.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Asks these nodes at once; the newest view of those that come in time counts.
pub(super) async fn race(
    nodes: Vec<Arc<Node>>,
    kept: &mut HashMap<usize, Connection>,
) -> Result<View, String> {
    let mut questions = JoinSet::new();
    for node in nodes {
        let connection = kept.remove(&node.number());
        questions.spawn(async move {
            let endpoint = node.link().endpoint().clone();
            let asked = timeout(LIMIT, ask(connection, &endpoint)).await;
            let answer = asked.unwrap_or_else(|_| {
                Err(format!(
                    "{}: no answer within {} s",
                    endpoint.address,
                    LIMIT.as_secs()
                ))
            });
            (node.number(), answer)
        });
    }
    let mut best: Option<View> = None;
    let mut why = String::from("no node was asked");
    let mut until: Option<Instant> = None;
    loop {
        let joined = match until {
            None => questions.join_next().await,
            Some(until) => match tokio::time::timeout_at(until, questions.join_next()).await {
                Ok(joined) => joined,
                Err(_) => break,
            },
        };
        match joined {
            None => break,
            Some(Err(error)) => why = error.to_string(),
            Some(Ok((_, Err(error)))) => why = error,
            Some(Ok((number, Ok((view, connection))))) => {
                if number != NOBODY {
                    kept.insert(number, connection);
                }
                until.get_or_insert_with(|| Instant::now() + GRACE);
                let newer = |best: &View| (view.is_ok, view.epoch) > (best.is_ok, best.epoch);
                if !view.ranges.is_empty() && best.as_ref().is_none_or(newer) {
                    best = Some(view);
                } else if view.ranges.is_empty() {
                    why = "it has no slots yet".into();
                }
            }
        }
    }
    best.ok_or(why)
}

/// The shortest of a few PINGs; `None`: it does not answer.
pub(super) async fn round_trip(endpoint: &Endpoint) -> Option<Duration> {
    let mut connection = connect(endpoint).await.ok()?;
    let mut shortest: Option<Duration> = None;
    for _ in 0..3 {
        let began = Instant::now();
        connection.request(&[b"PING"]).await.ok()?;
        let took = began.elapsed();
        shortest = Some(shortest.map_or(took, |shortest| shortest.min(took)));
    }
    shortest
}

async fn ask(
    connection: Option<Connection>,
    endpoint: &Endpoint,
) -> Result<(View, Connection), String> {
    if let Some(mut connection) = connection
        && let Ok(view) = view::ask(&mut connection, endpoint).await
    {
        return Ok((view, connection));
    }
    let told = |error: crate::error::ConnectError| format!("{}: {error}", endpoint.address);
    let mut connection = connect(endpoint).await.map_err(told)?;
    let view = view::ask(&mut connection, endpoint).await.map_err(told)?;
    Ok((view, connection))
}
