//! Whether the memory that riot holds keeps to its budget when one value is nearly as large.

use anyhow::Result;

use crate::contender::{riot, succeeded};
use crate::fill::{Data, fill};
use crate::measure;
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// What riot may hold of values.
const BUDGET: u64 = 64 << 20;
/// What it may hold besides.
const BESIDES: u64 = 128 << 20;
/// Keys that are compared after a copy.
const SAMPLE: usize = 4;

/// Measures the peak of some runs.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    source.flush()?;
    let data = Data::Strings50m;
    let bytes = fill(&source.address(), data, options.keys(data))?;
    println!(
        "## Memory: {} {}, --mem-budget 64MB, {} repetitions\n",
        options.keys(data),
        data.title(),
        options.repetitions()
    );
    let words = riot(
        "replicate",
        &source.address(),
        &target.address(),
        &[
            "--no-verify",
            "--progress",
            "none",
            "--report",
            "json",
            "--mem-budget",
            "64MB",
        ],
        options,
    );
    let mut peaks = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..options.repetitions() {
        target.flush()?;
        let cost = measure::run(&words)?;
        succeeded(&cost)?;
        source.same_as(target, SAMPLE)?;
        peaks.push(cost.peak as f64 / f64::from(1 << 20));
        rates.push(bytes as f64 / 1e6 / cost.wall.as_secs_f64());
    }
    source.flush()?;
    target.flush()?;
    let highest = peaks.iter().copied().fold(0.0, f64::max);
    let limit = (BUDGET + BESIDES) >> 20;
    let mut table = Table::new(&["", "peak RSS MB", "highest MB", "limit MB", "MB/s"]);
    table.row(vec![
        "riot".to_owned(),
        format!("{:.0}", median(peaks)),
        format!("{highest:.0}"),
        limit.to_string(),
        grouped(median(rates)),
    ]);
    table.print();
    Ok(())
}
