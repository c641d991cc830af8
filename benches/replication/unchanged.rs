//! What listening costs while nothing changes: live mode against scan mode, on the same data.

use anyhow::Result;

use crate::contender::{self, Sample, riot};
use crate::fill::{Data, fill};
use crate::live::set_notifications;
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// What live mode may spend of scan mode's CPU for a key.
const GOAL: f64 = 1.1;
/// Keys that are compared after a copy.
const SAMPLE: usize = 300;

/// How riot goes about it.
struct Mode {
    title: &'static str,
    words: &'static [&'static str],
    /// What the source tells of.
    notifications: &'static str,
}

const MODES: [Mode; 3] = [
    Mode {
        title: "scan",
        words: &["--no-verify"],
        notifications: "",
    },
    Mode {
        title: "live by keyspace",
        words: &[
            "--mode",
            "live",
            "--events",
            "keyspace",
            "--idle-timeout",
            "500ms",
            "--compare",
            "none",
        ],
        notifications: "KA",
    },
    Mode {
        title: "live by tracking",
        words: &[
            "--mode",
            "live",
            "--events",
            "tracking",
            "--idle-timeout",
            "500ms",
            "--compare",
            "none",
        ],
        notifications: "",
    },
];

type Value = fn(&Sample) -> f64;

/// What the table tells, and whether in whole numbers.
const VALUES: [(Value, bool); 3] = [
    (|sample| sample.client, false),
    (|sample| sample.source, false),
    (|sample| sample.own_rate.unwrap_or(f64::NAN), true),
];

/// Measures all modes on each kind of data, interleaved.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    println!(
        "## Live against scan: data that does not change, {} repetitions\n",
        options.repetitions()
    );
    let mut table = Table::new(&[
        "",
        "riot µs/key",
        "of scan",
        "source µs/key",
        "of scan",
        "keys/s by its own report",
        "of scan",
    ]);
    let mut worst = f64::NAN;
    for data in [Data::Strings100, Data::Mixed] {
        source.flush()?;
        fill(&source.address(), data, options.keys(data))?;
        let keys = source.keys()? as f64;
        let samples = measure(source, target, options)?;
        let of = |place: usize, value: Value| median(samples[place].iter().map(value).collect());
        for (place, mode) in MODES.iter().enumerate() {
            let mut row = vec![format!(
                "{} {}, {}",
                grouped(keys),
                data.title(),
                mode.title
            )];
            for (value, whole) in VALUES {
                let figure = of(place, value);
                row.push(if whole {
                    grouped(figure)
                } else {
                    format!("{figure:.2}")
                });
                row.push(format!("{:.2}", figure / of(0, value)));
            }
            table.row(row);
            worst = worst.max(of(place, |sample| sample.client) / of(0, |sample| sample.client));
        }
    }
    source.flush()?;
    target.flush()?;
    table.print();
    let met = if worst <= GOAL { "met" } else { "missed" };
    println!("Goal: live at most {GOAL} of scan's CPU for a key. {worst:.2} at most: {met}.\n");
    Ok(())
}

fn measure(
    source: &mut Server,
    target: &mut Server,
    options: &Options,
) -> Result<[Vec<Sample>; MODES.len()]> {
    let mut samples: [Vec<Sample>; MODES.len()] = Default::default();
    for repetition in 0..=options.repetitions() {
        for turn in 0..MODES.len() {
            let place = (turn + repetition) % MODES.len();
            let mode = &MODES[place];
            let quiet = ["--progress", "none", "--report", "json"];
            let words = riot(
                "replicate",
                &source.address(),
                &target.address(),
                &[mode.words, &quiet].concat(),
                options,
            );
            set_notifications(source, mode.notifications)?;
            let sample = contender::copy(&words, source, target)?;
            source.same_as(target, SAMPLE)?;
            // The servers' tables and buffers get their size in a run that does not count.
            if repetition > 0 {
                samples[place].push(sample);
            }
        }
    }
    set_notifications(source, "")?;
    Ok(samples)
}
