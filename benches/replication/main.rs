//! The replication benchmark: riot and the limit, between two servers on loopback.
//!
//! `cargo bench --bench replication -- --help` says what it can be told; docs/performance.md what it measures.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints its results, and counts in its own tables"
)]

mod bare;
mod cluster;
mod contender;
mod copy;
mod fill;
mod latency;
mod live;
mod measure;
mod memory;
mod options;
#[expect(dead_code, reason = "the tests' proxy makes other faults as well")]
#[path = "../../tests/it/proxy.rs"]
mod proxy;
mod reading;
mod resp;
mod road;
mod server;
mod share;
mod sparing;
mod table;
mod tls;
mod unchanged;
mod verify;
mod way;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::options::{Options, Scenario};
use crate::server::Server;

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some(measure::ROLE) => measure::main(&words[2..]),
        Some(contender::ROLE) => {
            bare::run(bare::Bare::parse_from(&words[1..]))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => benchmark(&Options::parse()),
    }
}

fn benchmark(options: &Options) -> Result<ExitCode> {
    let mut source = Server::start(&options.server)?;
    let mut target = Server::start(&options.server)?;
    println!(
        "# riot {} between two Redis {} on loopback, {} cores\n",
        env!("CARGO_PKG_VERSION"),
        source.version()?,
        std::thread::available_parallelism()?
    );
    if let Some(percent) = options.source_share {
        source.is_given(percent)?;
        println!("The source has {percent} % of a core.\n");
    }
    let mut status = ExitCode::SUCCESS;
    for scenario in &options.only {
        let result = match scenario {
            Scenario::Copy => options
                .data
                .iter()
                .try_for_each(|data| copy::run(*data, &mut source, &mut target, options)),
            Scenario::Latency => latency::run(&mut source, &mut target, options),
            Scenario::Memory => memory::run(&mut source, &mut target, options),
            Scenario::Verify => verify::run(&mut source, &mut target, options),
            Scenario::Live => live::run(&mut source, &mut target, options)
                .and_then(|()| unchanged::run(&mut source, &mut target, options)),
            Scenario::Cluster => cluster::run(&mut source, options),
            Scenario::Tls => tls::run(options),
            Scenario::Sparing => sparing::run(&mut source, &mut target, options),
        };
        if let Err(error) = result {
            println!("{scenario:?} failed: {error:#}\n");
            status = ExitCode::FAILURE;
        }
    }
    Ok(status)
}
