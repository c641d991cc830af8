//! Reaching a side: one server, or all nodes of a cluster, each tried before anything is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::config::{Endpoint, Flow, ReadFrom, Side};
use crate::error::RunError;
use crate::nodes::{Node, Nodes, Routes};
use crate::retry::Backoff;
use crate::server::{Needs, Profile, probe};
use crate::stats::Stats;
use crate::wire::{Brake, Link};

/// How long a replica is waited for where one must be read.
const REPLICAS: Duration = Duration::from_secs(5);

/// One side as it was found.
pub(crate) struct Found {
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) profile: Profile,
    /// Each server's own name for its process, where it is told.
    pub(crate) run_ids: Vec<String>,
}

/// Reaches a side, and tries what the run will ask of it. What is sent there waits at the brake.
pub(crate) async fn reach(
    endpoint: &Endpoint,
    needs: Needs,
    flow: &Flow,
    stats: &Arc<Stats>,
    brake: Option<Arc<Brake>>,
) -> Result<Found, RunError> {
    let profile = probe(endpoint, needs, flow.reconnect_timeout, None).await?;
    let link = Link::new(
        Arc::new(endpoint.clone()),
        flow.reconnect,
        flow.reconnect_timeout,
        profile.no_touch,
        stats.clone(),
    );
    let link = Arc::new(link.braked(brake));
    let side = endpoint.side;
    if !profile.is_cluster {
        if endpoint.cluster {
            return Err(link.unusable(&format!(
                "it is no cluster: leave --{side}-cluster out (a proxy, as Redis Enterprise has, looks like one server)"
            )));
        }
        if endpoint.read_from != ReadFrom::Upstream {
            warn!("--{side}-read-from: it is no cluster, and is read itself");
        }
        let nodes = Nodes::single(link, stats.clone());
        if let (Some(node), Some(evicted)) = (nodes.routes().master(0), profile.evicted_keys) {
            node.evicts_from(evicted);
        }
        return Ok(Found {
            nodes: Arc::new(nodes),
            run_ids: profile.run_id.iter().cloned().collect(),
            profile,
        });
    }
    if endpoint.database != 0 {
        return Err(link.unusable(&format!(
            "it is a cluster, which has database 0 alone: leave --{side}-db {} out",
            endpoint.database
        )));
    }
    let nodes = Arc::new(Nodes::cluster(link, stats.clone()));
    find(&nodes, flow).await?;
    let needs = Needs {
        cluster: true,
        replica: endpoint.read_from != ReadFrom::Upstream,
        ..needs
    };
    let (profile, run_ids) = probe_nodes(&nodes, needs, flow).await?;
    Ok(Found {
        nodes,
        profile,
        run_ids,
    })
}

/// Waits until the cluster tells where all its slots are.
async fn find(nodes: &Arc<Nodes>, flow: &Flow) -> Result<(), RunError> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let why = match nodes.find().await {
            Ok(()) => {
                let unserved = nodes.routes().unserved();
                if unserved.is_empty() {
                    break;
                }
                format!(
                    "{} of its 16384 slots have no node: redis-cli --cluster check tells more",
                    unserved.len()
                )
            }
            // Who may not ask now may not ask later.
            Err(why) if why.contains("NOPERM") => {
                return Err(
                    nodes.unusable(&format!("{why} (ACL rules +cluster|slots +cluster|info)"))
                );
            }
            Err(why) => why,
        };
        if began.elapsed() >= flow.reconnect_timeout {
            return Err(nodes.unusable(&format!(
                "{why}; given up after {} s (--reconnect-timeout)",
                flow.reconnect_timeout.as_secs()
            )));
        }
        if nodes.seed().may_tell() {
            warn!(
                "{} {}: {why}; asking again",
                nodes.side(),
                nodes.seed().endpoint().address
            );
        }
        sleep(backoff.pause()).await;
    }
    let read_from = nodes.seed().endpoint().read_from;
    if matches!(read_from, ReadFrom::Replica | ReadFrom::AnyReplica) {
        wait_for_replicas(nodes).await?;
    }
    Ok(())
}

/// Waits until each shard has a replica: a node leaves those out that it has not heard of for a moment.
async fn wait_for_replicas(nodes: &Arc<Nodes>) -> Result<(), RunError> {
    let began = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let routes = nodes.routes();
        let lonely = (0..crate::slots::SLOTS).find(|slot| !routes.reads_replica(*slot));
        let Some(slot) = lonely else {
            return Ok(());
        };
        if began.elapsed() >= REPLICAS {
            let master = routes.master(slot).map(|node| node.address());
            return Err(nodes.unusable(&format!(
                "the shard of {} has no replica to read from: --{}-read-from replica_preferred reads its master",
                master.unwrap_or_default(),
                nodes.side()
            )));
        }
        sleep(backoff.pause()).await;
        if let Err(why) = nodes.find().await {
            tracing::debug!("{}: {why}", nodes.side());
        }
    }
}

/// The nodes that the run will speak to.
pub(crate) fn used(nodes: &Nodes, routes: &Routes) -> Vec<Arc<Node>> {
    match nodes.side() {
        Side::Source => routes.readers(),
        Side::Target => routes.masters(),
    }
}

/// Tries every node that the run will speak to: rights are each node's own.
async fn probe_nodes(
    nodes: &Nodes,
    needs: Needs,
    flow: &Flow,
) -> Result<(Profile, Vec<String>), RunError> {
    let routes = nodes.routes();
    let mut probes = JoinSet::new();
    for (place, node) in used(nodes, &routes).into_iter().enumerate() {
        let slots = match nodes.side() {
            Side::Source => routes.read_at(&node),
            Side::Target => routes.written_at(&node),
        };
        let slot = slots.iter().next();
        let patience = flow.reconnect_timeout;
        probes.spawn(async move {
            let profile = probe(node.link().endpoint(), needs, patience, slot).await;
            (place, node, profile)
        });
    }
    let mut found = Vec::new();
    while let Some(joined) = probes.join_next().await {
        let (place, node, profile) =
            joined.map_err(|error| RunError::Internal(format!("a probe panicked: {error}")))?;
        found.push((place, node, profile?));
    }
    found.sort_by_key(|(place, ..)| *place);
    let run_ids = found
        .iter()
        .filter_map(|(_, _, profile)| profile.run_id.clone())
        .collect();
    let masters = routes.masters().len();
    let first = found
        .first()
        .and_then(|(_, _, profile)| profile.clock_offset);
    let mut whole: Option<Profile> = None;
    for (_, node, profile) in found {
        if let Some(evicted) = profile.evicted_keys {
            node.evicts_from(evicted);
        }
        if let (Some(first), Some(own)) = (first, profile.clock_offset) {
            let skew = own.ahead_of(first);
            node.link().set_skew(skew);
            if skew != 0 {
                warn!(
                    "{} {}: its clock is {skew} ms ahead of the first node's: expiries are corrected for it",
                    nodes.side(),
                    node.address()
                );
            }
        }
        whole = Some(match whole {
            None => profile,
            Some(whole) => whole.and(profile),
        });
    }
    let mut whole = whole.ok_or_else(|| nodes.unusable("its cluster has no nodes"))?;
    let number = match masters {
        1 => "1 master".to_owned(),
        many => format!("{many} masters"),
    };
    let read = if used(nodes, &routes).iter().any(|node| {
        let master = routes.masters();
        !master.iter().any(|master| master.number() == node.number())
    }) {
        ", replicas are read"
    } else {
        ""
    };
    let tls = if nodes.seed().endpoint().tls.is_some() {
        ", TLS"
    } else {
        ""
    };
    whole.description = format!("{}, cluster of {number}{read}{tls}", whole.product());
    // No process stands for all of them.
    whole.run_id = None;
    Ok((whole, run_ids))
}
