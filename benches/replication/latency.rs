//! What a long way to the target or to the source costs: 100 ms there and back, through the same proxy as the runs with none.

use std::time::Duration;

use anyhow::Result;

use crate::contender::{self, Contender};
use crate::fill::{Data, fill};
use crate::options::Options;
use crate::proxy::{Direction, Proxy};
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// Each way.
const DELAY: Duration = Duration::from_millis(50);
/// Batches under way of the bare clients where the source is far.
const FAR_DEPTH: usize = 200;
/// COUNT of their SCAN.
const FAR_COUNT: usize = 50_000;
/// Keys that are compared after a copy.
const SAMPLE: usize = 300;

/// Who goes through the proxy, and what it does to them.
struct Traveller {
    title: &'static str,
    contender: Contender,
    words: &'static [&'static str],
    delayed: bool,
}

/// Without a delay, with it. The bare client of a far source has pages of 50,000 keys.
const TRAVELLERS: [Traveller; 5] = [
    Traveller {
        title: "riot, no delay",
        contender: Contender::Riot,
        words: &[],
        delayed: false,
    },
    Traveller {
        title: "riot, 100 ms",
        contender: Contender::Riot,
        words: &[],
        delayed: true,
    },
    Traveller {
        title: "bare MULTI, MGET …, no delay",
        contender: Contender::Multi,
        words: &[],
        delayed: false,
    },
    Traveller {
        title: "bare MULTI, MGET …, 100 ms",
        contender: Contender::Multi,
        words: &[],
        delayed: true,
    },
    Traveller {
        title: "one batch of 500 at a time, 100 ms",
        contender: Contender::Multi,
        words: &["--lockstep", "--most", "20"],
        delayed: true,
    },
];

/// Which server is far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    Target,
    Source,
}

/// Measures a far target, then a far source.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    source.flush()?;
    fill(&source.address(), Data::Strings100, options.latency_keys())?;
    // A run that does not count, for the servers' tables and buffers.
    Contender::Multi.copy(Data::Strings100, source, target, options)?;
    measure(Far::Target, source, target, options)?;
    measure(Far::Source, source, target, options)
}

/// Measures them all, interleaved.
fn measure(far: Far, source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    println!(
        "## A round trip of 100 ms to the {}: {} strings of 100 bytes, {} repetitions\n",
        far.name(),
        grouped(source.keys()? as f64),
        options.repetitions()
    );
    let (mut from, mut to) = (source.address(), target.address());
    let end = match far {
        Far::Target => &mut to,
        Far::Source => &mut from,
    };
    let proxy = Proxy::to(end);
    *end = proxy.address();
    let bare = far.bare(options);
    let mut rates: [Vec<f64>; TRAVELLERS.len()] = Default::default();
    let mut own_rates = rates.clone();
    for _ in 0..options.repetitions() {
        for (place, traveller) in TRAVELLERS.iter().enumerate() {
            let delay = if traveller.delayed {
                DELAY
            } else {
                Duration::ZERO
            };
            proxy.delay(Direction::Up, delay);
            proxy.delay(Direction::Down, delay);
            let mut words = traveller
                .contender
                .words(Data::Strings100, &from, &to, &bare)?;
            words.extend(traveller.words.iter().map(|word| (*word).to_owned()));
            let sample = contender::copy(&words, source, target)?;
            if !traveller.words.contains(&"--most") {
                source.same_as(target, SAMPLE)?;
            }
            rates[place].push(sample.rate);
            own_rates[place].extend(sample.own_rate);
        }
    }
    target.flush()?;
    let medians = rates.map(median);
    let own_medians = own_rates.map(median);
    let mut table = Table::new(&[
        "",
        "keys/s",
        "of the same without delay",
        "keys/s by its own report",
        "of the same",
    ]);
    for (place, traveller) in TRAVELLERS.iter().enumerate() {
        let same = TRAVELLERS
            .iter()
            .position(|other| other.contender == traveller.contender && !other.delayed)
            .unwrap_or(place);
        table.row(vec![
            traveller.title.to_owned(),
            grouped(medians[place]),
            format!("{:.2}", medians[place] / medians[same]),
            number(own_medians[place], grouped),
            number(own_medians[place] / own_medians[same], |ratio| {
                format!("{ratio:.2}")
            }),
        ]);
    }
    table.print();
    Ok(())
}

impl Far {
    fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Source => "source",
        }
    }

    /// The settings of the bare clients: what is asked of a far source fills the link, and few pages of SCAN, of which each
    /// waits for the one before, name all keys.
    fn bare(self, options: &Options) -> Options {
        match self {
            Self::Target => options.clone(),
            Self::Source => {
                let mut far = options.clone();
                far.depth.get_or_insert(FAR_DEPTH);
                far.count.get_or_insert(FAR_COUNT);
                far
            }
        }
    }
}

/// Nothing where there is no number.
fn number(value: f64, shown: impl Fn(f64) -> String) -> String {
    if value.is_nan() {
        String::new()
    } else {
        shown(value)
    }
}
