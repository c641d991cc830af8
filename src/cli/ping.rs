//! The options of `ping`, as typed.

use clap::Args;

use super::{Bare, Hidden};

/// One server, and how often it is asked.
#[derive(Debug, Args)]
pub struct Ping {
    /// The server: URI or host:port; of a cluster, any node's
    #[arg(value_name = "URI")]
    pub address: Option<Hidden>,
    /// Round trips to each server [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<String>,
    /// The same in RIOT 3's spelling, and what goes with it.
    #[command(flatten)]
    pub bare: Bare,
}
