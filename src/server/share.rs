//! `--source-cpu`: measures what a run costs a server, and tells its brake.
//!
//! By the CPU time that INFO names, where it does, against what others use: that is measured while the brake is closed, before
//! the run begins and now and then. Others that wait for their answers use less while the run goes on, so the time of the
//! commands that a run asks for counts at least. Where INFO tells nothing: by how often a PING finds the server busy.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::control::Control;
use super::cpu::{Load, used};
use crate::nodes::{Node, Nodes};
use crate::retry::Backoff;
use crate::wire::Brake;

/// How long the server is looked at before the run begins.
const FIRST_REST: Duration = Duration::from_millis(200);
/// And while it goes on.
const REST: Duration = Duration::from_millis(60);
/// How often the others are measured again.
const RESTS: Duration = Duration::from_secs(2);
/// From one look to the next, by CPU time.
const LOOK: Duration = Duration::from_millis(100);
/// The same by answers: enough of them for a share.
const PINGS: Duration = Duration::from_millis(500);
/// Between two PINGs.
const PING: Duration = Duration::from_millis(4);
/// An answer that comes so much later than an idle server's found it busy.
const BUSY: Duration = Duration::from_micros(100);
/// What a server spends on a command, with its words and its answer on the wire, of what it counts for the command itself.
const AROUND: f64 = 1.4;
/// Bytes after which a server that counts CPU time has counted some.
const ENOUGH: u64 = 8 << 20;
/// How often new nodes are looked for.
const NODES: Duration = Duration::from_secs(1);

/// Keeps the brakes of all nodes that are read; that of another one, asked for a key now and then, lets through what is cheap at
/// the first guess. Never ends; without brakes it does nothing.
pub async fn keep_share(nodes: Arc<Nodes>) {
    let mut known: Vec<usize> = Vec::new();
    let mut watches = JoinSet::new();
    loop {
        for node in nodes.routes().readers() {
            if !known.contains(&node.number())
                && let Some(brake) = node.link().brake().cloned()
            {
                known.push(node.number());
                watches.spawn(watch(node, brake));
            }
        }
        sleep(NODES).await;
    }
}

/// In which way a server's load is measured.
enum Meter {
    /// INFO tells seconds of CPU.
    Cpu,
    /// The shortest answer of an idle server.
    Answers(Duration),
}

impl Load {
    /// The share that a run took, where others take this without it.
    fn without(self, others: Self) -> f64 {
        (self.all - others.all)
            .max(AROUND * (self.commands - others.commands))
            .max(0.0)
    }

    fn mean(self, other: Self) -> Self {
        Self {
            all: f64::midpoint(self.all, other.all),
            commands: f64::midpoint(self.commands, other.commands),
        }
    }
}

async fn watch(node: Arc<Node>, brake: Arc<Brake>) {
    let mut backoff = Backoff::default();
    let mut by_answers = false;
    loop {
        brake.hold(true);
        let ended = match Control::open(node.link().endpoint()).await {
            Ok(mut control) => match measure(&node, &brake, &mut control, &mut by_answers).await {
                Ok(never) => match never {},
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        debug!("{}: its load is not measured now: {ended}", node.address());
        // The lanes wait for the server themselves, and say so.
        brake.hold(false);
        sleep(backoff.pause()).await;
    }
}

/// Measures until the connection is lost.
async fn measure(
    node: &Node,
    brake: &Brake,
    control: &mut Control,
    by_answers: &mut bool,
) -> Result<Infallible, RedisError> {
    let trip = control.looks().await?.round_trip;
    let meter = if !*by_answers && used(control).await?.is_some() {
        Meter::Cpu
    } else {
        let why = "INFO names no CPU time that passes: what the run costs is measured by answers";
        info!("{}: {why}", node.address());
        *by_answers = true;
        Meter::Answers(trip)
    };
    // What was asked before is answered first.
    sleep(trip).await;
    let mut others = load(&meter, control, FIRST_REST).await?;
    brake.hold(false);
    let look = match meter {
        Meter::Cpu => LOOK,
        Meter::Answers(_) => PINGS,
    };
    let mut rest = Instant::now() + RESTS;
    let mut unmoved = 0;
    loop {
        let (before, began) = (brake.bytes(), Instant::now());
        let seen = load(&meter, control, look).await?;
        let (bytes, time) = (brake.bytes() - before, began.elapsed());
        let own = seen.without(others);
        brake.learn(own, bytes, time);
        debug!(
            "{}: busy for {:.0} % of a core, {:.0} % with this run, {bytes} bytes in {} ms",
            node.address(),
            seen.all * 100.0,
            own * 100.0,
            time.as_millis()
        );
        unmoved = if seen.all > 0.0 { 0 } else { unmoved + bytes };
        if matches!(meter, Meter::Cpu) && unmoved > ENOUGH {
            *by_answers = true;
            return Err((ErrorKind::Client, "its CPU time stands still").into());
        }
        if Instant::now() >= rest {
            brake.hold(true);
            sleep(trip).await;
            let seen = load(&meter, control, REST).await;
            brake.hold(false);
            others = others.mean(seen?);
            rest = Instant::now() + RESTS;
        }
    }
}

/// What the server is busy with in the next `time`.
async fn load(meter: &Meter, control: &mut Control, time: Duration) -> Result<Load, RedisError> {
    match meter {
        Meter::Cpu => {
            let (began, before) = (Instant::now(), used(control).await?.unwrap_or_default());
            sleep_until(began + time).await;
            let (ended, after) = (Instant::now(), used(control).await?.unwrap_or_default());
            let seconds = (ended - began).as_secs_f64();
            Ok(Load {
                all: (after.all - before.all).max(0.0) / seconds,
                commands: (after.commands - before.commands).max(0.0) / seconds,
            })
        }
        Meter::Answers(idle) => {
            let until = Instant::now() + time;
            let (mut late, mut all) = (0.0, 0.0);
            while Instant::now() < until {
                let asked = Instant::now();
                control.words::<Value>(&["PING"]).await?;
                all += 1.0;
                if asked.elapsed() > *idle + BUSY {
                    late += 1.0;
                }
                // Never in step with what is measured.
                sleep(PING.mul_f64(0.5 + fastrand::f64())).await;
            }
            let all = late / f64::max(all, 1.0);
            Ok(Load { all, commands: 0.0 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_without_does_not_hide_what_a_run_takes() {
        let others = Load {
            all: 0.8,
            commands: 0.1,
        };
        let seen = Load {
            all: 0.8,
            commands: 0.3,
        };
        assert!((seen.without(others) - 0.28).abs() < 1e-9);
        assert!((Load { all: 0.9, ..others }.without(others) - 0.1).abs() < 1e-9);
    }
}
