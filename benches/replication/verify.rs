//! What it costs to compare, against what it costs to copy.

use anyhow::Result;

use crate::contender::{Contender, riot, succeeded};
use crate::fill::{Data, fill};
use crate::measure;
use crate::options::Options;
use crate::server::Server;
use crate::table::{Table, grouped, median};

/// Copies, then compares what is now equal, again and again.
pub(crate) fn run(source: &mut Server, target: &mut Server, options: &Options) -> Result<()> {
    println!(
        "## Comparing: riot compare on equal data, {} repetitions\n",
        options.repetitions()
    );
    let mut table = Table::new(&[
        "",
        "replicate keys/s",
        "compare keys/s",
        "compare µs/key",
        "time, of replicating",
    ]);
    for data in [Data::Strings100, Data::Mixed] {
        source.flush()?;
        fill(&source.address(), data, options.keys(data))?;
        let keys = source.keys()? as f64;
        let words = |depth: &[&str]| {
            let words = [depth, &["--progress", "none"]].concat();
            riot(
                "compare",
                &source.address(),
                &target.address(),
                &words,
                options,
            )
        };
        let ways = [("full", words(&[])), ("quick", words(&["--quick"]))];
        let mut copied = Vec::new();
        let mut compared = [Vec::new(), Vec::new()];
        let mut cpu = [Vec::new(), Vec::new()];
        for _ in 0..options.repetitions() {
            copied.push(Contender::Riot.copy(data, source, target, options)?.rate);
            for (way, (_, words)) in ways.iter().enumerate() {
                let cost = measure::run(words)?;
                succeeded(&cost)?;
                compared[way].push(keys / cost.wall.as_secs_f64());
                cpu[way].push(cost.cpu.as_secs_f64() * 1e6 / keys);
            }
        }
        let copied = median(copied);
        for ((name, _), (compared, cpu)) in ways.iter().zip(compared.into_iter().zip(cpu)) {
            let compared = median(compared);
            table.row(vec![
                format!("{} {}, {name}", grouped(keys), data.title()),
                grouped(copied),
                grouped(compared),
                format!("{:.2}", median(cpu)),
                format!("{:.2}", copied / compared),
            ]);
        }
    }
    target.flush()?;
    table.print();
    Ok(())
}
