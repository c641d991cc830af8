//! Reads values and expiries of one instant, in the order of the lane; what was read leaves in the order of its answers.
//!
//! The order of answers is the order in which the source was read. A guess that was wrong, a batch that a lost connection
//! took, a key that is tried again: all are read again and leave with their new answer, so an older value never follows
//! a newer one of the same key. In a cluster a lane has a connection to each node that has slots of its own, mostly one;
//! before a slot is read at another node, all that is in flight has its answer.

mod pipe;
mod recover;
mod settle;
mod weigh;

use std::num::NonZeroU64;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::pipe::ReadPipe;
use super::Context;
use super::pipes::{Home, any_moved};
use crate::clock;
use crate::config::Side;
use crate::deal::Inlets;
use crate::entry::{Entry, Key, Parcel};
use crate::error::{Lost, RunError};
use crate::nodes::{Node, Routes};
use crate::queue::Receiver;
pub use crate::reading::Dialect;
use crate::reading::{
    Answer, BATCH_BYTES, BATCH_KEYS, Batch, LONG, LONG_EXTRA, Limits, Road, Waiting, batch_keys,
};
use crate::retry::Backoff;
use crate::shape::Shapes;
use crate::stats::Wait;
use crate::transform::Rename;
use crate::window::{self, Window};

/// How often in a row keys are sent to another node without a pause.
const MOST_MOVES: u32 = 4;

/// Keys that are looked at before they are read.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Types to take; empty takes all.
    pub kinds: Vec<String>,
    /// SCAN has looked at the type already: of keys that events name alone it is asked.
    pub scan_knows_kind: bool,
    /// Bytes of MEMORY USAGE over which a key is skipped.
    pub memory_limit: Option<NonZeroU64>,
    /// Bytes of MEMORY USAGE over which a key is copied in chunks, by the commands of its type.
    pub big_key: Option<NonZeroU64>,
    /// Over a long way each step is a round trip: a lane's first keys are read while the others are looked at.
    pub scouts: bool,
}

impl Inspection {
    /// Whether keys of this type are taken.
    fn wants(&self, kind: &[u8]) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted.as_bytes() == kind)
    }

    fn is_needed(&self, key: &Key) -> bool {
        let kind = !self.kinds.is_empty() && (!self.scan_knows_kind || key.mark.is_event());
        kind || self.memory_limit.is_some()
    }
}

/// One read lane.
pub struct ReadLane {
    context: Arc<Context>,
    home: Home,
    routes: Arc<Routes>,
    dialect: Dialect,
    inspection: Inspection,
    rename: Arc<Rename>,
    input: Receiver<Vec<Key>>,
    outputs: Inlets<Parcel>,
    shapes: Shapes,
    /// Keys of a batch.
    keys: usize,
    /// Keys that are not read here, but copied by the commands of their types.
    by_type: Vec<Entry>,
    /// Keys that another node has than was asked: they are sent there once nothing is in flight.
    astray: Vec<Key>,
    /// Keys that one other node is asked for, once nothing is in flight.
    detours: Vec<Detour>,
    /// Nothing else is asked for until they are answered.
    detouring: bool,
    /// Since when the cluster answers that it cannot answer.
    down: Option<Instant>,
    /// How often in a row keys went astray.
    moved: u32,
    /// Moves of the events' server that this lane has followed.
    moves: u64,
    backoff: Backoff,
    news: watch::Receiver<u64>,
    turn: usize,
    open: bool,
}

/// A key that is asked for at a node that is not where it is read.
struct Detour {
    key: Key,
    road: Road,
    node: Arc<Node>,
    /// It is on its way to that node.
    asking: bool,
}

/// Batches of keys that a lane has at hand before its first answers have come over a long way.
const STARTING: usize = 8;

/// What a lane does next.
enum Step {
    Keys(Option<Vec<Key>>),
    Moved(usize, Result<(), Lost>),
    /// Slots have moved.
    News,
}

/// Nobody downstream takes entries any more: the run is being torn down.
struct Abandoned;

/// How a lane ends.
enum End {
    /// Everything is read, or nobody wants it.
    Done,
    /// The source is lost.
    Lost,
}

impl From<Abandoned> for End {
    fn from(_: Abandoned) -> Self {
        Self::Done
    }
}

impl ReadLane {
    /// A lane that takes keys from `input` and sends entries to the write lane of their target name.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        home: Home,
        dialect: Dialect,
        inspection: Inspection,
        rename: Arc<Rename>,
        input: Receiver<Vec<Key>>,
        outputs: Inlets<Parcel>,
    ) -> Self {
        let (keys, _) = batch_keys(&context.flow);
        let most = inspection.big_key;
        Self {
            routes: home.nodes.routes(),
            news: home.nodes.news(),
            context,
            home,
            dialect,
            inspection,
            rename,
            input,
            outputs,
            shapes: Shapes::weighing(most),
            keys,
            by_type: Vec::new(),
            astray: Vec::new(),
            detours: Vec::new(),
            detouring: false,
            down: None,
            moved: 0,
            moves: 0,
            backoff: Backoff::default(),
            turn: 0,
            open: true,
        }
    }

    /// Runs until the input is closed and everything is read.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut pipes = Vec::new();
        if let End::Lost = self.read(&mut pipes).await {
            self.fail_everything(pipes).await;
        }
        Ok(())
    }

    async fn read(&mut self, pipes: &mut Vec<ReadPipe>) -> End {
        if let Err(end) = self.reroute(pipes).await {
            return end;
        }
        loop {
            match self.turn(pipes).await {
                Ok(false) => {}
                Ok(true) => return End::Done,
                Err(end) => return end,
            }
        }
    }

    /// One turn. `true`: all is done.
    async fn turn(&mut self, pipes: &mut Vec<ReadPipe>) -> Result<bool, End> {
        if let Some(moves) = self.has_moved() {
            self.moves = moves;
            let why = "events are heard at another server now";
            let lost = Lost::Io(std::io::Error::other(why));
            self.recover(pipes, 0, lost).await?;
        }
        let idle = pipes.iter().all(|pipe| pipe.flying.is_empty());
        if self.must_reroute() {
            if idle {
                self.reroute(pipes).await?;
            }
        } else if !self.detours.is_empty() {
            if idle {
                self.take_detours(pipes).await?;
            }
        } else if idle || !self.detouring {
            self.detouring = false;
            self.fill(pipes);
        }
        self.send_by_type().await?;
        let mut place = 0;
        while let Some(pipe) = pipes.get_mut(place) {
            match self.take_answers(pipe).await {
                Ok(taken) => taken?,
                Err(lost) => {
                    self.recover(pipes, place, lost).await?;
                    return Ok(false);
                }
            }
            place += 1;
        }
        let flying = pipes.iter().any(|pipe| !pipe.flying.is_empty());
        let waiting = pipes.iter().any(|pipe| pipe.waiting.len() > 0)
            || !self.astray.is_empty()
            || !self.detours.is_empty();
        if !flying && (waiting || !self.open) {
            return Ok(!waiting);
        }
        match self.wait(pipes).await {
            Step::Keys(Some(keys)) => {
                self.take_in(keys, pipes);
                self.send_by_type().await?;
            }
            Step::Keys(None) => self.open = false,
            Step::Moved(_, Ok(())) => {}
            Step::Moved(place, Err(lost)) => self.recover(pipes, place, lost).await?,
            Step::News => self.leave(pipes),
        }
        Ok(false)
    }

    /// Values are read where events are heard; in a cluster both are at the nodes that the slots' table names.
    fn has_moved(&self) -> Option<u64> {
        let moves = self.context.follow.as_ref()?.moves();
        (moves != self.moves && !self.home.nodes.is_cluster()).then_some(moves)
    }

    async fn wait(&mut self, pipes: &mut [ReadPipe]) -> Step {
        let waiting: usize = pipes.iter().map(|pipe| pipe.waiting.len()).sum();
        let waiting = waiting + self.astray.len() + self.detours.len();
        // Of a shape that is not known yet few keys are asked for: what follows the first answer is at hand by then.
        let starting = pipes.iter().any(|pipe| pipe.window.is_starting());
        let batches = if starting { STARTING } else { 2 };
        let hungry = self.open && waiting < batches * BATCH_KEYS.max(self.keys);
        let flying = pipes.iter().any(|pipe| !pipe.flying.is_empty());
        let since = std::time::Instant::now();
        let step = tokio::select! {
            keys = self.input.receive(), if hungry => Step::Keys(keys),
            (place, moved) = any_moved(pipes, &mut self.turn), if flying => Step::Moved(place, moved),
            Ok(()) = self.news.changed() => Step::News,
        };
        let wait = if flying {
            Wait::ReadForSource
        } else {
            Wait::ReadForKeys
        };
        self.context.stats.waited(wait, since);
        step
    }

    /// Sends batches while the windows are open; a partial one only where the source would have nothing to do.
    fn fill(&mut self, pipes: &mut [ReadPipe]) {
        loop {
            let wants =
                |pipe: &ReadPipe| pipe.may_ask() && pipe.waiting.len() < pipe.waiting.limit();
            while self.open
                && pipes.iter().any(wants)
                && pipes.iter().map(|pipe| pipe.waiting.len()).sum::<usize>() < 4 * self.keys
            {
                let Some(keys) = self.input.try_receive() else {
                    break;
                };
                self.take_in(keys, pipes);
            }
            let mut sent = false;
            for pipe in &mut *pipes {
                if pipe.may_ask()
                    && let Some(batch) = self.next_batch(pipe)
                {
                    self.send(batch, pipe);
                    sent = true;
                }
            }
            if !sent {
                return;
            }
        }
    }

    fn next_batch(&self, pipe: &mut ReadPipe) -> Option<Batch> {
        if !pipe.flying.iter().any(|batch| batch.strange)
            && let Some(batch) = pipe.waiting.next_strangers(&self.shapes, self.carriage())
        {
            return Some(batch);
        }
        pipe.waiting.next(!self.open || pipe.flying.len() < 2)
    }

    fn send(&self, mut batch: Batch, pipe: &mut ReadPipe) {
        let now = self
            .context
            .clocks
            .now(Side::Source)
            .unwrap_or_else(clock::now);
        let dialect = Dialect {
            skew: pipe.node.link().skew(),
            ..pipe.dialect
        };
        batch.encode(dialect, pipe.connection.outgoing(), now);
        pipe.sent(batch);
    }

    /// Takes every answer that has come.
    async fn take_answers(&mut self, pipe: &mut ReadPipe) -> Result<Result<(), Abandoned>, Lost> {
        while let Some(head) = pipe.flying.front_mut() {
            if head.is_done() {
                if self.finish(pipe).await.is_err() {
                    return Ok(Err(Abandoned));
                }
                continue;
            }
            head.skip(&mut pipe.connection);
            if pipe.prepaid.is_none() {
                head.take_run(&mut pipe.connection, &mut pipe.answers)?;
                if head.is_done() {
                    continue;
                }
            }
            let Some(token) = pipe.connection.token()? else {
                let partial = pipe.connection.partial();
                head.meet(partial);
                let (streaming, void) = (head.is_streaming(), head.is_void());
                if self.is_oversize(partial, head) {
                    pipe.oversize = partial;
                    let why = "a value is larger than --big-key: it is read in chunks";
                    return Err(Lost::Io(std::io::Error::other(why)));
                }
                if let Some(length) = partial.filter(|length| *length >= LONG)
                    && streaming
                    && pipe.prepaid.is_none()
                {
                    if self.settle(pipe, None).await.is_err() {
                        return Ok(Err(Abandoned));
                    }
                    pipe.prepaid = Some(self.context.budget.lease(length + LONG_EXTRA).await);
                } else if streaming
                    && pipe.connection.is_crowded()
                    && (void || !pipe.answers.is_empty())
                {
                    // A share that is left is of a value among the answers: there were none when it was taken.
                    let lease = if pipe.answers.is_empty() {
                        None
                    } else {
                        pipe.prepaid.take()
                    };
                    if self.settle(pipe, lease).await.is_err() {
                        return Ok(Err(Abandoned));
                    }
                }
                return Ok(Ok(()));
            };
            let answer = head.accept(token, &pipe.connection)?;
            pipe.answers.extend(head.take_together());
            // The long value that was waited for has come, or does not count.
            let met = answer != Answer::Part || head.is_void();
            if answer != Answer::Part {
                pipe.answers.push(answer);
            }
            if met && pipe.prepaid.is_some() && head.is_streaming() {
                let lease = pipe.prepaid.take();
                if self.settle(pipe, lease).await.is_err() {
                    return Ok(Err(Abandoned));
                }
            }
        }
        Ok(Ok(()))
    }

    /// The head batch has all its answers.
    async fn finish(&mut self, pipe: &mut ReadPipe) -> Result<(), Abandoned> {
        let refusal = pipe.flying.front_mut().and_then(Batch::take_refusal);
        let void = pipe.flying.front().is_some_and(Batch::is_void);
        let lease = pipe.prepaid.take();
        if refusal.is_none() && !void {
            self.settle(pipe, lease).await?;
        }
        let Some(batch) = pipe.flying.pop_front() else {
            return Ok(());
        };
        pipe.asked = pipe.asked.saturating_sub(batch.bytes);
        if batch.strange {
            self.shapes.meet(batch.size);
        }
        let took = pipe.window.answer(Instant::now());
        let command = match batch.road {
            Road::Inspect | Road::Weigh => "MEMORY USAGE",
            Road::Texts | Road::Doubts => "MGET",
            Road::Payloads => "DUMP",
        };
        self.context.stats.latency(Side::Source, command, took, 1);
        if let Some(refusal) = refusal {
            pipe.void();
            if pipe.dialect.does_without_multi(&batch, &refusal)
                || self.waits_for_source(pipe, refusal.as_bytes()).await
            {
                pipe.waiting.again(batch);
            } else {
                self.refused(batch, &refusal, pipe);
            }
        } else if void {
            pipe.void();
            pipe.dialect.expiring |= batch.presumes_none();
            pipe.waiting.again(batch);
        } else {
            pipe.away = None;
        }
        if !self.context.flow.sleep.is_zero() {
            sleep(self.context.flow.sleep).await;
        }
        Ok(())
    }

    /// A connection to a node, and what waits for it.
    async fn open_pipe(&self, node: Arc<Node>) -> Result<ReadPipe, RunError> {
        let connection = node.link().open().await?;
        let limits = Limits {
            keys: self.keys,
            singly: batch_keys(&self.context.flow).1,
            bytes: BATCH_BYTES,
        };
        let mut window = Window::new(self.context.flow.pipeline, self.keys);
        window.is_as_far_as(connection.round_trip());
        Ok(ReadPipe::new(
            node,
            connection,
            Waiting::new(limits),
            window,
            self.dialect,
        ))
    }
}

/// What `keys` with `bytes` of values count for in a window.
fn load(batch: &Batch) -> usize {
    window::load(batch.keys.len(), batch.bytes)
}
