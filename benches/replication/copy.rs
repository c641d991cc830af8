//! Keys a second, CPU and memory of every contender on one kind of data, interleaved, with medians.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::contender::{Contender, Sample};
use crate::fill::{Data, fill};
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// Cores busy with something else above which figures mean little by themselves.
const QUIET: f64 = 0.1;

/// One contender's runs.
struct Entrant {
    contender: Contender,
    /// With the build of riot that takes part.
    options: Options,
    samples: Vec<Sample>,
    failure: Option<String>,
}

/// Measures them all; fails, in the end, where one of them did.
pub(crate) fn run(
    data: Data,
    source: &mut Server,
    target: &mut Server,
    options: &Options,
) -> Result<()> {
    source.flush()?;
    let bytes = fill(&source.address(), data, options.keys(data))?;
    let keys = source.keys()?;
    println!(
        "## {} {}, {} MB, {} repetitions\n",
        grouped(keys as f64),
        data.title(),
        grouped(bytes as f64 / 1e6),
        options.repetitions()
    );
    let mut entrants: Vec<Entrant> = options
        .contenders
        .iter()
        .filter(|contender| contender.takes(data))
        .flat_map(|contender| {
            let count = if contender.is_riot() {
                options.programs.len()
            } else {
                1
            };
            let programs = options.programs.iter().take(count);
            programs.map(|program| Entrant {
                contender: *contender,
                options: options.with(program),
                samples: Vec::new(),
                failure: None,
            })
        })
        .collect();
    // The servers' tables, memory and buffers get their size in a run that does not count.
    Contender::Dump.copy(data, source, target, options)?;
    for repetition in 0..options.repetitions() {
        let count = entrants.len();
        for turn in 0..count {
            let entrant = &mut entrants[(turn + repetition) % count];
            if entrant.failure.is_some() {
                continue;
            }
            match quietest(entrant.contender, data, source, target, &entrant.options) {
                Ok(sample) => entrant.samples.push(sample),
                Err(error) => entrant.failure = Some(format!("{error:#}")),
            }
        }
    }
    target.flush()?;
    print(
        &entrants,
        bytes as f64 / keys as f64,
        options.programs.len() > 1,
    );
    ensure!(
        entrants.iter().all(|entrant| entrant.failure.is_none()),
        "not every contender copied the {}",
        data.title()
    );
    Ok(())
}

/// One run, again while others disturb it, as often as was allowed.
fn quietest(
    contender: Contender,
    data: Data,
    source: &mut Server,
    target: &mut Server,
    options: &Options,
) -> Result<Sample> {
    let mut best = contender.copy(data, source, target, options)?;
    for _ in 1..options.patience {
        if best.others <= QUIET {
            break;
        }
        let sample = contender.copy(data, source, target, options)?;
        if sample.others < best.others {
            best = sample;
        }
    }
    Ok(best)
}

impl Entrant {
    /// With the name of its build where `several` take part.
    fn title(&self, several: bool) -> String {
        let title = self.contender.title();
        let program = Path::new(self.options.program());
        match program.file_name() {
            Some(name) if several && self.contender.is_riot() => {
                format!("{title} ({})", name.to_string_lossy())
            }
            _ => title.to_owned(),
        }
    }

    fn of(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(value).collect())
    }

    fn rate(&self) -> f64 {
        self.of(|sample| sample.rate)
    }
}

fn print(entrants: &[Entrant], bytes: f64, several: bool) {
    let best = |counts: fn(Contender) -> bool| {
        entrants
            .iter()
            .filter(|entrant| entrant.failure.is_none() && counts(entrant.contender))
            .map(Entrant::rate)
            .fold(f64::NAN, f64::max)
    };
    let best_bare = best(|contender| !contender.is_riot());
    // Riot keeps expiries: what loses them is no measure for it where it has not yet learnt that there are none.
    let best_whole = best(|contender| !contender.is_riot() && contender != Contender::Mget);
    let mut table = Table::new(&[
        "",
        "keys/s",
        "slowest – fastest",
        "MB/s",
        "client µs/key",
        "source µs/key",
        "target µs/key",
        "peak RSS MB",
        "of the best bare",
        "of the best with expiries",
    ]);
    for entrant in entrants {
        let title = entrant.title(several);
        if let Some(failure) = &entrant.failure {
            println!("{title} failed: {failure}\n");
            continue;
        }
        let rate = entrant.rate();
        let rates = || entrant.samples.iter().map(|sample| sample.rate);
        table.row(vec![
            title,
            grouped(rate),
            format!(
                "{} – {}",
                grouped(rates().fold(f64::INFINITY, f64::min)),
                grouped(rates().fold(0.0, f64::max))
            ),
            format!("{:.0}", rate * bytes / 1e6),
            format!("{:.2}", entrant.of(|sample| sample.client)),
            format!("{:.2}", entrant.of(|sample| sample.source)),
            format!("{:.2}", entrant.of(|sample| sample.target)),
            format!(
                "{:.0}",
                entrant.of(|sample| sample.peak) / f64::from(1 << 20)
            ),
            format!("{:.2}", rate / best_bare),
            format!("{:.2}", rate / best_whole),
        ]);
    }
    table.print();
    let others = median(
        entrants
            .iter()
            .flat_map(|entrant| entrant.samples.iter().map(|sample| sample.others))
            .collect(),
    );
    if others > QUIET {
        println!(
            "Not a quiet machine: other processes kept {others:.2} of its cores busy. Only compare the rows.\n"
        );
    }
    for entrant in entrants {
        if entrant.failure.is_none() && entrant.samples.iter().all(|one| one.own_rate.is_some()) {
            let own = entrant.of(|sample| sample.own_rate.unwrap_or(f64::NAN));
            println!(
                "By the time in its own report, without the start and the end of the process, {} moves {} keys/s.\n",
                entrant.title(several),
                grouped(own)
            );
        }
    }
}
