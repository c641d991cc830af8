//! Where a live run listens: every node that is read, in each of the ways.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use crate::nodes::{Node, Routes};
use crate::server::{Seen, Way};
use crate::slots::SlotSet;
use crate::stage::watch::{Heard, Post};

/// For so long after a node was listened to for the first time, a slot that turns out to be its own may have come before.
const UNSURE: Duration = Duration::from_secs(3);

/// A node that is listened to, and what its watch knows of it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) node: Arc<Node>,
    /// Notifications by class.
    pub(super) seen: Arc<Seen>,
    /// CLIENT IDs of the event connections.
    pub(super) clients: Arc<Mutex<Vec<i64>>>,
}

/// The nodes that are listened to, shared with the watch over them.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Vec<Place>>>);

impl Places {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> Vec<Place> {
        self.lock().clone()
    }

    /// Places for these nodes.
    pub(super) fn of(nodes: &[Arc<Node>]) -> Self {
        let places = Self::default();
        for node in nodes {
            places.at(node);
        }
        places
    }

    /// The place of a node, which may be new.
    fn at(&self, node: &Arc<Node>) -> Place {
        let mut places = self.lock();
        if let Some(place) = find(&places, node.number()) {
            return place.clone();
        }
        let place = Place {
            node: node.clone(),
            seen: Arc::default(),
            clients: Arc::default(),
        };
        places.push(place.clone());
        place
    }

    /// The node of this number.
    pub(super) fn node(&self, number: usize) -> Option<Arc<Node>> {
        find(&self.lock(), number).map(|place| place.node.clone())
    }

    /// Nodes that are not read any more are not watched.
    fn retain(&self, nodes: &[Arc<Node>]) {
        let is_read = |place: &Place| {
            nodes
                .iter()
                .any(|node| node.number() == place.node.number())
        };
        self.lock().retain(is_read);
    }

    fn set_clients(&self, number: usize, ids: Vec<i64>) {
        if let Some(place) = find(&self.lock(), number) {
            *place.clients.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        }
    }
}

fn find(places: &[Place], number: usize) -> Option<&Place> {
    places.iter().find(|place| place.node.number() == number)
}

/// What is known of one post.
#[derive(Debug, Clone, Default)]
struct State {
    listening: bool,
    client: Option<i64>,
    /// It was taken up while the run went on: its node's changes before it listened were missed.
    late: bool,
    /// Until then a slot that turns out to be the node's may have come before it was listened to.
    unsure_until: Option<Instant>,
}

/// All posts of a run.
#[derive(Debug, Default)]
pub(super) struct Posts {
    states: HashMap<Post, State>,
    /// Nodes that are read.
    readers: Vec<Arc<Node>>,
    /// The slots that each of them was read for, as long as it had any.
    slots: HashMap<usize, SlotSet>,
    /// Versions of what is known of the source and of the target.
    versions: (u64, u64),
}

impl Posts {
    /// Whether every node that is read is listened to in all these ways.
    pub(super) fn are_listening(&self, ways: &[Way]) -> bool {
        self.expected(ways)
            .iter()
            .all(|post| self.states.get(post).is_some_and(|state| state.listening))
    }

    /// The posts that must be heard.
    pub(super) fn expected(&self, ways: &[Way]) -> Vec<Post> {
        let posts = self.readers.iter().flat_map(|node| {
            let node = node.number();
            ways.iter().map(move |way| Post { node, way: *way })
        });
        posts.collect()
    }

    /// Whether a post must be heard.
    pub(super) fn expects(&self, post: Post, ways: &[Way]) -> bool {
        ways.contains(&post.way)
            && self
                .readers
                .iter()
                .any(|reader| reader.number() == post.node)
    }

    fn clients(&self, node: usize) -> Vec<i64> {
        let own = self.states.iter().filter(|(post, _)| post.node == node);
        own.filter_map(|(_, state)| state.client).collect()
    }
}

impl Run<'_> {
    /// Listens to every node that is read, in every way, where that is not done yet.
    pub(super) fn take_up_posts(&mut self, late: bool) {
        let routes = self.session.source.routes();
        self.posts.readers = routes.readers();
        self.places.retain(&self.posts.readers);
        for node in &self.posts.readers {
            let slots = routes.read_at(node);
            self.posts.slots.insert(node.number(), slots);
        }
        let places: Vec<Place> = self
            .posts
            .readers
            .iter()
            .map(|node| self.places.at(node))
            .collect();
        for place in places {
            for way in &self.ways {
                let post = Post {
                    node: place.node.number(),
                    way: *way,
                };
                self.posts.states.entry(post).or_insert_with(|| {
                    self.ears.listen(&place, *way);
                    State {
                        late,
                        ..State::default()
                    }
                });
            }
        }
    }

    /// What is known of the clusters now is what the run stands on.
    pub(super) fn learn_versions(&mut self) {
        self.posts.versions = (
            self.session.source.routes().version(),
            self.session.target.routes().version(),
        );
    }

    /// A post listens.
    pub(super) fn listens(&mut self, post: Post, heard: Heard) {
        let is_cluster = self.session.source.is_cluster();
        if !is_cluster {
            self.follow.listens_at(heard.server);
        }
        let state = self.posts.states.entry(post).or_default();
        state.listening = true;
        state.client = heard.client;
        let late = std::mem::take(&mut state.late);
        if late && is_cluster {
            state.unsure_until = Some(Instant::now() + UNSURE);
        }
        self.places
            .set_clients(post.node, self.posts.clients(post.node));
        if late
            && is_cluster
            && let Some(node) = self.places.node(post.node)
        {
            let mut slots = self.session.source.routes().read_at(&node);
            slots.extend(&heard.slots);
            if !slots.is_empty() && !self.follow.torn.covers(&slots) {
                let cause = format!("{} was not listened to before", node.address());
                self.gap(&cause, &slots);
            }
        }
    }

    /// A post does not listen any more. `true`: it was to.
    pub(super) fn falls_silent(&mut self, post: Post) -> bool {
        let is_cluster = self.session.source.is_cluster();
        if let Some(state) = self.posts.states.get_mut(&post) {
            state.listening = false;
            state.client = None;
            // Slots may come to the node before it is listened to again.
            state.late = is_cluster;
        }
        self.places
            .set_clients(post.node, self.posts.clients(post.node));
        self.posts.expects(post, &self.ways)
    }

    /// A node has lost its slots, and is not listened to any more.
    pub(super) fn leaves(&mut self, post: Post) {
        self.posts.states.remove(&post);
        if self.posts.expects(post, &self.ways) {
            // It has got some again meanwhile.
            self.take_up_posts(true);
        }
    }

    /// Slots that events at a node tell of, and those that it had last; all of them where nobody knows.
    pub(super) fn slots_of(&self, node: usize) -> SlotSet {
        if !self.session.source.is_cluster() {
            return SlotSet::all();
        }
        let now = self.session.source.routes().read_at_number(node);
        let mut slots = match self.posts.slots.get(&node) {
            Some(before) => before.clone(),
            None if now.is_empty() => return SlotSet::all(),
            None => SlotSet::default(),
        };
        slots.extend(&now);
        slots
    }

    /// Looks whether slots have other nodes now, at the source and at the target.
    pub(super) fn follow_clusters(&mut self) {
        let (source, target) = (self.session.source.routes(), self.session.target.routes());
        let before = self.posts.versions;
        self.posts.versions = (source.version(), target.version());
        if source.version() != before.0 {
            self.follow_source(&source, before.0);
        }
        if target.version() != before.1 {
            let slots = target.failed_over_since(before.1);
            if !slots.is_empty() {
                let cause = "a failover at the target: what it had confirmed may be lost";
                let slots = self.session.source_slots(&slots);
                self.gap(cause, &slots);
            }
        }
    }

    fn follow_source(&mut self, routes: &Routes, before: u64) {
        self.take_up_posts(true);
        let failed = routes.failed_over_since(before);
        if !failed.is_empty() && !self.follow.torn.covers(&failed) {
            self.gap("a failover at the source", &failed);
        }
        // Slots that came to a node that has only just been listened to may have come before that.
        let now = Instant::now();
        let changed = routes.changed_since(before);
        let mut unsure = SlotSet::default();
        for node in &self.posts.readers {
            let own = |post: &Post| post.node == node.number();
            let is_unsure = self.posts.states.iter().any(|(post, state)| {
                own(post) && state.unsure_until.is_some_and(|until| until > now)
            });
            if is_unsure {
                unsure.extend(&routes.read_at(node));
            }
        }
        unsure.retain(&changed);
        if !unsure.is_empty() && !self.follow.torn.covers(&unsure) {
            self.gap(
                "slots came to a node that was not listened to before",
                &unsure,
            );
        }
    }
}
