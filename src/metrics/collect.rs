//! What is told: the counters of a run, read when Prometheus asks.

use std::time::UNIX_EPOCH;

use super::family::{Family, Of, Value};
use super::{Board, View};
use crate::config::Side;
use crate::queue::{Budget, Depth};
use crate::stats::{Counts, Kind, Phase, Skipped, cpu_time, resident_memory};

/// From the shortest interval of the feeders to a cutover that waits for an hour.
const LAGS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
/// From a socket of the same machine to a server that is only just waited for.
const ROUND_TRIPS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 60.0,
];

const PHASES: [(Phase, &str); 5] = [
    (Phase::Connecting, "connecting"),
    (Phase::Scanning, "scanning"),
    (Phase::Listening, "listening"),
    (Phase::Comparing, "comparing"),
    (Phase::Done, "done"),
];

const SIDES: [(Side, &str); 2] = [(Side::Source, "source"), (Side::Target, "target")];

/// The process, whatever it does.
pub(super) fn process(board: &Board, ready: bool, phase: Phase) -> Vec<Family> {
    let born = board.born.duration_since(UNIX_EPOCH).unwrap_or_default();
    let build = vec![
        ("arch", std::env::consts::ARCH),
        ("os", std::env::consts::OS),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    let level = |is: bool| f64::from(u8::from(is));
    let mut families = vec![
        Family::gauge("riot_build_info", None, "The program; always 1.")
            .sample(build, Value::Gauge(1.0)),
        Family::gauge(
            "process_start_time",
            Some(Of::Seconds),
            "Start of the process since the epoch, in seconds.",
        )
        .of(Value::Gauge(born.as_secs_f64())),
        Family::counter(
            "process_cpu",
            Some(Of::Seconds),
            "Processor time of all threads, in seconds.",
        )
        .of(Value::Sum(cpu_time().as_secs_f64())),
        Family::counter(
            "riot_runs",
            None,
            "Runs begun once both servers were reached: more than one with --repeat.",
        )
        .of(Value::Count(board.runs())),
        Family::gauge("riot_ready", None, "What /readyz answers: 1 is ready.")
            .of(Value::Gauge(level(ready))),
        Family::gauge("riot_phase", None, "1 for the phase that the run is in.").levels(
            "phase",
            PHASES.map(|(known, name)| (name, level(known == phase))),
        ),
    ];
    if let Some(bytes) = resident_memory() {
        families.push(
            Family::gauge(
                "process_resident_memory",
                Some(Of::Bytes),
                "Memory of the process, in bytes.",
            )
            .of(Value::Gauge(bytes as f64)),
        );
    }
    families
}

/// One run.
pub(super) fn run(view: &View) -> Vec<Family> {
    let counts = view.stats.counts();
    let mut families = keys(&counts);
    families.extend(values(view));
    families.extend(copying(&counts));
    families.extend(servers(view, &counts));
    families.extend(queues(view));
    families.extend(live(view));
    families.extend(comparison(&counts));
    families
}

fn keys(counts: &Counts) -> Vec<Family> {
    let taken = [("scan", counts.scanned), ("events", counts.changes)];
    let finished = [
        ("written", counts.written),
        ("deleted", counts.deleted),
        ("skipped", counts.skipped.total()),
        ("failed", counts.failed),
    ];
    let failed = [
        ("read", counts.failed_reads),
        ("write", counts.failed.saturating_sub(counts.failed_reads)),
        ("compare", counts.compare_failed),
    ];
    let under_way = counts.taken().saturating_sub(counts.finished());
    let mut families = vec![
        Family::counter(
            "riot_keys_taken",
            None,
            "Keys taken in, by what named them.",
        )
        .by("origin", taken),
        Family::counter("riot_keys", None, "Keys whose way has ended, by how.")
            .by("outcome", finished),
        Family::counter("riot_keys_skipped", None, "Keys left out, by reason.")
            .by("reason", reasons(counts.skipped)),
        Family::counter(
            "riot_keys_failed",
            None,
            "Keys that failed for good, by what was being done.",
        )
        .by("step", failed),
        Family::gauge(
            "riot_keys_in_flight",
            None,
            "Keys taken in that have no fate yet.",
        )
        .of(Value::Gauge(under_way as f64)),
    ];
    if let Some(total) = counts.total_keys {
        families.push(
            Family::gauge(
                "riot_source_keys",
                None,
                "Keys of the source when the run began; absent where a filter makes that no measure.",
            )
            .of(Value::Gauge(total as f64)),
        );
    }
    families
}

fn reasons(skipped: Skipped) -> [(&'static str, u64); 8] {
    [
        ("memory_limit", skipped.memory_limit),
        ("other_type", skipped.other_type),
        ("nameless", skipped.nameless),
        ("dry_run", skipped.dry_run),
        ("unchanged", skipped.unchanged),
        ("other_database", skipped.other_database),
        ("empty_stream", skipped.empty_stream),
        ("gone", skipped.gone),
    ]
}

fn values(view: &View) -> Vec<Family> {
    let stats = &view.stats;
    let (read, written) = (stats.read_by_type(), stats.written_by_type());
    let name = Kind::name;
    vec![
        Family::counter("riot_read_keys", None, "Values read, by type.").by(
            "type",
            read.each().map(|(kind, amount)| (name(kind), amount.keys)),
        ),
        Family::counter(
            "riot_read",
            Some(Of::Bytes),
            "Bytes of values read, by type.",
        )
        .by(
            "type",
            read.each().map(|(kind, amount)| (name(kind), amount.bytes)),
        ),
        Family::counter("riot_written_keys", None, "Keys written, by type.").by(
            "type",
            written
                .each()
                .map(|(kind, amount)| (name(kind), amount.keys)),
        ),
        Family::counter(
            "riot_written",
            Some(Of::Bytes),
            "Bytes of values written, by type.",
        )
        .by(
            "type",
            written
                .each()
                .map(|(kind, amount)| (name(kind), amount.bytes)),
        ),
    ]
}

/// What was out of the ordinary with keys that were copied.
fn copying(counts: &Counts) -> Vec<Family> {
    let count = |name, help, count| Family::counter(name, None, help).of(Value::Count(count));
    let small = counts.by_type.saturating_sub(counts.in_chunks);
    vec![
        Family::counter(
            "riot_keys_copied_by_type",
            None,
            "Keys copied by the commands of their types, whole or in chunks.",
        )
        .by("size", [("whole", small), ("chunks", counts.in_chunks)]),
        count(
            "riot_keys_read_again",
            "Times that a key changed while it was read in chunks, and was read again.",
            counts.read_again,
        ),
        count(
            "riot_keys_redone_alone",
            "Keys done again one by one, as their batch failed as a whole.",
            counts.redone_alone,
        ),
        count(
            "riot_payloads_refused",
            "DUMP payloads that the target refused.",
            counts.payload_refused,
        ),
        count(
            "riot_field_expiries_lost",
            "Fields of hashes whose expiry the target cannot hold.",
            counts.lost_field_expiries,
        ),
        count(
            "riot_target_evicted_keys",
            "Keys that the target evicted while the run went on.",
            counts.evicted_keys,
        ),
    ]
}

fn servers(view: &View, counts: &Counts) -> Vec<Family> {
    let stats = &view.stats;
    let mut errors = Family::counter(
        "riot_errors",
        None,
        "Errors that servers answered, and connections lost or not opened, by class.",
    );
    for (side, name) in SIDES {
        for (class, count) in stats.errors(side) {
            errors = errors.sample(vec![("class", class), ("side", name)], Value::Count(count));
        }
    }
    let mut round_trips = Family::histogram(
        "riot_round_trip",
        "From sending a batch to its last answer, in seconds, by the commands in it.",
    );
    for command in stats.commands(ROUND_TRIPS) {
        let side = SIDES.iter().find(|(side, _)| *side == command.side);
        let side = side.map_or("", |(_, name)| *name);
        round_trips = round_trips.sample(
            vec![("command", command.name), ("side", side)],
            Value::Times(ROUND_TRIPS, command.times),
        );
    }
    let reconnects = [
        ("source", counts.reconnects.source),
        ("target", counts.reconnects.target),
    ];
    vec![
        errors,
        Family::counter("riot_retries", None, "Tries after an error that may pass.")
            .of(Value::Count(counts.retries)),
        Family::counter(
            "riot_redirections",
            None,
            "Keys that followed MOVED or ASK to another node of a cluster.",
        )
        .of(Value::Count(counts.redirections)),
        Family::counter(
            "riot_reconnects",
            None,
            "Lost connections that were opened again.",
        )
        .by("side", reconnects),
        Family::gauge(
            "riot_connections_away",
            None,
            "Connections that are being opened again now.",
        )
        .levels(
            "side",
            SIDES.map(|(side, name)| (name, stats.connections_away(side) as f64)),
        ),
        round_trips,
    ]
}

fn queues(view: &View) -> Vec<Family> {
    let contexts = &view.contexts;
    let level = |name, unit, help, level: u64| {
        Family::gauge(name, unit, help).of(Value::Gauge(level as f64))
    };
    let depths = ["read", "write", "compare"].map(|name| {
        let depths = contexts.iter().map(|context| context.queues.depth(name));
        let all = depths.fold(Depth::default(), |all, one| Depth {
            keys: all.keys + one.keys,
            bytes: all.bytes + one.bytes,
        });
        (name, all)
    });
    // All of them share it.
    let budget = contexts.first().map(|context| &context.budget);
    vec![
        Family::gauge(
            "riot_queue_keys",
            None,
            "Keys that wait for lanes, by what these do.",
        )
        .levels(
            "queue",
            depths.map(|(name, depth)| (name, depth.keys as f64)),
        ),
        Family::gauge(
            "riot_queue",
            Some(Of::Bytes),
            "Bytes of values that wait for lanes, by what these do.",
        )
        .levels(
            "queue",
            depths.map(|(name, depth)| (name, depth.bytes as f64)),
        ),
        level(
            "riot_memory_held",
            Some(Of::Bytes),
            "Bytes of values that are held.",
            budget.map_or(0, Budget::held),
        ),
        level(
            "riot_memory_budget",
            Some(Of::Bytes),
            "Bytes of values that may be held (--mem-budget).",
            budget.map_or(0, Budget::size),
        ),
    ]
}

fn live(view: &View) -> Vec<Family> {
    let live = &view.stats.live;
    let follows = view.contexts.iter().filter_map(|one| one.follow.as_ref());
    let changed = follows.fold((0, 0), |(len, capacity), follow| {
        let changed = &follow.changed;
        (len + changed.len(), capacity + changed.capacity())
    });
    let level = |name, unit, help, level| Family::gauge(name, unit, help).of(Value::Gauge(level));
    let count = |name, help, count| Family::counter(name, None, help).of(Value::Count(count));
    vec![
        count(
            "riot_events",
            "Changes told by the source, of keys that the run wants.",
            live.events(),
        ),
        level(
            "riot_changed_keys",
            None,
            "Changed keys that wait to be copied.",
            changed.0 as f64,
        ),
        level(
            "riot_changed_keys_limit",
            None,
            "Changed keys that are held by their names at most (--event-queue).",
            changed.1 as f64,
        ),
        count(
            "riot_changed_keys_overflowed",
            "Changed keys that found no room, and were found again by a scan.",
            live.overflows(),
        ),
        Family::histogram(
            "riot_lag",
            "From a change's event to the acknowledged write, in seconds.",
        )
        .of(Value::Times(LAGS, live.lags(LAGS))),
        level(
            "riot_current_lag",
            Some(Of::Seconds),
            "How long the oldest change waits that the target does not have; 0 where none waits.",
            view.lag().as_secs_f64(),
        ),
        count(
            "riot_gaps",
            "Times that changes may have been missed.",
            live.gaps(),
        ),
        level(
            "riot_gaps_open",
            None,
            "Gaps after which not everything was looked at again yet.",
            live.open_gaps() as f64,
        ),
        level(
            "riot_guarantees_unproven",
            None,
            "Guarantees that could not be proved; the report names them.",
            live.unproven_count() as f64,
        ),
    ]
}

fn comparison(counts: &Counts) -> Vec<Family> {
    let found = counts.differences;
    let kinds = [
        ("missing", found.missing),
        ("type", found.r#type),
        ("value", found.value),
        ("ttl", found.ttl),
        ("extra", found.extra),
    ];
    let count = |name, help, count| Family::counter(name, None, help).of(Value::Count(count));
    vec![
        count(
            "riot_keys_compared",
            "Keys compared, whatever came out.",
            counts.compared,
        ),
        Family::counter(
            "riot_differences",
            None,
            "Keys that still differ after the last look at them, by kind.",
        )
        .by("kind", kinds),
        count(
            "riot_differences_repaired",
            "Differences that were copied again and are none any more.",
            counts.repaired,
        ),
    ]
}
