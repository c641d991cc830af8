//! The servers of one side: one, or a cluster's nodes, and which of them has which slot.

mod look;
mod node;
mod routes;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use self::look::{LIMIT, race, round_trip};
use self::node::NOBODY;
pub use self::node::Node;
pub use self::routes::Routes;
pub use self::view::own_slots;
use self::view::{Place, View};
use crate::config::{ReadFrom, Side};
use crate::error::RunError;
use crate::slots::SlotSet;
use crate::stats::Stats;
use crate::wire::{Connection, Link, connect};

/// Nodes that are asked at once for their view.
const ASKED: usize = 5;
/// Two looks at the cluster are this far apart at least.
const REST: Duration = Duration::from_millis(100);

/// The servers of one side.
#[derive(Debug)]
pub struct Nodes {
    seed: Arc<Link>,
    is_cluster: bool,
    read_from: ReadFrom,
    stats: Arc<Stats>,
    known: Mutex<Known>,
    version: watch::Sender<u64>,
    bell: Arc<Notify>,
    /// Open connections that are asked for views, by node; and when they were asked last.
    asked: tokio::sync::Mutex<(HashMap<usize, Connection>, Option<Instant>)>,
}

#[derive(Debug)]
struct Known {
    routes: Arc<Routes>,
    nodes: Vec<Arc<Node>>,
    places: HashMap<Place, usize>,
    /// Nodes that had slots.
    used: Vec<bool>,
}

/// Where a redirection leads.
#[derive(Debug, Clone)]
pub enum Redirect {
    /// MOVED: the slot lives elsewhere, and the routes know it now.
    Moved,
    /// ASK: this key alone is to be asked for there.
    Ask(Arc<Node>),
    /// The cluster cannot answer for now: CLUSTERDOWN, TRYAGAIN.
    Wait,
}

impl Nodes {
    /// A single server.
    #[must_use]
    pub fn single(link: Arc<Link>, stats: Arc<Stats>) -> Self {
        let node = Arc::new(Node::new(0, link.clone()));
        let routes = Routes::single(node.clone());
        Self::new(link, false, ReadFrom::Upstream, stats, routes, vec![node])
    }

    /// A cluster that is reached by `seed`; [`Nodes::refresh`] finds its nodes.
    #[must_use]
    pub fn cluster(seed: Arc<Link>, stats: Arc<Stats>) -> Self {
        let read_from = seed.endpoint().read_from;
        Self::new(seed, true, read_from, stats, Routes::unknown(), Vec::new())
    }

    fn new(
        seed: Arc<Link>,
        is_cluster: bool,
        read_from: ReadFrom,
        stats: Arc<Stats>,
        routes: Routes,
        nodes: Vec<Arc<Node>>,
    ) -> Self {
        Self {
            seed,
            is_cluster,
            read_from,
            stats,
            known: Mutex::new(Known {
                routes: Arc::new(routes),
                used: vec![true; nodes.len()],
                nodes,
                places: HashMap::new(),
            }),
            version: watch::Sender::new(0),
            bell: Arc::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// Whether it is a cluster.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// Source or target.
    #[must_use]
    pub fn side(&self) -> Side {
        self.seed.endpoint().side
    }

    /// The server that was named.
    #[must_use]
    pub fn seed(&self) -> &Arc<Link> {
        &self.seed
    }

    /// What is known now.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        self.lock().routes.clone()
    }

    /// Changes with what is known.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Tells of each change of what is known.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What a run ends with when this side cannot be used.
    #[must_use]
    pub fn unusable(&self, reason: &str) -> RunError {
        self.seed.unusable(reason)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic while the lock was held leaves data that is whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do about a reply of the class `Moved`, which `from` gave.
    pub fn redirect(&self, reply: &str, from: &Node) -> Redirect {
        let mut words = reply.split_ascii_whitespace();
        let (kind, slot, place) = (words.next(), words.next(), words.next());
        let slot = slot.and_then(|slot| slot.parse::<u16>().ok());
        let place = place.and_then(|place| view::parse_place(place, from.link().endpoint()));
        match (kind, slot, place) {
            (Some("MOVED"), Some(slot), Some(place)) => {
                self.stats.redirected(self.side(), 1);
                self.bell.notify_one();
                let mut known = self.lock();
                let node = known.node(&place, &self.seed, self.read_from, &self.bell);
                let mut routes = Routes::clone(&known.routes);
                if routes.moved(slot, &node) {
                    known.install(routes, &self.version);
                }
                Redirect::Moved
            }
            (Some("ASK"), Some(_), Some(place)) => {
                self.stats.redirected(self.side(), 1);
                let mut known = self.lock();
                Redirect::Ask(known.node(&place, &self.seed, self.read_from, &self.bell))
            }
            _ => {
                self.bell.notify_one();
                Redirect::Wait
            }
        }
    }

    /// Finds the nodes for the first time, and where it is wished measures how far each is before one of a shard is chosen.
    pub async fn find(self: &Arc<Self>) -> Result<(), String> {
        self.refresh().await?;
        if self.read_from == ReadFrom::Upstream {
            return Ok(());
        }
        let nodes = self.lock().nodes.clone();
        let mut looks = JoinSet::new();
        for node in nodes {
            looks.spawn(async move {
                let endpoint = node.link().endpoint().clone();
                let took = timeout(LIMIT, round_trip(&endpoint)).await;
                node.measured(took.ok().flatten());
            });
        }
        while looks.join_next().await.is_some() {}
        {
            let mut known = self.lock();
            let mut routes = Routes::clone(&known.routes);
            routes.forget();
            known.routes = Arc::new(routes);
        }
        self.refresh().await
    }

    /// Asks the cluster for its slots. The words of an error say why nobody told.
    pub async fn refresh(self: &Arc<Self>) -> Result<(), String> {
        if !self.is_cluster {
            return Ok(());
        }
        let nodes = self.clone();
        let wished = Instant::now();
        // A task of its own: whoever waits for it may be held still, and others wait for the same.
        let mut task = JoinSet::new();
        task.spawn(async move { nodes.look(wished).await });
        match task.join_next().await {
            Some(Ok(looked)) => looked,
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(()),
        }
    }

    async fn look(&self, wished: Instant) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if let Some(last) = asked.1 {
            if last > wished {
                // Somebody asked after this was wished for.
                return Ok(());
            }
            sleep((last + REST).saturating_duration_since(Instant::now())).await;
        }
        let began = Instant::now();
        let view = self.best_view(&mut asked.0).await?;
        // Taken before anybody else may believe that it was.
        self.take(&view);
        asked.1 = Some(began);
        Ok(())
    }

    fn take(&self, view: &View) {
        let mut known = self.lock();
        for (alias, place) in &view.aliases {
            let node = known.node(place, &self.seed, self.read_from, &self.bell);
            known.places.insert(alias.clone(), node.number());
        }
        let mut routes = Routes::clone(&known.routes);
        let changed = routes.learn(view, self.read_from, |place| {
            known.node(place, &self.seed, self.read_from, &self.bell)
        });
        if changed {
            known.install(routes, &self.version);
        }
    }

    /// The newest of the views that a few nodes have.
    async fn best_view(&self, kept: &mut HashMap<usize, Connection>) -> Result<View, String> {
        let routes = self.routes();
        let mut order = routes.masters();
        order.sort_by_key(|node| !kept.contains_key(&node.number()));
        let mut why = String::from("no node of it is known");
        let groups: Vec<Vec<Arc<Node>>> = order.chunks(ASKED).map(<[_]>::to_vec).collect();
        for group in groups {
            match race(group, kept).await {
                Ok(view) => return Ok(view),
                Err(error) => why = error,
            }
        }
        // Any node will do: replicas, and those that were nodes once.
        let all: Vec<Arc<Node>> = self.lock().nodes.clone();
        if !all.is_empty()
            && let Ok(view) = race(all, kept).await
        {
            return Ok(view);
        }
        let seed = Arc::new(Node::new(NOBODY, self.seed.clone()));
        race(vec![seed], kept).await.map_err(|error| {
            if self.lock().nodes.is_empty() {
                error
            } else {
                why
            }
        })
    }

    /// Slots that are on their way from one node to another, by the word of those that they come to. Nodes that do not
    /// answer tell of none.
    pub async fn coming(&self) -> SlotSet {
        let routes = self.routes();
        let mut asked = JoinSet::new();
        for node in routes.masters().iter().chain(routes.idle()) {
            let node = node.clone();
            asked.spawn(timeout(LIMIT, async move {
                let mut connection = connect(node.link().endpoint()).await.ok()?;
                own_slots(&mut connection).await.ok()
            }));
        }
        let mut coming = SlotSet::default();
        while let Some(joined) = asked.join_next().await {
            if let Ok(Ok(Some(own))) = joined {
                coming.extend(&own.coming);
            }
        }
        coming
    }

    /// Keeps what is known fresh: every `period`, and whenever something speaks against it. Never ends.
    pub async fn keep(self: &Arc<Self>, period: Duration) {
        if !self.is_cluster {
            return std::future::pending().await;
        }
        loop {
            tokio::select! {
                () = sleep(period) => {}
                () = self.bell.notified() => {}
            }
            if let Err(why) = self.refresh().await {
                debug!(
                    "{}: its slots are not told: {why}",
                    self.seed.endpoint().address
                );
                sleep(REST).await;
            }
        }
    }

    /// Something speaks against what is known.
    pub fn doubt(&self) {
        self.bell.notify_one();
    }
}

impl Known {
    /// The node at a place, which may be new.
    fn node(
        &mut self,
        place: &Place,
        seed: &Link,
        read_from: ReadFrom,
        bell: &Arc<Notify>,
    ) -> Arc<Node> {
        if let Some(node) = self
            .places
            .get(place)
            .and_then(|number| self.nodes.get(*number))
        {
            return node.clone();
        }
        let replica = read_from != ReadFrom::Upstream;
        let link = seed.to_node(&place.0, place.1, replica, bell.clone());
        let node = Arc::new(Node::new(self.nodes.len(), Arc::new(link)));
        self.places.insert(place.clone(), node.number());
        self.nodes.push(node.clone());
        self.used.push(false);
        node
    }

    /// These are the routes now: nodes that have lost all their slots are waited for no more.
    fn install(&mut self, mut routes: Routes, version: &watch::Sender<u64>) {
        for node in self.nodes.iter().skip(routes.known()) {
            routes.add(node.clone());
        }
        let in_use = routes.in_use();
        for (number, node) in self.nodes.iter().enumerate() {
            let now = in_use.contains(&number);
            if let Some(used) = self.used.get_mut(number) {
                *used |= now;
                node.link().retire(*used && !now);
            }
        }
        let number = routes.version();
        self.routes = Arc::new(routes);
        version.send_replace(number);
    }
}

#[cfg(test)]
mod tests;
