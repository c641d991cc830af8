//! From one cluster to another: riot against a bare client for each pair of nodes, all at once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::contender::{Contender, riot, succeeded};
use crate::fill::{Data, fill};
use crate::measure::{self, Cost};
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// Masters of each cluster. Both have the same slots at the same places, so that a bare client needs no table of them.
const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// One contender's figures of one run.
struct Row {
    rate: f64,
    client: f64,
    source: f64,
    target: f64,
}

/// Measures riot, and the bare clients whose commands name one key at a time.
pub(crate) fn run(filled: &mut Server, options: &Options) -> Result<()> {
    let mut source = start(&options.server)?;
    let mut target = start(&options.server)?;
    for data in [Data::Strings100, Data::Mixed] {
        filled.flush()?;
        fill(&filled.address(), data, options.keys(data))?;
        flush(&mut source)?;
        // What fills the source is checked below: bare copies hold as many keys.
        let words = riot(
            "replicate",
            &filled.address(),
            &source[0].address(),
            &["--no-verify", "--progress", "none"],
            options,
        );
        succeeded(&measure::run(&words)?)?;
        let keys = count(&mut source)?;
        ensure!(keys == filled.keys()?, "{keys} keys came into the source");
        println!(
            "## {} {}, from {MASTERS} masters to {MASTERS}, {} repetitions\n",
            grouped(keys as f64),
            data.title(),
            options.repetitions()
        );
        compare(data, keys, &mut source, &mut target, options)?;
    }
    filled.flush()
}

fn compare(
    data: Data,
    keys: u64,
    source: &mut [Server],
    target: &mut [Server],
    options: &Options,
) -> Result<()> {
    let contenders: Vec<Contender> = [Contender::Riot, Contender::Get, Contender::Dump]
        .into_iter()
        .filter(|contender| contender.takes(data))
        .collect();
    let mut rows: Vec<Vec<Row>> = contenders.iter().map(|_| Vec::new()).collect();
    for repetition in 0..=options.repetitions() {
        for turn in 0..contenders.len() {
            let place = (turn + repetition) % contenders.len();
            flush(target)?;
            let row = copy(contenders[place], data, keys, source, target, options)?;
            let copied = count(target)?;
            ensure!(copied == keys, "the target holds {copied} of {keys} keys");
            // The servers' tables and buffers get their size in a run that does not count.
            if repetition > 0 {
                rows[place].push(row);
            }
        }
    }
    flush(target)?;
    let of = |rows: &[Row], value: fn(&Row) -> f64| median(rows.iter().map(value).collect());
    let bare = contenders.iter().zip(&rows);
    let best = bare
        .filter(|(contender, _)| **contender != Contender::Riot)
        .map(|(_, rows)| of(rows, |row| row.rate))
        .fold(f64::NAN, f64::max);
    let mut table = Table::new(&[
        "",
        "keys/s",
        "client µs/key",
        "source µs/key",
        "target µs/key",
        "of the best bare",
    ]);
    for (contender, rows) in contenders.iter().zip(&rows) {
        let rate = of(rows, |row| row.rate);
        table.row(vec![
            contender.title().to_owned(),
            grouped(rate),
            format!("{:.2}", of(rows, |row| row.client)),
            format!("{:.2}", of(rows, |row| row.source)),
            format!("{:.2}", of(rows, |row| row.target)),
            format!("{:.2}", rate / best),
        ]);
    }
    table.print();
    Ok(())
}

/// One copy: by one riot, or by a bare client for each pair of nodes.
fn copy(
    contender: Contender,
    data: Data,
    keys: u64,
    source: &mut [Server],
    target: &mut [Server],
    options: &Options,
) -> Result<Row> {
    let pairs: Vec<(String, String)> = source
        .iter()
        .zip(target.iter())
        .map(|(source, target)| (source.address(), target.address()))
        .collect();
    let pairs = if contender == Contender::Riot {
        &pairs[..1]
    } else {
        &pairs[..]
    };
    let before = (cpu(source)?, cpu(target)?);
    let began = Instant::now();
    let costs: Vec<Cost> = thread::scope(|scope| {
        let runs: Vec<_> = pairs
            .iter()
            .map(|(source, target)| {
                let words = contender.words(data, source, target, options);
                scope.spawn(move || measure::run(&words?))
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().ok().context("a client panicked")?)
            .collect::<Result<_>>()
    })?;
    let wall = began.elapsed();
    for cost in &costs {
        succeeded(cost)?;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / keys as f64;
    Ok(Row {
        rate: keys as f64 / wall.as_secs_f64(),
        client: each(costs.iter().map(|cost| cost.cpu).sum()),
        source: each(cpu(source)?.saturating_sub(before.0)),
        target: each(cpu(target)?.saturating_sub(before.1)),
    })
}

fn start(program: &str) -> Result<Vec<Server>> {
    let mut nodes = Vec::new();
    for _ in 0..MASTERS {
        nodes.push(Server::start_with(
            program,
            &["--cluster-enabled", "yes", "--cluster-config-file", "nodes"],
        )?);
    }
    for (place, node) in nodes.iter_mut().enumerate() {
        let first = place * SLOTS / MASTERS;
        let last = (place + 1) * SLOTS / MASTERS - 1;
        node.tell(&[
            "CLUSTER",
            "ADDSLOTSRANGE",
            &first.to_string(),
            &last.to_string(),
        ])?;
        node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()])?;
    }
    let port = nodes[0].port().to_string();
    for node in nodes.iter_mut().skip(1) {
        node.tell(&["CLUSTER", "MEET", "127.0.0.1", &port])?;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    for node in &mut nodes {
        while !node.ask(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") {
            ensure!(Instant::now() < deadline, "the cluster does not form");
            thread::park_timeout(Duration::from_millis(20));
        }
    }
    Ok(nodes)
}

fn flush(nodes: &mut [Server]) -> Result<()> {
    nodes.iter_mut().try_for_each(Server::flush)
}

fn count(nodes: &mut [Server]) -> Result<u64> {
    nodes.iter_mut().map(Server::keys).sum()
}

fn cpu(nodes: &mut [Server]) -> Result<Duration> {
    nodes.iter_mut().map(Server::cpu).sum()
}
