//! Learns of changes at the source. It does nothing but read and mark, so that the source's output buffer never fills
//! because of riot.

mod message;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc::Sender, watch};
use tokio::time::{sleep, sleep_until};

use self::message::{Messages, Told};
use crate::changed::Changed;
use crate::entry::{Cause, Mark};
use crate::error::{ConnectError, Lost};
use crate::filter::{Filter, glob_matches};
use crate::follow::Torn;
use crate::nodes::{Node, Nodes, own_slots};
use crate::retry::Backoff;
use crate::server::{Class, Seen, Way, subscription, tracking};
use crate::slots::SlotSet;
use crate::stats::Stats;
use crate::transform::Rename;
use crate::wire::{Connection, Reply, Span, connect, run_id};

/// A connection that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(3);
/// Why nothing can be listened to is told so often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// One that does not answer is lost.
const SILENCE: Duration = Duration::from_secs(12);

/// Which keys' changes are marked, and where.
#[derive(Debug, Clone)]
pub struct Net {
    /// The set.
    pub changed: Arc<Changed>,
    /// Names at the target: they pick the shard.
    pub rename: Arc<Rename>,
    /// `--key-pattern`.
    pub pattern: Vec<u8>,
    /// What else of the selection is about names.
    pub filter: Filter,
    /// The slots of open gaps.
    pub torn: Arc<Torn>,
    /// The counters.
    pub stats: Arc<Stats>,
    /// Events by class, where they have names.
    pub seen: Arc<Seen>,
}

/// A node, by its number, and a way to listen at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Post {
    /// The node's number.
    pub node: usize,
    /// The way.
    pub way: Way,
}

/// What happens to a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It listens: the server has confirmed it.
    Listening(Post, Heard),
    /// It was lost, for this reason, and is opened again.
    Lost(Post, String),
    /// Everything that the source told before the fence was asked for is marked; the connection is closed.
    Fenced(Post),
    /// The connection was lost, or was away, when the fence was asked for.
    Unfenced(Post),
    /// The node has lost its slots: it is not listened to any more.
    Left(Post),
    /// It cannot be had again.
    Dead(Post, String),
}

/// What the server told of itself when it was listened to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The connection's CLIENT ID, where that is told.
    pub client: Option<i64>,
    /// The server's `run_id`, where INFO is allowed.
    pub server: Option<String>,
    /// In a cluster: slots that the node has, and those that are on their way to it.
    pub slots: SlotSet,
}

/// How a watch is held.
#[derive(Debug, Clone)]
pub struct Reins {
    /// What happens is told here.
    pub reports: Sender<Report>,
    /// Turns true: the end is to be fenced.
    pub fence: watch::Receiver<bool>,
    /// Changes when the connections are to be dropped: the source holds too much for them, or is another server.
    pub drops: watch::Receiver<u64>,
}

/// The stage: one way of events, on a connection of its own.
pub struct WatchStage {
    nodes: Arc<Nodes>,
    node: Arc<Node>,
    post: Post,
    net: Net,
    reins: Reins,
    reconnects: bool,
    patience: Duration,
}

/// How a connection ended.
enum Ended {
    Fenced,
    Lost(String),
}

impl WatchStage {
    /// A watch; `reconnects` and `patience`: whether and how long a source that is away is waited for.
    #[must_use]
    pub fn new(
        nodes: Arc<Nodes>,
        node: Arc<Node>,
        way: Way,
        net: Net,
        reins: Reins,
        (reconnects, patience): (bool, Duration),
    ) -> Self {
        Self {
            nodes,
            post: Post {
                node: node.number(),
                way,
            },
            node,
            net,
            reins,
            reconnects,
            patience,
        }
    }

    /// Watches until the end is fenced, or the source is away for too long.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut away: Option<Instant> = None;
        let mut told: Option<Instant> = None;
        loop {
            if *self.reins.fence.borrow() {
                return self.tell(Report::Unfenced(self.post)).await;
            }
            let mut fence = self.reins.fence.clone();
            let opened = tokio::select! {
                opened = self.open() => opened,
                _ = fence.wait_for(|fence| *fence) => continue,
            };
            let why = match opened {
                Ok((connection, heard)) => {
                    away = None;
                    backoff = Backoff::default();
                    self.tell(Report::Listening(self.post, heard)).await;
                    match self.listen(connection).await {
                        Ended::Fenced => return self.tell(Report::Fenced(self.post)).await,
                        Ended::Lost(why) => {
                            self.tell(Report::Lost(self.post, why.clone())).await;
                            if !self.reconnects {
                                let why = format!("{why}, and --no-auto-reconnect was given");
                                return self.tell(Report::Dead(self.post, why)).await;
                            }
                            why
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            if self.node.link().is_retired() {
                return self.tell(Report::Left(self.post)).await;
            }
            self.nodes.doubt();
            let since = *away.get_or_insert_with(Instant::now);
            if since.elapsed() > self.patience {
                let patience = self.patience.as_secs();
                let why = format!("{why}; given up after {patience} s (--reconnect-timeout)");
                return self.tell(Report::Dead(self.post, why)).await;
            }
            if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                told = Some(Instant::now());
                let left = self.patience.saturating_sub(since.elapsed()).as_secs();
                tracing::warn!(
                    "{}: {why}; listening again, for up to {left} s",
                    self.post.way
                );
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Nothing is read meanwhile: no connection is open then.
    async fn tell(&self, report: Report) {
        // Nobody listens any more when the run is being torn down.
        let _ = self.reins.reports.send(report).await;
    }

    /// Connects, subscribes, and waits for the confirmation.
    async fn open(&self) -> Result<(Connection, Heard), ConnectError> {
        let endpoint = self.node.link().endpoint();
        let mut connection = connect(endpoint).await?;
        let server = run_id(&mut connection).await;
        let client = match connection.request(&[b"CLIENT", b"ID"]).await? {
            Reply::Integer(client) => Some(client),
            Reply::Nil | Reply::Bytes(_) | Reply::Error(_) | Reply::Array(_) => None,
        };
        let slots = self.slots_held(&mut connection).await?;
        let words = match self.post.way {
            Way::Keyspace => vec![
                b"PSUBSCRIBE".to_vec(),
                subscription(endpoint.database, &self.net.pattern),
            ],
            Way::Tracking => tracking(&self.net.pattern),
        };
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        if let Reply::Error(error) = connection.request(&words).await? {
            return Err(ConnectError::Refused(error));
        }
        let heard = Heard {
            client,
            server,
            slots,
        };
        Ok((connection, heard))
    }

    /// The slots whose changes this node tells of, by its own word or, of a replica, its master's.
    async fn slots_held(&self, connection: &mut Connection) -> Result<SlotSet, ConnectError> {
        if !self.nodes.is_cluster() {
            return Ok(SlotSet::default());
        }
        let routes = self.nodes.routes();
        let own = routes.read_at(&self.node);
        let master = own.iter().next().and_then(|slot| routes.master(slot));
        match master.filter(|master| master.number() != self.post.node) {
            Some(master) => match connect(master.link().endpoint()).await {
                Ok(mut connection) => Ok(own_slots(&mut connection).await?.all()),
                // It may be what failed: what is known will do until another takes over.
                Err(_) => Ok(own),
            },
            None => Ok(own_slots(connection).await?.all()),
        }
    }

    async fn listen(&mut self, mut connection: Connection) -> Ended {
        let mut messages = Messages::default();
        let mut fence = self.reins.fence.clone();
        let (mut asked, mut answered) = (0_u64, 0_u64);
        // PONGs that a fence waits for.
        let mut fenced: Option<u64> = None;
        let mut heard = Instant::now();
        let mut drops = self.reins.drops.clone();
        drops.mark_unchanged();
        // What came together with the confirmation.
        if let Err(why) = self.take(&mut connection, &mut messages) {
            return Ended::Lost(why);
        }
        loop {
            let limit = SILENCE.min(connection.limit());
            let waits = answered < asked;
            let due = heard + if waits { limit } else { PING_EVERY };
            let moved = tokio::select! {
                biased;
                _ = drops.changed() => return Ended::Lost("dropped, to listen anew".into()),
                _ = fence.wait_for(|fence| *fence), if fenced.is_none() => {
                    // Tracking's messages come at the end of a turn of the server's loop: only the second answer is behind.
                    asked += 1;
                    connection.outgoing().words(&[b"PING"]);
                    fenced = Some(asked + 1);
                    None
                }
                moved = connection.drive() => Some(moved),
                () = sleep_until(due.into()) => {
                    if waits {
                        return Ended::Lost(format!("no answer to PING within {} s", limit.as_secs()));
                    }
                    asked += 1;
                    connection.outgoing().words(&[b"PING"]);
                    heard = Instant::now();
                    None
                }
            };
            match moved {
                None => continue,
                Some(Err(lost)) => return Ended::Lost(lost.to_string()),
                Some(Ok(())) => {}
            }
            match self.take(&mut connection, &mut messages) {
                Ok(Taken { any, answers }) => {
                    if any {
                        heard = Instant::now();
                    }
                    answered += answers;
                }
                Err(why) => return Ended::Lost(why),
            }
            if let Some(last) = fenced {
                if answered >= last {
                    return Ended::Fenced;
                }
                if answered + 1 == last && asked < last {
                    asked += 1;
                    connection.outgoing().words(&[b"PING"]);
                }
            }
        }
    }

    /// Takes all that has come, and marks it.
    fn take(&self, connection: &mut Connection, messages: &mut Messages) -> Result<Taken, String> {
        let mut taken = Taken::default();
        let mut events = 0;
        let mut overflowed = 0;
        let broken = |lost: Lost| lost.to_string();
        while let Some(token) = connection.token().map_err(broken)? {
            taken.any = true;
            let marked = match messages.accept(token, connection) {
                Told::Part => continue,
                Told::Pong => {
                    taken.answers += 1;
                    continue;
                }
                Told::Everything => {
                    let cause = self.net.stats.label() + "FLUSHALL or FLUSHDB at the source";
                    tracing::warn!("gap: {cause}");
                    let slots = self.nodes.routes().read_at(&self.node);
                    self.net.torn.open(&self.net.stats.live, &cause, &slots);
                    continue;
                }
                // Who may not PING has answered as well.
                Told::Refused(span) if connection.bytes(span).starts_with(b"NOPERM") => {
                    taken.answers += 1;
                    continue;
                }
                Told::Refused(span) => {
                    return Err(String::from_utf8_lossy(connection.bytes(span)).into_owned());
                }
                Told::Notification { channel, event } => {
                    self.mark_notified(connection, channel, event)
                }
                Told::Key(span) => {
                    let cause = Cause::DoubtfulEvent;
                    self.mark(connection.bytes(span), Class::Generic.rank(), cause)
                }
            };
            match marked {
                None => {}
                Some(true) => events += 1,
                Some(false) => {
                    events += 1;
                    overflowed += 1;
                }
            }
        }
        if !messages.is_amid() {
            connection.release();
        }
        if events > 0 {
            let live = &self.net.stats.live;
            live.heard(events);
            live.set_waiting(self.net.changed.len() as u64);
            if overflowed > 0 {
                live.overflowed(overflowed);
            }
        }
        Ok(taken)
    }

    fn mark_notified(&self, connection: &Connection, channel: Span, event: Span) -> Option<bool> {
        let class = Class::of(connection.bytes(event));
        self.net.seen.saw(class);
        // `__keyspace@0__:name`
        let channel = connection.bytes(channel);
        let colon = channel.iter().position(|byte| *byte == b':')?;
        let name = channel.get(colon + 1..)?;
        self.mark(name, class.rank(), Cause::Event)
    }

    /// `None`: the run does not want the key. `false`: its name found no room.
    fn mark(&self, name: &[u8], rank: u8, cause: Cause) -> Option<bool> {
        let net = &self.net;
        let wanted =
            (net.pattern == b"*" || glob_matches(&net.pattern, name)) && net.filter.wants(name);
        if !wanted {
            return None;
        }
        let mark = Mark::new(cause, net.changed.now());
        Some(net.changed.mark(name, &net.rename, rank, mark))
    }
}

#[derive(Debug, Default)]
struct Taken {
    any: bool,
    answers: u64,
}
