//! What a long way to the target costs: 100 ms there and back, through the same proxy as the runs with none.

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
/// Keys that are compared after a copy.
const SAMPLE: usize = 300;

/// Who goes through the proxy, and what it does to them.
struct Traveller {
    title: &'static str,
    contender: Contender,
    words: &'static [&'static str],
    delayed: bool,
}

/// In pairs: without a delay, with it.
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

/// Measures them all, interleaved.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    source.flush()?;
    fill(&source.address(), Data::Strings100, options.latency_keys())?;
    println!(
        "## A round trip of 100 ms to the target: {} strings of 100 bytes, {} repetitions\n",
        grouped(source.keys()? as f64),
        options.repetitions()
    );
    let proxy = Proxy::to(&target.address());
    // A run that does not count, for the servers' tables and buffers.
    Contender::Multi.copy(Data::Strings100, source, target, options)?;
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
            let mut words = traveller.contender.words(
                Data::Strings100,
                &source.address(),
                &proxy.address(),
                options,
            )?;
            words.extend(traveller.words.iter().map(|word| (*word).to_owned()));
            let sample = contender::copy(&words, source, target)?;
            if traveller.words.is_empty() {
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

/// Nothing where there is no number.
fn number(value: f64, shown: impl Fn(f64) -> String) -> String {
    if value.is_nan() {
        String::new()
    } else {
        shown(value)
    }
}
